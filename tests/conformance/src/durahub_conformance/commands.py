"""`durahub-conformance`: tests what is installed, and checks what such a test has written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import pytest
from durahub.backend import Capabilities
from durahub.errors import PluginError

from durahub_conformance.document import Document, faults_of, make_document
from durahub_conformance.levels import Level, Outcome, level_of
from durahub_conformance.pytest_plugin import Recorder
from durahub_conformance.report import render
from durahub_conformance.requirement import REGISTRY
from durahub_conformance.subject import UsageError, find_subject, hand_over, load_harness

SUITE = Path(__file__).with_name("installed.py")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="durahub-conformance")
def main() -> None:
    """Prove that a backend keeps the contract of Durahub."""


@main.command()
@click.option(
    "--backend", "backend_type", required=True, help="The backendType to test, as installed."
)
@click.option(
    "--harness", default="", help="module:Class, if the plugin's distribution names none."
)
@click.option(
    "--setting", "pairs", multiple=True, metavar="NAME=VALUE", help="Given to the harness."
)
@click.option(
    "--json", "json_file", default="conformance.json", show_default=True, help="The result."
)
@click.option("--report", "report_file", default=None, help="The result for people, in Markdown.")
@click.option("--workers", default=0, help="Processes to test with; needs pytest-xdist.")
@click.option("-k", "selection", default="", help="Only these tests; then no level is reached.")
def run(  # noqa: PLR0917 - one per option
    backend_type: str,
    harness: str,
    pairs: tuple[str, ...],
    json_file: str,
    report_file: str | None,
    workers: int,
    selection: str,
) -> None:
    """Test an installed backend, and write what came of it.

    The exit code is 0 if everything that applies to the backend was passed, 1 if not, and 2 if the test
    could not begin. A known gap outside of the core and a preview that fails are told, and cost no more.
    """
    settings = _parse(pairs)
    try:
        subject = find_subject(backend_type, harness=harness)
        capabilities = _capabilities(subject.harness)
    except (UsageError, PluginError) as error:
        raise click.UsageError(str(error)) from error
    hand_over(subject.harness, settings)
    recorder = Recorder()
    _run_suite(recorder, workers=workers, selection=selection)
    document = make_document(subject, capabilities, recorder, settings)
    Path(json_file).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if report_file:
        Path(report_file).write_text(render(document), "utf-8")
    click.echo(f"level: {document['level']}")
    _tell_gaps(document)
    faults = [fault for fault in faults_of(document) if "editable" not in fault]
    for fault in faults:
        click.echo(f"  {fault}")
    click.echo(f"{json_file}: what was tested, and what came of it")
    raise SystemExit(1 if faults else 0)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice([level.value for level in Level]),
    help="A level that has to be reached; several times if need be. The core always has to.",
)
def verify(file: Path, levels: tuple[str, ...]) -> None:
    """Check a conformance.json: compute everything anew, and compare with what is installed.

    If the tested distribution is installed here, its files have to be those that were tested. The exit
    code is 0 if the file may be believed, 1 if not.
    """
    try:
        document = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise click.ClickException(f"{file} is no JSON: {error}") from error
    faults = faults_of(document, required=(Level.CORE, *map(Level, levels)))
    for fault in faults:
        click.echo(fault)
    if faults:
        raise click.ClickException(f"{file} proves nothing")
    backend = document["backend"]
    click.echo(f"{backend['distribution']} {backend['version']}: {document['level']}")
    _tell_gaps(document)


@main.command("list")
def list_requirements() -> None:
    """List every requirement: id, level and law."""
    for name, requirement in sorted(REGISTRY.items()):
        note = "preview: " if requirement.preview else ""
        click.echo(f"{name}  {level_of(requirement):14}{note}{requirement.law.text}")


def _tell_gaps(document: Document) -> None:
    for name, entry in document["requirements"].items():
        if entry["outcome"] == Outcome.GAP:
            click.echo(f"  known gap {name}: {entry['detail']}")
        elif REGISTRY[name].preview and entry["outcome"] == Outcome.FAILED:
            click.echo(f"  preview {name} failed: {REGISTRY[name].law.text}")


def _parse(pairs: tuple[str, ...]) -> dict[str, str]:
    settings = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    if "" in settings or not all("=" in pair for pair in pairs):
        raise click.UsageError("--setting takes NAME=VALUE")
    return settings


def _capabilities(harness: str) -> Capabilities:
    with tempfile.TemporaryDirectory() as directory:
        return load_harness(harness)(Path(directory)).backend().capabilities


def _run_suite(recorder: Recorder, *, workers: int, selection: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory) / "pytest.ini"
        configuration.write_text(
            "[pytest]\nasyncio_default_fixture_loop_scope = function\n", "utf-8"
        )
        # Nothing of the directory in which the command was called has a say.
        arguments = ["-c", str(configuration), "--rootdir", directory, "--noconftest"]
        arguments += ["-p", "no:cacheprovider", "--import-mode=importlib", "--tb=short", "-q"]
        arguments += ["-n", str(workers)] if workers else []
        arguments += ["-k", selection] if selection else []
        pytest.main([*arguments, str(SUITE)], plugins=[recorder])

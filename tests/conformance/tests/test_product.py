"""`durahub-conformance` as vendors use it: levels, the document, and what `verify` makes of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from durahub.backend import NATIVE, Capabilities, ContractVersion, Support, SupportLevel
from durahub_conformance.commands import main
from durahub_conformance.document import Document, checksum, faults_of, make_document
from durahub_conformance.levels import Level, Outcome, Standing, badge, level_of, standings
from durahub_conformance.pytest_plugin import Recorder
from durahub_conformance.report import render
from durahub_conformance.requirement import REGISTRY
from durahub_conformance.subject import Subject

EVERYTHING = Capabilities(durable=NATIVE, multi_process=NATIVE, hints=NATIVE, limits=NATIVE)
ONE_PROCESS = Capabilities(
    durable=NATIVE,
    multi_process=Support(SupportLevel.NONE, "a local file"),
    hints=Support(SupportLevel.NONE, "a local file"),
    limits=NATIVE,
)
SUBJECT = Subject(
    backend_type="cobalt",
    distribution="cobalt-durahub",
    version="1.0",
    digest="sha256:1",
    contract=ContractVersion(1, 0),
    harness="cobalt_durahub.conformance:Harness",
)


def recorded(capabilities: Capabilities) -> Recorder:
    """Return what a flawless backend leaves behind."""
    recorder = Recorder()
    recorder.is_suite_intact = True
    for name, requirement in REGISTRY.items():
        obstacle = requirement.obstacle(capabilities)
        recorder.outcomes[name] = Outcome.PASSED if obstacle is None else Outcome.DECLINED
        if obstacle is not None:
            recorder.details[name] = obstacle
    return recorder


def made(capabilities: Capabilities = EVERYTHING, **outcomes: Outcome) -> Document:
    recorder = recorded(capabilities)
    recorder.outcomes |= {name.replace("_", "-"): one for name, one in outcomes.items()}
    return make_document(SUBJECT, capabilities, recorder, {"url": "secret"})


def signed(document: Document) -> Document:
    return {**document, "checksum": checksum(document)}


def test_every_requirement_has_a_level_and_every_level_requirements() -> None:
    assert {level_of(requirement) for requirement in REGISTRY.values()} == set(Level)


def test_flawless_backend_reaches_every_level() -> None:
    document = made()
    assert document["level"] == "core + multi-process + queries + retention + faults"
    assert faults_of(document, required=tuple(Level)) == []


def test_backend_for_one_process_reaches_all_levels_but_that_one() -> None:
    document = made(ONE_PROCESS)
    assert document["levels"]["multi-process"] == Standing.DECLINED
    assert document["level"] == "core + queries + retention + faults"
    assert faults_of(document) == []
    assert faults_of(document, required=(Level.MULTI_PROCESS,)) == [
        "level multi-process is declined"
    ]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SKIPPED, Outcome.MISSING])
def test_requirement_that_was_not_passed_costs_its_level(outcome: Outcome) -> None:
    document = made(QRY_01=outcome)
    assert document["levels"]["queries"] == Standing.MISSED
    assert f"QRY-01 is {outcome}: {REGISTRY['QRY-01'].law.text}" in faults_of(document)


def test_no_core_is_no_level() -> None:
    assert badge(standings({})) == "none"
    assert made(CRE_01=Outcome.FAILED)["level"] == "none"


def test_declining_what_applies_is_a_fault() -> None:
    (fault,) = faults_of(made(CRE_01=Outcome.DECLINED))
    assert fault == "CRE-01 is declined, and by the capabilities it applies"


def test_nothing_tested_is_a_fault() -> None:
    document = make_document(SUBJECT, EVERYTHING, Recorder(), {})
    faults = faults_of(document)
    assert "no requirement was passed at all" in faults
    assert any("not seen to be intact" in fault for fault in faults)


def change(document: Document, *path: str, to: Any) -> Document:
    changed = copy.deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return changed


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("level",), "core", "its level should be 'core + multi-process + queries"),
        (("levels", "core"), "declined", "its levels do not follow from its requirements"),
        (("kit", "laws"), "sha256:0", "whose requirements are not those of this one"),
        (("suiteIntact",), False, "the suite was not seen to be intact"),
        (("format",), 2, "format 2 is not 1"),
        (("requirements",), {}, "requirements are missing or unknown: ACT-01"),
        (("backend", "digest"), "", "an editable install was tested"),
        (("capabilities", "hints"), {"level": "none", "reason": "no"}, "does not apply"),
        (("capabilities",), {}, "it is not a document of this kit"),
    ],
)
def test_document_that_was_changed_is_not_believed(
    path: tuple[str, ...], value: object, fault: str
) -> None:
    changed = change(made(), *path, to=value)
    if path != ("format",):
        assert any("the checksum does not fit" in one for one in faults_of(changed)) or (
            path == ("capabilities",)
        )
    # Whoever changes it can also compute the checksum, and is found out all the same.
    assert any(fault in one for one in faults_of(signed(changed))), faults_of(signed(changed))


def test_document_names_settings_and_tells_no_values() -> None:
    assert made()["backend"]["settings"] == ["url"]
    assert "secret" not in json.dumps(made())


def test_document_of_what_is_installed_otherwise_is_not_believed() -> None:
    # The memory backend is installed with the core, from a source directory.
    document = change(made(), "backend", "backendType", to="memory")
    (fault,) = faults_of(signed(document))
    assert "which is installed here, is not what was tested" in fault


def test_report_shows_laws_that_were_not_passed() -> None:
    text = render(made(ONE_PROCESS, TRN_01=Outcome.FAILED))
    assert text.startswith("# cobalt: none\n")
    assert f"- **TRN-01** {REGISTRY['TRN-01'].law.text}" in text
    assert "*not multi_process: a local file*" in text


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_verify_tells_the_level_or_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "conformance.json"
    file.write_text(json.dumps(made()))
    assert command("verify", str(file)).output.startswith("cobalt-durahub 1.0: core + ")
    file.write_text(json.dumps(made(CRE_01=Outcome.FAILED)))
    result = command("verify", str(file))
    assert result.exit_code == 1
    assert REGISTRY["CRE-01"].law.text in result.output
    file.write_text("{")
    assert command("verify", str(file)).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "nowhere"], "nothing that is installed does"),
        (["--backend", "memory"], "durahub-core names no harness for 'memory'"),
        (["--backend", "memory", "--harness", "os:nothing"], "can't be imported"),
        (["--backend", "memory", "--harness", "os:path"], "is no subclass of"),
        (["--backend", "memory", "--setting", "a"], "--setting takes NAME=VALUE"),
    ],
)
def test_run_says_why_it_can_not_begin(arguments: list[str], message: str) -> None:
    result = command("run", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_list_shows_every_law() -> None:
    output = command("list").output
    assert len(output.splitlines()) == len(REGISTRY)


def test_recorder_keeps_the_worst_of_all_variants() -> None:
    recorder = Recorder()
    for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.PASSED):
        recorder._note("CRE-01", outcome, "why" if outcome is Outcome.FAILED else "")
    assert recorder.outcomes == {"CRE-01": Outcome.FAILED}
    assert recorder.details == {"CRE-01": "why"}

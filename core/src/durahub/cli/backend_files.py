"""`durahub backends show|lock|verify`: the files behind a backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from durahub.cli.failures import CommandError
from durahub.edition import (
    DEFAULT_LOCK,
    LOCK_VARIABLE,
    Edition,
    Verdict,
    admit,
    examine,
    load,
    make_lock,
    read_lock,
    scan,
    take_fingerprint,
)

_NOT_AS_LOCKED = 1

_file_option = click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_LOCK,
    show_default=True,
    help="The lock file.",
)


def show_command(edition: Edition) -> click.Command:
    """Return the command `show` of a build."""

    @click.command("show")
    @click.argument("name")
    @click.option("--load", "loads", is_flag=True, help="Also import it, if it is admitted.")
    @click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, with the same keys in every release."
    )
    def show(*, name: str, loads: bool, as_json: bool) -> None:
        """Tell everything about the backend type NAME: what is allowed, installed, and decided.

        Without --load nothing is imported: all of it comes from metadata and from the bytes of files.
        """
        document = _document(edition, name, loads=loads)
        click.echo(json.dumps(document, indent=2) if as_json else "\n".join(_lines(document)))

    return show


def lock_command(edition: Edition) -> click.Command:
    """Return the command `lock` of a build."""

    @click.command("lock", epilog=f"A process with {LOCK_VARIABLE}=FILE loads nothing else.")
    @_file_option
    def lock(file: Path) -> None:
        """Write down which files of which versions are installed and admitted.

        Editable installs are left out, and can't be loaded by a process that is held to the lock.
        """
        verdicts = [examine(verdict) for verdict in admit(edition, scan())]
        made = make_lock(edition.name, verdicts)
        if not made.backends:
            raise CommandError(
                "nothing that could be locked is installed and admitted;"
                " see: durahub backends list --all",
                exit_code=_NOT_AS_LOCKED,
            )
        file.write_text(made.to_json(), "utf-8")
        for name, one in made.backends.items():
            click.echo(f"{name}: {one.distribution} {one.version} {one.digest}")

    return lock


def verify_command(edition: Edition) -> click.Command:
    """Return the command `verify` of a build."""

    @click.command("verify", epilog="Exit code 1: something is not as locked.")
    @_file_option
    def verify(file: Path) -> None:
        """Compare what is installed with a lock file."""
        lock = read_lock(file)
        faults = [
            f"{name}: locked, and nothing that is installed and admitted provides it"
            for name in lock.backends.keys() - _admitted(edition)
        ]
        for name, verdict in _admitted(edition).items():
            refusal = examine(verdict, lock=lock).refusal
            click.echo(f"{name}: {'as locked' if refusal is None else refusal.why}")
            if refusal is not None and name in lock.backends:
                faults.append(f"{name}: {refusal.why}; {refusal.remedy}")
        if faults:
            raise CommandError("\n".join(sorted(faults)), exit_code=_NOT_AS_LOCKED)

    return verify


def _admitted(edition: Edition) -> dict[str, Verdict]:
    verdicts = admit(edition, scan())
    return {v.candidate.backend_type: v for v in verdicts if v.refusal is None}


def _document(edition: Edition, name: str, *, loads: bool) -> dict[str, Any]:
    allowed = edition.find(name)
    verdicts = [v for v in admit(edition, scan()) if v.candidate.backend_type == name]
    if allowed is None and not verdicts:
        known = ", ".join(edition.backend_types)
        raise CommandError(
            f"the build {edition.name!r} does not know {name!r}, and nothing that is installed claims it;"
            f" it allows: {known}",
            exit_code=2,
        )
    return {
        "edition": edition.name,
        "backendType": name,
        "allowed": allowed
        and {
            "distribution": allowed.distribution,
            "module": allowed.module,
            "versions": allowed.versions,
            "default": allowed.default,
        },
        "installed": [_candidate(verdict, loads=loads) for verdict in verdicts],
    }


def _candidate(verdict: Verdict, *, loads: bool) -> dict[str, Any]:
    candidate, verdict = verdict.candidate, examine(verdict)
    files = take_fingerprint(candidate)
    refusal = verdict.refusal
    return {
        "distribution": candidate.distribution,
        "version": candidate.version,
        "module": candidate.target,
        "origin": candidate.origin,
        "ownership": candidate.ownership.value,
        "digest": files.digest,
        "faults": list(files.faults),
        "decision": verdict.status.value,
        "reason": refusal and refusal.reason.value,
        "why": refusal and refusal.why,
        "remedy": refusal and refusal.remedy,
        "provides": _provided(verdict) if loads and refusal is None else None,
    }


def _provided(verdict: Verdict) -> dict[str, Any]:
    plugin = load(verdict)
    capabilities = plugin.capabilities
    return {
        "summary": plugin.summary,
        "contract": str(plugin.contract),
        "capabilities": {
            name: {"level": str(support.level), "reason": support.reason}
            for name in type(capabilities).__slots__
            for support in (getattr(capabilities, name),)
        },
    }


def _lines(document: dict[str, Any]) -> list[str]:
    allowed = document["allowed"]
    lines = [f"{document['backendType']} in the build {document['edition']!r}"]
    if allowed is None:
        lines.append("  allowed:   no")
    else:
        lines.append(
            f"  allowed:   {allowed['distribution']}{allowed['versions']}, module {allowed['module']}"
        )
    if not document["installed"]:
        lines.append("  installed: no")
    for one in document["installed"]:
        lines.append(f"  installed: {one['distribution']} {one['version']} ({one['origin']})")
        lines.append(f"    files:    {one['ownership']} {one['digest']}".rstrip())
        lines += [f"    fault:    {fault}" for fault in one["faults"]]
        lines.append(f"    decision: {one['decision']}")
        lines += [f"    {key}: {one[key]}" for key in ("reason", "why", "remedy") if one[key]]
        lines += _provided_lines(one["provides"])
    return lines


def _provided_lines(provided: dict[str, Any] | None) -> list[str]:
    if provided is None:
        return []
    return [
        f"    summary:  {provided['summary']}",
        f"    contract: {provided['contract']}",
        *(
            f"    {name}: {support['level']} {support['reason']}".rstrip()
            for name, support in provided["capabilities"].items()
        ),
    ]

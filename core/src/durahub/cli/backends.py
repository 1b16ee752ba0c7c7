"""`durahub backends`: what this build may load, and why not more."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from durahub.cli.backend_files import lock_command, show_command, verify_command
from durahub.cli.output import new_console
from durahub.edition import (
    Edition,
    InventoryEntry,
    Refusal,
    Verdict,
    admit,
    count_decisions,
    format_decisions,
    scan,
    take_inventory,
)


def backends_group(edition: Edition) -> click.Group:
    """Return the command group `backends` of a build."""

    @click.group("backends")
    def backends() -> None:
        """Show which workflow backends this build can use.

        A build has a fixed list of backends. Installing a package never adds one, and nothing in a
        configuration file or the environment does: spec.workflow.backendType only selects from the
        list. These commands read what is installed and import no backend, except for
        `show --load`.
        """

    @backends.command("list")
    @click.option(
        "--all",
        "show_all",
        is_flag=True,
        help="Also show what is installed and refused, why, and what would allow it.",
    )
    @click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, with the same keys in every release."
    )
    def list_backends(*, show_all: bool, as_json: bool) -> None:
        """List the backends that this build allows.

        STATUS is 'installed' if the backend can be selected, 'not-installed' if its distribution is
        missing, and 'refused' if what is installed under its name is not what the build expects;
        then --all tells the reason. The last line counts what was decided about all that is
        installed and claims to be a backend.
        """
        verdicts = admit(edition, scan())
        inventory = take_inventory(edition, verdicts)
        if as_json:
            click.echo(
                json.dumps(_document(edition, inventory, verdicts, show_all=show_all), indent=2)
            )
        else:
            _print_tables(edition, inventory, verdicts, show_all=show_all)

    for command in (show_command(edition), lock_command(edition), verify_command(edition)):
        backends.add_command(command)
    return backends


def _document(
    edition: Edition,
    inventory: Sequence[InventoryEntry],
    verdicts: Sequence[Verdict],
    *,
    show_all: bool,
) -> dict[str, object]:
    document: dict[str, object] = {
        "edition": edition.name,
        "backends": [_backend(entry) for entry in inventory],
        "decisions": count_decisions(verdicts),
    }
    if show_all:
        document["refused"] = [_refused(v, v.refusal) for v in verdicts if v.refusal is not None]
    return document


def _backend(entry: InventoryEntry) -> dict[str, object]:
    return {
        "backendType": entry.allowed.backend_type,
        "distribution": entry.allowed.distribution,
        "versions": entry.allowed.versions,
        "status": entry.availability.value,
        "version": entry.version or None,
        "default": entry.allowed.default,
    }


def _refused(verdict: Verdict, refusal: Refusal) -> dict[str, object]:
    candidate = verdict.candidate
    return {
        "backendType": candidate.backend_type,
        "distribution": candidate.distribution,
        "version": candidate.version,
        "target": candidate.target,
        "origin": candidate.origin,
        "reason": refusal.reason.value,
        "found": refusal.found,
        "why": refusal.why,
        "remedy": refusal.remedy,
    }


def _print_tables(
    edition: Edition,
    inventory: Sequence[InventoryEntry],
    verdicts: Sequence[Verdict],
    *,
    show_all: bool,
) -> None:
    console = new_console()
    console.print(_backends_table(edition, inventory))
    console.print(Text(f"Decisions: {format_decisions(count_decisions(verdicts)) or 'none'}"))
    if show_all:
        _print_refusals(console, verdicts)


def _backends_table(edition: Edition, inventory: Sequence[InventoryEntry]) -> Table:
    table = Table(title=Text(f"Backends of the build {edition.name!r}"), title_justify="left")
    for heading in ("BACKEND TYPE", "STATUS", "VERSION", "DISTRIBUTION", "DEFAULT"):
        table.add_column(heading, overflow="fold")
    for entry in inventory:
        allowed = entry.allowed
        cells = (
            allowed.backend_type,
            entry.availability.value,
            entry.version or "-",
            f"{allowed.distribution}{allowed.versions}",
            "default" if allowed.default else "",
        )
        # Text, because a plain string would be read as markup.
        table.add_row(*map(Text, cells))
    return table


def _print_refusals(console: Console, verdicts: Sequence[Verdict]) -> None:
    refused = [(v.candidate, v.refusal) for v in verdicts if v.refusal is not None]
    if not refused:
        console.print(Text("Nothing that is installed is refused."))
    for candidate, refusal in refused:
        console.print(Text(f"\n{candidate.backend_type}: refused ({refusal.reason.value})"))
        for label, fact in (
            ("found", refusal.found),
            ("why", refusal.why),
            ("remedy", refusal.remedy),
        ):
            console.print(Text(f"  {label + ':':8}{fact}"), soft_wrap=True)

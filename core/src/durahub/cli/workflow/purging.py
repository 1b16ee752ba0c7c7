"""`purge`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from durahub.cli.failures import EXIT_FAILURE
from durahub.cli.output import print_json
from durahub.cli.sections import SectionHelp
from durahub.cli.workflow.api import Document
from durahub.cli.workflow.exits import EXIT_CODES, RefusedError
from durahub.cli.workflow.hub import Filter, Hub
from durahub.cli.workflow.looking import Moment, status_type
from durahub.cli.workflow.show import json_option, progress
from durahub.cli.workflow.target import FindEdition, Target, target_options


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of the instances that were to be purged.

    Attributes:
        matched: Those that may be purged, of a selection.
        purged: Those that are gone; what was below them is not named.
        failed: Those that are not, and why.
    """

    matched: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    failed: list[Document] = field(default_factory=list)


def purge_command(edition: FindEdition) -> click.Command:
    """Return the command `purge` of a build."""

    @click.command("purge", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_ids", nargs=-1, metavar="[ID]...")
    @click.option("--all", "is_all", is_flag=True, help="All that have ended; with --force, all.")
    @click.option(
        "--all-older-than",
        type=Moment(),
        metavar="AGE",
        help="All that have ended and were created longer ago than this duration, or before this time.",
    )
    @click.option(
        "--all-filter-status",
        type=status_type,
        metavar="STATUS",
        help="Of all, only those with this status.",
    )
    @click.option("--force", is_flag=True, help="Also what has not ended, or is damaged.")
    @click.option("--recursive", is_flag=True, help="Also all workflows below.")
    @click.option("--dry-run", is_flag=True, help="With --all…: tell which, and purge nothing.")
    @json_option
    @target_options(edition, store=True)
    def purge(
        *, target: Target, instance_ids: tuple[str, ...], dry_run: bool, as_json: bool, **how: Any
    ) -> int:
        """Remove workflow instances that have ended, with all that is stored of them.

        Name them, or select them with one of --all…; that may be repeated if it ends before it is through.
        """
        selected = _selection(**{name: how.pop(name) for name in _SELECTING})
        if (selected is None) != bool(instance_ids):
            raise click.UsageError("name instances, or select them with one of --all…")
        if dry_run and selected is None:
            raise click.UsageError("--dry-run is for selections")
        with target.open(writes=True) as hub, progress("purging"):
            if selected is None:
                outcome = _purge_each(hub, instance_ids, **how)
            else:
                outcome = _collect(hub.purge_selected(selected, dry_run=dry_run, **how))
        _show(outcome, dry_run=dry_run, as_json=as_json)
        return EXIT_FAILURE if outcome.failed else 0

    return purge


_SELECTING = ("is_all", "all_older_than", "all_filter_status")


def _selection(
    *, is_all: bool, all_older_than: datetime | None, all_filter_status: str | None
) -> Filter | None:
    if not is_all and all_older_than is None and all_filter_status is None:
        return None
    return Filter(
        created_to=all_older_than, status=(all_filter_status,) if all_filter_status else ()
    )


def _collect(pages: Iterable[Document]) -> Outcome:
    outcome = Outcome()
    for page in pages:
        outcome.matched += page["matched"]
        outcome.purged += page["done"]
        outcome.failed += page["failed"]
    return outcome


def _purge_each(hub: Hub, instance_ids: Iterable[str], *, recursive: bool, force: bool) -> Outcome:
    """Purge one after the other.

    Raises:
        RefusedError: One was refused, and it was the only one.
    """
    ids = list(dict.fromkeys(instance_ids))
    outcome = Outcome(matched=ids)
    for instance_id in ids:
        try:
            hub.tell(instance_id, "purge", {"recursive": recursive, "force": force})
        except RefusedError as error:
            if len(ids) == 1:
                raise
            outcome.failed.append(
                {"instanceID": instance_id, "errorCode": error.code, "message": str(error)}
            )
        else:
            outcome.purged.append(instance_id)
    return outcome


def _show(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "dryRun": dry_run,
                "matched": outcome.matched,
                "purged": outcome.purged,
                "failed": outcome.failed,
            }
        )
        return
    for instance_id in outcome.matched if dry_run else outcome.purged:
        click.echo(f"would purge {instance_id}" if dry_run else f"purged {instance_id}")
    for failure in outcome.failed:
        click.echo(f"not purged {failure['instanceID']}: {failure['message']}", err=True)
    if not outcome.matched:
        click.echo("there is nothing to purge")

"""`list`, `search`, `get` and `history`."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from durahub.cli.durations import ago
from durahub.cli.output import print_json, print_table
from durahub.cli.sections import SectionHelp
from durahub.cli.workflow.exits import EXIT_CODES
from durahub.cli.workflow.hub import STATUSES, Filter
from durahub.cli.workflow.show import (
    FORMATS,
    output_options,
    show_history,
    show_instance,
    show_instances,
)
from durahub.cli.workflow.target import FindEdition, Target, target_options

LIST_FORMATS = (*FORMATS, "ids")

_HISTORY = ("instanceID", "executionID", "generation", "status", "events")

status_type = click.Choice(STATUSES, case_sensitive=False)


class Moment(click.ParamType[datetime]):
    """A duration before now, or a time."""

    name = "duration or time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment."""
        if isinstance(value, datetime):
            return value
        try:
            return ago(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def list_command(edition: FindEdition) -> click.Command:
    """Return the command `list` of a build."""

    @click.command("list", cls=SectionHelp, epilog=EXIT_CODES)
    @click.option("-w", "--filter-workflow", metavar="NAME", help="Only workflows of this name.")
    @click.option(
        "-s", "--filter-status", type=status_type, metavar="STATUS", help="Only with this status."
    )
    @click.option(
        "-m",
        "--filter-max-age",
        type=Moment(),
        metavar="AGE",
        help="Only those created within this duration (such as 90m or 24h), or since this time.",
    )
    @output_options(LIST_FORMATS)
    @target_options(edition, store=True)
    def list_(
        *,
        target: Target,
        filter_workflow: str | None,
        filter_status: str | None,
        filter_max_age: datetime | None,
        output: str,
    ) -> None:
        """List the workflow instances of an application, in order of creation."""
        selected = Filter(
            name=filter_workflow,
            status=(filter_status,) if filter_status else (),
            created_from=filter_max_age,
        )
        with target.open() as hub:
            show_instances(hub.instances(selected), output)

    return list_


def search_command(edition: FindEdition) -> click.Command:
    """Return the command `search` of a build."""

    @click.command("search", cls=SectionHelp, epilog=EXIT_CODES)
    @click.option(
        "--name", metavar="PATTERN", help="Name of the workflow; * any text, ? a character."
    )
    @click.option(
        "--status",
        multiple=True,
        type=status_type,
        metavar="STATUS",
        help="One of these. Repeatable.",
    )
    @click.option(
        "--created-from",
        type=Moment(),
        metavar="WHEN",
        help="At or after a time, or a duration ago.",
    )
    @click.option(
        "--created-to", type=Moment(), metavar="WHEN", help="Before a time, or a duration ago."
    )
    @click.option("--parent", metavar="ID", help="Direct children of this instance.")
    @click.option(
        "--tag",
        multiple=True,
        metavar="KEY[=VALUE]",
        help="With this tag; without a value, with any. Repeatable: all of them.",
    )
    @click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N only.")
    @click.option("--count", is_flag=True, help="Print only how many there are of each status.")
    @output_options(LIST_FORMATS)
    @target_options(edition, store=True)
    def search(
        *, target: Target, limit: int | None, count: bool, output: str, **conditions: Any
    ) -> None:
        """Find workflow instances by name, status, time of creation, parent and tags.

        All conditions have to hold. Answers come in order of creation.
        """
        tags = dict(map(_tag, conditions.pop("tag")))
        selected = Filter(tags=tags, **conditions)
        with target.open() as hub:
            if count:
                _show_counts(hub.count(selected), output)
            else:
                show_instances(islice(hub.instances(selected), limit), output)

    return search


def get_command(edition: FindEdition) -> click.Command:
    """Return the command `get` of a build."""

    @click.command("get", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_id", metavar="ID")
    @output_options()
    @target_options(edition, store=True)
    def get(*, target: Target, instance_id: str, output: str) -> None:
        """Show one workflow instance, with input, output and failure; long ones are cut, but for -o wide."""
        with target.open() as hub:
            show_instance(hub.instance(instance_id), output)

    return get


def history_command(edition: FindEdition) -> click.Command:
    """Return the command `history` of a build."""

    @click.command("history", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_id", metavar="ID")
    @output_options()
    @target_options(edition, store=True)
    def history(*, target: Target, instance_id: str, output: str) -> None:
        """Show the committed history of a workflow instance, in order.

        ID is the number of an event, by which `rerun` names it and by which results name what they are
        of. Long details are cut, but for -o wide.
        """
        with target.open() as hub:
            page = hub.history(instance_id)
        show_history({key: page[key] for key in _HISTORY}, output)

    return history


def _tag(text: str) -> tuple[str, str | None]:
    key, has_value, value = text.partition("=")
    return key, value if has_value else None


def _show_counts(counts: dict[str, int], output: str) -> None:
    if output in ("json", "yaml"):
        print_json({"total": sum(counts.values()), "byStatus": counts})
        return
    rows = [(status, str(number)) for status, number in counts.items()]
    print_table(["STATUS", "COUNT"], [*rows, ("total", str(sum(counts.values())))])

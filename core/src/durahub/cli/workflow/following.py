"""`wait` and `tail`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click

from durahub.cli.sections import SectionHelp
from durahub.cli.workflow.api import Document
from durahub.cli.workflow.exits import (
    EXIT_CODES,
    EXIT_CODES_OF_WAITING,
    EXIT_ENDED_BADLY,
    EXIT_NOT_YET,
)
from durahub.cli.workflow.hub import TERMINAL, Hub
from durahub.cli.workflow.show import describe_event, output_options, progress, show_instance
from durahub.cli.workflow.target import FindEdition, Target, target_options

_LOOK_S = 1.0
"""How long `tail` waits for the end before it looks for new events; nothing tells of single events."""
_WAIT_S = 60.0


def wait_command(edition: FindEdition) -> click.Command:
    """Return the command `wait` of a build."""

    @click.command("wait", cls=SectionHelp, epilog=EXIT_CODES_OF_WAITING)
    @click.argument("instance_id", metavar="ID")
    @click.option(
        "--for",
        "until",
        type=click.Choice(["started", "completed"]),
        default="completed",
        show_default=True,
        help="The first turn, or the end, whichever it is.",
    )
    @click.option(
        "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Without it: for ever."
    )
    @output_options()
    @target_options(edition)
    def wait(
        *, target: Target, instance_id: str, until: str, timeout: float | None, output: str
    ) -> int:
        """Wait until a workflow instance has started or ended, and show it."""
        with target.open() as hub, progress(f"waiting for {instance_id}"):
            is_reached, instance = wait_until(hub, instance_id, until=until, timeout_s=timeout)
        show_instance(instance, output)
        if not is_reached:
            return EXIT_NOT_YET
        if until == "completed" and instance["status"] != "COMPLETED":
            return EXIT_ENDED_BADLY
        return 0

    return wait


def wait_until(
    hub: Hub, instance_id: str, *, until: str, timeout_s: float | None
) -> tuple[bool, Document]:
    """Return whether an instance started or ended in time, and the instance.

    Args:
        hub: Whom to ask.
        instance_id: Which.
        until: `started` or `completed`.
        timeout_s: How long; None for ever.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = _WAIT_S if deadline is None else deadline - time.monotonic()
        is_reached, instance = hub.wait(instance_id, until=until, timeout_s=left_s)
        if is_reached or (deadline is not None and time.monotonic() >= deadline):
            return is_reached, instance


def tail_command(edition: FindEdition) -> click.Command:
    """Return the command `tail` of a build."""

    @click.command("tail", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_id", metavar="ID")
    @click.option(
        "--last",
        type=click.IntRange(min=0),
        metavar="N",
        help="Of what is there, the last N events.",
    )
    @click.option(
        "--json", "as_json", is_flag=True, help="One JSON object per line for each event."
    )
    @target_options(edition)
    def tail(*, target: Target, instance_id: str, last: int | None, as_json: bool) -> None:
        """Follow the history of a workflow instance until it ends.

        Prints what is there, and each event soon after it is durable: within about a second, and at once
        at the end. When the workflow continues as new, it goes on with the history of the new generation;
        events of a generation that was over sooner may not be seen.
        """
        with target.open() as hub:
            for page in follow(hub, instance_id):
                events = page["events"]
                if last is not None:
                    events, last = events[len(events) - min(last, len(events)) :], None
                for event in events:
                    click.echo(_line(event, page, as_json=as_json))
            if not as_json:
                click.echo(f"{instance_id} is {page['status']}")

    return tail


def follow(hub: Hub, instance_id: str) -> Iterator[Document]:
    """Yield the history, and then what is new of it, until the instance has ended.

    Args:
        hub: Whom to ask.
        instance_id: Which.

    Yields:
        Pages of the history; the last one is of the ended instance. They may be empty.
    """
    seen, execution_id = 0, ""
    while True:
        page = hub.history(instance_id, seen)
        if execution_id and page["executionID"] != execution_id:
            page = hub.history(instance_id)
        execution_id, seen = page["executionID"], page["next"]
        yield page
        if page["status"] in TERMINAL:
            return
        hub.wait(instance_id, until="completed", timeout_s=_LOOK_S, payloads=False)


def _line(event: Document, page: Document, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"generation": page["generation"], **event}, ensure_ascii=False)
    moment, kind, number, name, details = describe_event(event, cut=True)
    return f"{moment:30} {kind:28} {number:>4} {name:20} {details}".rstrip()

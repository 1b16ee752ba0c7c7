"""`run`, `rerun`, `raise-event`, `suspend`, `resume` and `terminate`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from durahub.cli.durations import ahead
from durahub.cli.output import print_json
from durahub.cli.sections import SectionHelp
from durahub.cli.workflow.api import Document
from durahub.cli.workflow.exits import EXIT_CODES, EXIT_NOT_YET
from durahub.cli.workflow.following import wait_until
from durahub.cli.workflow.hub import TERMINAL, Hub
from durahub.cli.workflow.show import json_option, progress
from durahub.cli.workflow.target import FindEdition, Target, target_options

_SETTLE_S = 10.0
_LOOK_S = 0.1

_RUN_CODES = EXIT_CODES.replace(
    "  5    no", "  4    accepted, and no worker has taken it within --timeout\n  5    no"
)
_SETTLE_CODES = EXIT_CODES.replace(
    "  5    no", "  4    accepted, and not seen to have happened within 10 seconds\n  5    no"
)

_input_option = click.option(
    "-x", "--input", "given", metavar="TEXT", help="Handed on as it is; SDKs expect JSON."
)


def run_command(edition: FindEdition) -> click.Command:
    """Return the command `run` of a build."""

    @click.command("run", cls=SectionHelp, epilog=_RUN_CODES)
    @click.argument("name")
    @click.option("-i", "--instance-id", metavar="ID", help="Without it, a new one is made.")
    @_input_option
    @click.option(
        "-s",
        "--start-time",
        metavar="WHEN",
        help="Start at this time, or after this duration, and do not wait; 0s: now, and do not wait.",
    )
    @click.option(
        "--tag", multiple=True, metavar="KEY=VALUE", help="A tag to find it by. Repeatable."
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long to wait for a worker to take it. Without it: for ever.",
    )
    @json_option
    @target_options(edition)
    def run(
        *,
        target: Target,
        start_time: str | None,
        timeout: float | None,
        as_json: bool,
        **given: Any,
    ) -> int:
        """Start a workflow, and wait until a worker has carried out its first turn.

        Once its id is printed, the workflow is durable, whatever becomes of this command.
        """
        with target.open() as hub:
            started = hub.start(_start_body(start_time=start_time, **given))
            _tell_started(started, as_json=as_json)
            if start_time is not None:
                return 0
            with progress(f"waiting for a worker to take {started}"):
                has_started, _ = wait_until(hub, started, until="started", timeout_s=timeout)
        return 0 if has_started else EXIT_NOT_YET

    return run


def _start_body(
    *,
    name: str,
    instance_id: str | None,
    given: str | None,
    start_time: str | None,
    tag: tuple[str, ...],
) -> Document:
    body = {
        "name": name,
        "instanceID": instance_id,
        "input": given,
        "scheduledStartAt": None if start_time is None else _start_at(start_time),
        "tags": dict(map(_tag, tag)) or None,
    }
    return {key: value for key, value in body.items() if value is not None}


def rerun_command(edition: FindEdition) -> click.Command:
    """Return the command `rerun` of a build."""

    @click.command("rerun", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_id", metavar="ID")
    @click.option(
        "-e",
        "--event-id",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="NUMBER",
        help="From this event on; `history` shows the numbers.",
    )
    @click.option("--new-instance-id", metavar="ID", help="Without it, a new one is made.")
    @click.option(
        "-x", "--input", "given", metavar="TEXT", help="New input of what the event schedules."
    )
    @json_option
    @target_options(edition)
    def rerun(
        *,
        target: Target,
        instance_id: str,
        event_id: int,
        new_instance_id: str | None,
        given: str | None,
        as_json: bool,
    ) -> None:
        """Start an ended workflow over from one of its events, as a new instance.

        What happened before the event is taken over, not done again.
        """
        body: dict[str, Any] = {"eventID": event_id}
        if new_instance_id is not None:
            body["newInstanceID"] = new_instance_id
        if given is not None:
            body["input"] = given
        with target.open() as hub:
            answer = hub.tell(instance_id, "rerun", body)
        _tell_started(answer["instanceID"], as_json=as_json)

    return rerun


def raise_event_command(edition: FindEdition) -> click.Command:
    """Return the command `raise-event` of a build."""

    @click.command("raise-event", cls=SectionHelp, epilog=EXIT_CODES)
    @click.argument("instance_id", metavar="ID/EVENT")
    @click.argument("event", required=False, metavar="| ID EVENT")
    @_input_option
    @json_option
    @target_options(edition)
    def raise_event(
        *, target: Target, instance_id: str, event: str | None, given: str | None, as_json: bool
    ) -> None:
        """Raise an external event for a workflow instance.

        With two arguments, ID and EVENT may hold slashes. An instance that has ended takes no notice.
        """
        if event is None:
            instance_id, slash, event = instance_id.rpartition("/")
            if not slash or not instance_id or not event:
                raise click.UsageError(
                    "say which instance and which event, such as: order-1/approved"
                )
        body = {"name": event, **({} if given is None else {"data": given})}
        with target.open() as hub:
            hub.tell(instance_id, "events", body)
        if as_json:
            print_json({"instanceID": instance_id, "event": event})
        else:
            click.echo(f"event {event!r} is raised for {instance_id}")

    return raise_event


def suspend_command(edition: FindEdition) -> click.Command:
    """Return the command `suspend` of a build."""

    @click.command("suspend", cls=SectionHelp, epilog=_SETTLE_CODES)
    @click.argument("instance_id", metavar="ID")
    @click.option("-r", "--reason", default="", metavar="TEXT", help="Kept in the history.")
    @json_option
    @target_options(edition)
    def suspend(*, target: Target, instance_id: str, reason: str, as_json: bool) -> int:
        """Suspend a workflow instance: what happens to it waits until it is resumed."""
        with target.open() as hub:
            return _change(
                hub, instance_id, "suspend", {"reason": reason}, "SUSPENDED", as_json=as_json
            )

    return suspend


def resume_command(edition: FindEdition) -> click.Command:
    """Return the command `resume` of a build."""

    @click.command("resume", cls=SectionHelp, epilog=_SETTLE_CODES)
    @click.argument("instance_id", metavar="ID")
    @click.option("-r", "--reason", default="", metavar="TEXT", help="Kept in the history.")
    @json_option
    @target_options(edition)
    def resume(*, target: Target, instance_id: str, reason: str, as_json: bool) -> int:
        """Resume a suspended workflow instance."""
        with target.open() as hub:
            return _change(
                hub, instance_id, "resume", {"reason": reason}, "RUNNING", as_json=as_json
            )

    return resume


def terminate_command(edition: FindEdition) -> click.Command:
    """Return the command `terminate` of a build."""

    @click.command("terminate", cls=SectionHelp, epilog=_SETTLE_CODES)
    @click.argument("instance_id", metavar="ID")
    @click.option(
        "-o", "--output", metavar="TEXT", help="What becomes its output; SDKs expect JSON."
    )
    @click.option(
        "--recursive/--no-recursive",
        default=True,
        show_default=True,
        help="Also end all workflows below it.",
    )
    @json_option
    @target_options(edition)
    def terminate(
        *, target: Target, instance_id: str, output: str | None, recursive: bool, as_json: bool
    ) -> int:
        """End a workflow instance before it has completed; one that has ended stays as it is."""
        body = {"recursive": recursive, **({} if output is None else {"output": output})}
        with target.open() as hub:
            return _change(hub, instance_id, "terminate", body, "TERMINATED", as_json=as_json)

    return terminate


def _change(
    hub: Hub,
    instance_id: str,
    verb: str,
    body: Mapping[str, Any],
    wanted: str,
    *,
    as_json: bool,
) -> int:
    """Ask for a change, and wait a while until it shows; returns the exit code."""
    hub.tell(instance_id, verb, body)
    deadline = time.monotonic() + _SETTLE_S
    with progress(f"waiting until {instance_id} is {wanted}"):
        while True:
            status = hub.instance(instance_id, payloads=False)["status"]
            is_settled = status == wanted or status in TERMINAL
            if is_settled or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S)  # noqa: TID251 - no loop runs here, and nothing tells of a status
    if as_json:
        print_json({"instanceID": instance_id, "status": status})
    else:
        note = "" if is_settled else f"; {verb} is accepted, and happens when its turn comes"
        click.echo(f"{instance_id} is {status}{note}")
    return 0 if is_settled else EXIT_NOT_YET


def _start_at(text: str) -> str:
    try:
        return ahead(text, datetime.now(UTC)).isoformat()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--start-time") from None


def _tag(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _tell_started(instance_id: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"instanceID": instance_id})
    else:
        click.echo(f"{instance_id} is accepted")

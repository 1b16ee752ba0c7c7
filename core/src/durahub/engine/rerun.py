"""Starting a workflow over from an event of an ended one (Dapr's rerun). Pure.

The new instance begins with a history that is cut before the target event: what was resolved there stays
resolved, everything else that was scheduled up to and including the target is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.wrappers_pb2 import StringValue

from durahub.engine.state import Wait, resolved_wait, scheduled_wait
from durahub.errors import InvalidRequestError, RerunTargetError
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a rerun was asked for.

    Attributes:
        source_id: The ended instance.
        new_id: The instance to start.
        event_id: The target: from its event on everything is done again.
        overwrite_input: Whether the target gets `input` instead of its old one.
        input: The target's new input; None: none at all.
        child_id: Id of the new child, if the target is one; None: derived from `new_id`.
        now: Time of everything that is scheduled again.
    """

    source_id: str
    new_id: str
    event_id: int
    overwrite_input: bool
    input: StringValue | None
    child_id: str | None
    now: datetime


def fork_history(history: Sequence[pb.HistoryEvent], rerun: Rerun) -> list[pb.HistoryEvent]:
    """Return the history that the new instance begins with; the events of the source are not changed.

    Resolved work keeps its schedule right before its resolution. What is scheduled again stands at the
    end, the target last: unresolved work, and every timer, whose time may be long past.

    Raises:
        RerunTargetError: There is no such event, or it is none that can be done again.
        InvalidRequestError: The request does not fit the target.
    """
    position = _find(history, rerun)
    target = history[position]
    _check_target(target, rerun)
    before = history[:position]
    scheduled: dict[Wait, pb.HistoryEvent] = {}
    copied: list[pb.HistoryEvent] = []
    for event in before:
        wait = scheduled_wait(event)
        if wait is not None:
            scheduled[wait] = event
            continue
        wait = resolved_wait(event)
        if wait is not None and wait.kind != "timer" and wait in scheduled:
            copied.append(scheduled.pop(wait))
        copied.append(event)
    again = [_again(event, rerun) for event in scheduled.values()]
    return [*copied, *again, _target_again(target, rerun)]


def _find(history: Sequence[pb.HistoryEvent], rerun: Rerun) -> int:
    for position, event in enumerate(history):
        if event.eventId == rerun.event_id:
            return position
    raise RerunTargetError(f"does not have history event with ID '{rerun.event_id}'")


def _check_target(target: pb.HistoryEvent, rerun: Rerun) -> None:
    """Refuse targets and inputs that make no sense together, in Dapr's words."""
    kind = target.WhichOneof("eventType") or ""
    event_id = rerun.event_id
    if kind == "detachedWorkflowInstanceCreated":
        raise InvalidRequestError(
            f"event '{event_id}' is a detached workflow spawn and cannot be rerun: detached spawns "
            "are fire-and-forget and have no replayable continuation in the caller"
        )
    if scheduled_wait(target) is None:
        go_name = f"*protos.HistoryEvent_{kind[:1].upper()}{kind[1:]}"
        raise RerunTargetError(
            f"target event '{go_name}' with ID '{event_id}' is not an event that can be rerun"
        )
    if kind == "timerCreated" and (rerun.overwrite_input or rerun.input is not None):
        raise InvalidRequestError(f"cannot write input to timer event '{event_id}'")
    if kind != "childWorkflowInstanceCreated" and rerun.child_id is not None:
        name = "timer" if kind == "timerCreated" else "activity"
        raise InvalidRequestError(
            f"cannot set new child workflow instance ID on {name} event '{event_id}'"
        )
    if rerun.child_id == rerun.source_id:
        # The ended source would make place for the child of its own rerun.
        raise InvalidRequestError(
            "new child workflow instance ID must be different from the original instance ID"
        )


def _again(event: pb.HistoryEvent, rerun: Rerun) -> pb.HistoryEvent:
    """Return the event of something that is scheduled again."""
    again = pb.HistoryEvent()
    again.CopyFrom(event)
    again.timestamp.CopyFrom(to_timestamp(rerun.now))
    if again.HasField("childWorkflowInstanceCreated"):
        again.childWorkflowInstanceCreated.instanceId = f"{rerun.new_id}:{event.eventId:04x}"
    return again


def _target_again(event: pb.HistoryEvent, rerun: Rerun) -> pb.HistoryEvent:
    target = _again(event, rerun)
    scheduled = getattr(target, target.WhichOneof("eventType") or "")
    scheduled.rerunParentInstanceInfo.instanceID = rerun.source_id
    if rerun.overwrite_input:
        scheduled.ClearField("input")
        if rerun.input is not None:
            scheduled.input.CopyFrom(rerun.input)
    if rerun.child_id is not None:
        scheduled.instanceId = rerun.child_id
    return target

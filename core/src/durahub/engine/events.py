"""Makes the history events that the engine itself writes. Pure: no clock, no ids of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.unknown_fields import UnknownFieldSet
from google.protobuf.wrappers_pb2 import StringValue

from durahub.protocol import messages as pb
from durahub.protocol.frames import length_delimited
from durahub.protocol.times import to_timestamp

UNNUMBERED = -1
"""Event id of every event that is not scheduled by an action (Dapr's convention)."""

_MARK_FIELD = 100_001
_REQUESTS_FIELD = 100_002
_GIVEN_FIELD = 100_003
"""Fields of an event that no SDK knows, and that all therefore skip and keep."""

_GIVEN_TAG = length_delimited(_GIVEN_FIELD, b"")[:-1]


def mark(event: pb.HistoryEvent, mark: bytes) -> None:
    """Make an event different from every other one, however alike they are and whoever made them.

    The mark is a field that no SDK knows; all skip it. With it, what arrives twice because somebody had to
    repeat it is told from what was sent twice (`durahub.engine.state.request_identity`).

    Args:
        event: Changed in place.
        mark: Unique.
    """
    event.MergeFromString(length_delimited(_MARK_FIELD, mark))


def remember_requests(start: pb.HistoryEvent, requests: bytes) -> None:
    """Put a record of requests into a start event, for the generation that it starts.

    Args:
        start: Changed in place.
        requests: As `remembered_requests` will return it.
    """
    start.MergeFromString(length_delimited(_REQUESTS_FIELD, requests))


def remembered_requests(start: pb.HistoryEvent) -> bytes:
    """Return the record of requests in a start event; empty if there is none."""
    return _unknown_field(start, _REQUESTS_FIELD) or b""


def give_history(start: bytes, propagated: bytes) -> bytes:
    """Return a serialised start event that holds what its instance may see of its ancestors.

    It is stored there because it lasts as long as the start does, and nobody else's start has it: not
    that of a later run under the same id. `visible_events` takes it out on every way out.

    Args:
        start: One that holds none yet.
        propagated: A serialised PropagatedHistory.
    """
    return start + length_delimited(_GIVEN_FIELD, propagated)


def given_history(start: pb.HistoryEvent) -> bytes | None:
    """Return the serialised PropagatedHistory in a start event, if there is one."""
    return _unknown_field(start, _GIVEN_FIELD)


def visible_events(history: Sequence[bytes]) -> Sequence[bytes]:
    """Return serialised events as others may see them: without what their instance was given.

    Args:
        history: A committed history, or what a worker is told in a turn.

    Raises:
        google.protobuf.message.DecodeError: The start does not decode.
    """
    for place, raw in enumerate(history):
        if _GIVEN_TAG not in raw:
            continue
        given = given_history(pb.HistoryEvent.FromString(raw))
        if given is not None:
            start = raw.removesuffix(length_delimited(_GIVEN_FIELD, given))
            return [*history[:place], start, *history[place + 1 :]]
    return history


def _unknown_field(event: pb.HistoryEvent, number: int) -> bytes | None:
    fields = UnknownFieldSet(event)
    for index in range(len(fields)):
        if fields[index].field_number == number:
            return bytes(fields[index].data)
    return None


def text(value: str | None) -> StringValue | None:
    """Return the protocol's form of a text that may be absent."""
    return None if value is None else StringValue(value=value)


def new_event(at: datetime, event_id: int = UNNUMBERED) -> pb.HistoryEvent:
    """Return an event without a type yet."""
    return pb.HistoryEvent(eventId=event_id, timestamp=to_timestamp(at))


def workflow_started(at: datetime, version: pb.WorkflowVersion | None = None) -> pb.HistoryEvent:
    """Return the event that opens every turn; the SDK takes the workflow's time from it."""
    event = new_event(at)
    event.workflowStarted.SetInParent()
    if version is not None and (version.patches or version.HasField("name")):
        event.workflowStarted.version.CopyFrom(version)
    return event


def event_raised(at: datetime, name: str, data: StringValue | None) -> pb.HistoryEvent:
    """Return an external event; name and data as the client gave them."""
    event = new_event(at)
    event.eventRaised.name = name
    if data is not None:
        event.eventRaised.input.CopyFrom(data)
    return event


def execution_terminated(
    at: datetime, output: StringValue | None, *, recurse: bool
) -> pb.HistoryEvent:
    """Return the request to terminate an instance."""
    event = new_event(at)
    event.executionTerminated.recurse = recurse
    if output is not None:
        event.executionTerminated.input.CopyFrom(output)
    return event


def execution_suspended(at: datetime, reason: str | None) -> pb.HistoryEvent:
    """Return the request to suspend; an empty reason is no reason (Dapr)."""
    event = new_event(at)
    event.executionSuspended.SetInParent()
    if reason:
        event.executionSuspended.input.value = reason
    return event


def execution_resumed(at: datetime, reason: str | None) -> pb.HistoryEvent:
    """Return the request to resume."""
    event = new_event(at)
    event.executionResumed.SetInParent()
    if reason:
        event.executionResumed.input.value = reason
    return event


def execution_completed(
    at: datetime,
    event_id: int,
    status: pb.OrchestrationStatus.ValueType,
    result: StringValue | None,
    failure: pb.TaskFailureDetails | None,
) -> pb.HistoryEvent:
    """Return the event that ends a history."""
    event = new_event(at, event_id)
    event.executionCompleted.workflowStatus = status
    if result is not None:
        event.executionCompleted.result.CopyFrom(result)
    if failure is not None:
        event.executionCompleted.failureDetails.CopyFrom(failure)
    return event


def execution_stalled(
    at: datetime, reason: pb.StalledReason.ValueType, description: str
) -> pb.HistoryEvent:
    """Return what a history says of an instance that can't go on for now."""
    event = new_event(at)
    event.executionStalled.reason = reason
    event.executionStalled.description = description
    return event


def timer_fired(at: datetime, timer_id: int, created: pb.TimerCreatedEvent) -> pb.HistoryEvent:
    """Return what a timer becomes at its moment; `fireAt` keeps its nanoseconds."""
    event = new_event(at)
    event.timerFired.timerId = timer_id
    event.timerFired.fireAt.CopyFrom(created.fireAt)
    return event


def child_failed(
    at: datetime, task_id: int, failure: pb.TaskFailureDetails | None
) -> pb.HistoryEvent:
    """Return the failure of a child for its parent; a terminated child has no details (Dapr)."""
    event = new_event(at)
    event.childWorkflowInstanceFailed.taskScheduledId = task_id
    if failure is not None:
        event.childWorkflowInstanceFailed.failureDetails.CopyFrom(failure)
    return event


def child_completed(at: datetime, task_id: int, result: StringValue | None) -> pb.HistoryEvent:
    """Return the success of a child for its parent."""
    event = new_event(at)
    event.childWorkflowInstanceCompleted.taskScheduledId = task_id
    if result is not None:
        event.childWorkflowInstanceCompleted.result.CopyFrom(result)
    return event


def activity_result(
    at: datetime, request: pb.ActivityRequest, response: pb.ActivityResponse, router: pb.TaskRouter
) -> pb.HistoryEvent:
    """Return the outcome of an activity for the workflow that scheduled it.

    Task execution id and router are those of the schedule, whatever the response says (durabletask).
    """
    event = new_event(at)
    event.router.CopyFrom(router)
    if response.HasField("failureDetails"):
        failed = event.taskFailed
        failed.taskScheduledId = request.taskId
        failed.taskExecutionId = request.taskExecutionId
        failed.failureDetails.CopyFrom(response.failureDetails)
        return event
    completed = event.taskCompleted
    completed.taskScheduledId = request.taskId
    completed.taskExecutionId = request.taskExecutionId
    if response.HasField("result"):
        completed.result.CopyFrom(response.result)
    return event

"""Makes events, actions and claims with the parts that a test cares about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from durahub.backend import ClaimedInstance, InstanceRecord, Message, StoredMessage, Timer
from durahub.engine.draft import TurnContext, batch_of
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.testing import ManualClock
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

APP = AppId("shop")
KEY = InstanceKey(APP, "order-1")
RUN = ExecutionId("run-1")
NOW = ManualClock().now()
FOREVER = Timestamp(seconds=253402300799, nanos=999_999_999)
SECOND = timedelta(seconds=1)


def text(value: str | None) -> StringValue | None:
    return None if value is None else StringValue(value=value)


# Events


def event(kind: str, body: Any, *, number: int = -1, at: datetime = NOW) -> pb.HistoryEvent:
    made = pb.HistoryEvent(eventId=number, timestamp=to_timestamp(at))
    getattr(made, kind).CopyFrom(body)
    return made


def started(
    value: str | None = None, *, parent: pb.ParentInstanceInfo | None = None
) -> pb.HistoryEvent:
    body = pb.ExecutionStartedEvent(name="Flow", input=text(value), parentInstance=parent)
    body.workflowInstance.instanceId = KEY.instance_id
    body.workflowInstance.executionId.value = RUN
    return event("executionStarted", body)


def opened() -> pb.HistoryEvent:
    return event("workflowStarted", pb.WorkflowStartedEvent())


def scheduled(number: int) -> pb.HistoryEvent:
    return event("taskScheduled", pb.TaskScheduledEvent(name="charge"), number=number)


def timer_created(
    number: int, waits_for: str | None = None, *, at: datetime | None = None
) -> pb.HistoryEvent:
    body = pb.TimerCreatedEvent(fireAt=FOREVER if at is None else to_timestamp(at))
    if waits_for is not None:
        body.externalEvent.name = waits_for
    return event("timerCreated", body, number=number)


def child_created(number: int, instance_id: str = "child") -> pb.HistoryEvent:
    body = pb.ChildWorkflowInstanceCreatedEvent(instanceId=instance_id, name="Child")
    return event("childWorkflowInstanceCreated", body, number=number)


def task_completed(number: int, result: str | None = None) -> pb.HistoryEvent:
    body = pb.TaskCompletedEvent(taskScheduledId=number, result=text(result))
    return event("taskCompleted", body)


def task_failed(number: int) -> pb.HistoryEvent:
    return event("taskFailed", pb.TaskFailedEvent(taskScheduledId=number))


def timer_fired(number: int) -> pb.HistoryEvent:
    return event("timerFired", pb.TimerFiredEvent(timerId=number))


def child_completed(number: int) -> pb.HistoryEvent:
    body = pb.ChildWorkflowInstanceCompletedEvent(taskScheduledId=number)
    return event("childWorkflowInstanceCompleted", body)


def child_failed(number: int) -> pb.HistoryEvent:
    body = pb.ChildWorkflowInstanceFailedEvent(taskScheduledId=number)
    return event("childWorkflowInstanceFailed", body)


def raised(name: str, at: datetime = NOW, data: str | None = None) -> pb.HistoryEvent:
    return event("eventRaised", pb.EventRaisedEvent(name=name, input=text(data)), at=at)


def suspended(at: datetime = NOW) -> pb.HistoryEvent:
    return event("executionSuspended", pb.ExecutionSuspendedEvent(), at=at)


def resumed(at: datetime = NOW) -> pb.HistoryEvent:
    return event("executionResumed", pb.ExecutionResumedEvent(), at=at)


def terminated(
    output: str | None = None, *, recurse: bool = False, at: datetime = NOW
) -> pb.HistoryEvent:
    body = pb.ExecutionTerminatedEvent(input=text(output), recurse=recurse)
    return event("executionTerminated", body, at=at)


def raws(events: Iterable[pb.HistoryEvent]) -> list[bytes]:
    return [one.SerializeToString() for one in events]


# Actions


def schedule(number: int, name: str = "charge", value: str | None = None) -> pb.WorkflowAction:
    asked = pb.ScheduleTaskAction(name=name, input=text(value))
    return pb.WorkflowAction(id=number, scheduleTask=asked)


def sleep(number: int, until: datetime | Timestamp, waits_for: str = "") -> pb.WorkflowAction:
    fire_at = to_timestamp(until) if isinstance(until, datetime) else until
    asked = pb.CreateTimerAction(fireAt=fire_at)
    if waits_for:
        asked.externalEvent.name = waits_for
    return pb.WorkflowAction(id=number, createTimer=asked)


def child(number: int, instance_id: str = "", name: str = "Child") -> pb.WorkflowAction:
    asked = pb.CreateChildWorkflowAction(instanceId=instance_id, name=name)
    return pb.WorkflowAction(id=number, createChildWorkflow=asked)


def detached(number: int, instance_id: str, name: str = "Child") -> pb.WorkflowAction:
    asked = pb.CreateDetachedWorkflowAction(instanceId=instance_id, name=name)
    return pb.WorkflowAction(id=number, createDetachedWorkflow=asked)


def send(number: int, instance_id: str, name: str, data: str | None = None) -> pb.WorkflowAction:
    asked = pb.SendEventAction(name=name, data=text(data))
    asked.instance.instanceId = instance_id
    return pb.WorkflowAction(id=number, sendEvent=asked)


def complete(
    result: str | None = None,
    *,
    number: int = 99,
    status: Any = pb.ORCHESTRATION_STATUS_COMPLETED,
) -> pb.WorkflowAction:
    asked = pb.CompleteWorkflowAction(workflowStatus=status, result=text(result))
    return pb.WorkflowAction(id=number, completeWorkflow=asked)


def continue_as_new(
    value: str | None = None, carried: Sequence[pb.HistoryEvent] = ()
) -> pb.WorkflowAction:
    action = complete(value, status=pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW)
    action.completeWorkflow.carryoverEvents.extend(carried)
    return action


def lack_version() -> pb.WorkflowAction:
    missing = pb.WorkflowVersionNotAvailableAction()
    return pb.WorkflowAction(id=-1, workflowVersionNotAvailable=missing)


def response(*actions: pb.WorkflowAction, **fields: Any) -> pb.WorkflowResponse:
    return pb.WorkflowResponse(instanceId=KEY.instance_id, actions=actions, **fields)


# Claims


def record(**changes: Any) -> InstanceRecord:
    fields: dict[str, Any] = {
        "key": KEY,
        "name": "Flow",
        "execution_id": RUN,
        "status": RuntimeStatus.RUNNING,
        "created_at": NOW,
        "last_updated_at": NOW,
    }
    return InstanceRecord(**{**fields, **changes})


def stored(
    *events: pb.HistoryEvent,
    number: int,
    at: datetime = NOW,
    execution_id: ExecutionId | None = None,
) -> StoredMessage:
    message = Message(payload=batch_of(*events), execution_id=execution_id)
    return StoredMessage(message_id=number, message=message, accepted_at=at)


def claim(
    *events: pb.HistoryEvent, timers: Sequence[Timer] = (), **changes: Any
) -> ClaimedInstance:
    """Return a claim with one message per event, a second apart."""
    messages = [
        stored(one, number=number, at=NOW + number * SECOND)
        for number, one in enumerate(events, start=1)
    ]
    return ClaimedInstance(record=record(**changes), messages=tuple(messages), timers=tuple(timers))


def due_timer(number: int, due_at: datetime) -> Timer:
    return Timer(timer_id=number, due_at=due_at, payload=batch_of(timer_fired(number)))


@dataclass(frozen=True)
class Ids:
    """Names in a row, so that tests can tell what got which."""

    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self) -> str:
        return f"{next(self.numbers):08x}-0000-4000-8000-000000000000"


def context(now: datetime = NOW, new_id: Callable[[], str] | None = None) -> TurnContext:
    return TurnContext(APP, now, new_id or Ids())


def kinds(events: Iterable[pb.HistoryEvent]) -> list[str | None]:
    return [one.WhichOneof("eventType") for one in events]

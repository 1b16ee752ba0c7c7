"""A workflow SDK in small: workflows are generators, replayed from their histories as Dapr's SDKs do.

def order(ctx):
    receipt = yield ctx.activity("charge", "10")
    winner = yield any_of(ctx.event("cancel"), ctx.sleep(0.5))
    return receipt
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil, to_timestamp
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

END_OF_TIME = Timestamp(seconds=253402300799, nanos=999_999_999)
EPOCH = datetime.fromtimestamp(0, tz=UTC)

FOREVER = -1.0
"""The time-out of a wait that current SDKs back with a timer in the year 9999."""


def text(value: str | None) -> StringValue | None:
    return None if value is None else StringValue(value=value)


def optional(value: StringValue, *, present: bool) -> str | None:
    return value.value if present else None


class TaskFailed(Exception):  # noqa: N818 -- the SDKs' word
    """An activity or a child workflow has failed."""

    def __init__(self, details: pb.TaskFailureDetails) -> None:
        super().__init__(details.errorMessage)
        self.details = details


@dataclass(eq=False)
class Call:
    """Something that a workflow waits for."""

    done: bool = False
    value: Any = None
    error: TaskFailed | None = None

    @property
    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(eq=False)
class Both(Call):
    """Several calls as one: all of them, or the first."""

    parts: Sequence[Call] = ()
    enough: Callable[[Sequence[Call]], bool] = bool

    def refresh(self) -> None:
        for part in self.parts:
            if isinstance(part, Both):
                part.refresh()
        self.done = self.enough(self.parts)

    @property
    def result(self) -> Any:
        if self.enough is _any_done:
            return next(part for part in self.parts if part.done)
        return [part.result for part in self.parts]


def _all_done(parts: Sequence[Call]) -> bool:
    return all(part.done for part in parts)


def _any_done(parts: Sequence[Call]) -> bool:
    return any(part.done for part in parts)


def all_of(*parts: Call) -> Both:
    """Wait for all; the result is the list of their results."""
    return Both(parts=parts, enough=_all_done)


def any_of(*parts: Call) -> Both:
    """Wait for one; the result is the call that was first."""
    return Both(parts=parts, enough=_any_done)


Function = Callable[["Context"], Any]


@dataclass(frozen=True)
class Versioned:
    """A workflow in several versions."""

    versions: Mapping[str, Function]
    latest: str


Workflow = Function | Versioned


@dataclass
class Context:
    """What a workflow function may ask."""

    request: pb.WorkflowRequest
    first_id: int = 0
    id: str = ""
    name: str = ""
    input: str | None = None
    start: pb.ExecutionStartedEvent = field(default_factory=pb.ExecutionStartedEvent)
    now: datetime = EPOCH
    is_replaying: bool = True
    custom_status: str | None = None
    completion: pb.CompleteWorkflowAction | None = None
    actions: dict[int, pb.WorkflowAction] = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)
    waits: dict[str, deque[Call]] = field(default_factory=dict)
    unread: list[pb.HistoryEvent] = field(default_factory=list)
    keeps_events: bool = False
    recorded_patches: list[str] = field(default_factory=list)
    patch_answers: dict[str, bool] = field(default_factory=dict)
    patches: list[str] = field(default_factory=list)
    version: str = ""
    _next_id: int = 0

    def activity(
        self,
        name: str,
        value: str | None = None,
        *,
        app: str = "",
        execution_id: str = "",
        **fields: Any,
    ) -> Call:
        asked = pb.ScheduleTaskAction(
            name=name, input=text(value), taskExecutionId=execution_id, **fields
        )
        return self._ask("scheduleTask", asked, app)

    def sleep(self, delay: float | datetime, **fields: Any) -> Call:
        moment = delay if isinstance(delay, datetime) else self.now + timedelta(seconds=delay)
        asked = pb.CreateTimerAction(fireAt=to_timestamp(moment), **fields)
        return self._ask("createTimer", asked)

    def child(
        self,
        name: str,
        value: str | None = None,
        *,
        instance_id: str = "",
        app: str = "",
        **fields: Any,
    ) -> Call:
        asked = pb.CreateChildWorkflowAction(
            name=name, input=text(value), instanceId=instance_id, **fields
        )
        return self._ask("createChildWorkflow", asked, app)

    def detached(
        self, name: str, value: str | None = None, *, instance_id: str, app: str = "", **fields: Any
    ) -> None:
        asked = pb.CreateDetachedWorkflowAction(
            name=name, input=text(value), instanceId=instance_id, **fields
        )
        self._ask("createDetachedWorkflow", asked, app)

    def send(self, instance_id: str, name: str, data: str | None = None, *, app: str = "") -> None:
        asked = pb.SendEventAction(name=name, data=text(data))
        asked.instance.instanceId = instance_id
        self._ask("sendEvent", asked, app)

    def event(self, name: str, timeout_s: float | None = None) -> Call:
        """Wait for an event; with a time-out the call's value is None if it does not come in time.

        Without a time-out it leaves no trace, as in older SDKs; with FOREVER a timer that never fires.
        """
        for waiting in self.unread:
            if waiting.eventRaised.name.lower() == name.lower():
                self.unread.remove(waiting)
                raised = waiting.eventRaised
                return Call(
                    done=True, value=optional(raised.input, present=raised.HasField("input"))
                )
        call = Call()
        if timeout_s is not None:
            moment = END_OF_TIME
            if timeout_s != FOREVER:
                moment = to_timestamp(self.now + timedelta(seconds=timeout_s))
            asked = pb.CreateTimerAction(fireAt=moment, name=name)
            asked.externalEvent.name = name
            self._ask("createTimer", asked, call=call)
        self.waits.setdefault(name.lower(), deque()).append(call)
        return call

    def continue_as_new(self, value: str | None = None, *, keep: bool = False) -> None:
        self.keeps_events = keep
        self.completion = pb.CompleteWorkflowAction(
            workflowStatus=pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, result=text(value)
        )

    def patched(self, name: str) -> bool:
        """Return whether the code may take the new way here, and remember that it did."""
        answer = self.patch_answers.setdefault(
            name, name in self.recorded_patches or not self.is_replaying
        )
        if answer:
            self.patches.append(name)
        return answer

    def _ask(self, kind: str, asked: Any, app: str = "", *, call: Call | None = None) -> Call:
        number = self.first_id + self._next_id
        self._next_id += 1
        action = pb.WorkflowAction(id=number)
        getattr(action, kind).CopyFrom(asked)
        if app:
            action.router.targetAppID = app
        self.actions[number] = action
        self.calls[number] = call or Call()
        return self.calls[number]


def decide(
    request: pb.WorkflowRequest,
    past: Sequence[pb.HistoryEvent],
    workflows: Mapping[str, Workflow],
    *,
    first_id: int = 0,
) -> pb.WorkflowResponse:
    """Replay a workflow to the end of its new events and return what it asks for."""
    run = _Run(Context(request, first_id=first_id, id=request.instanceId), workflows)
    for event in past:
        run.context.recorded_patches.extend(event.workflowStarted.version.patches)
    for event in past:
        run.take(event)
    run.context.is_replaying = False
    for event in request.newEvents:
        run.take(event)
    return run.response()


class _Run:
    def __init__(self, context: Context, workflows: Mapping[str, Workflow]) -> None:
        self.context = context
        self._workflows = workflows
        self._generator: Generator[Any, Any, Any] | None = None
        self._waiting_for: Call | None = None
        self._is_suspended = False
        self._held_back: list[pb.HistoryEvent] = []
        self._lacks_version = False

    def take(self, event: pb.HistoryEvent) -> None:
        kind = event.WhichOneof("eventType")
        if kind == "executionResumed":
            self._is_suspended = False
            held_back, self._held_back = self._held_back, []
            for one in held_back:
                self.take(one)
        elif kind == "executionSuspended":
            self._is_suspended = True
        elif kind == "executionTerminated":
            ended = event.executionTerminated
            self._end(
                pb.ORCHESTRATION_STATUS_TERMINATED,
                optional(ended.input, present=ended.HasField("input")),
            )
        elif self._is_suspended and kind != "workflowStarted":
            self._held_back.append(event)
        else:
            self._happen(kind, event)
            self._advance()

    def _happen(self, kind: str | None, event: pb.HistoryEvent) -> None:  # noqa: C901 -- one per kind
        context = self.context
        match kind:
            case "workflowStarted":
                context.now = from_timestamp_ceil(event.timestamp)
                context.version = context.version or event.workflowStarted.version.name
            case "executionStarted":
                self._begin(event.executionStarted)
            case "taskScheduled" | "timerCreated" | "childWorkflowInstanceCreated":
                context.actions.pop(event.eventId, None)
            case "detachedWorkflowInstanceCreated" | "eventSent":
                context.actions.pop(event.eventId, None)
            case "taskCompleted":
                done = event.taskCompleted
                self._resolve(
                    done.taskScheduledId, optional(done.result, present=done.HasField("result"))
                )
            case "taskFailed":
                self._fail(event.taskFailed.taskScheduledId, event.taskFailed.failureDetails)
            case "childWorkflowInstanceCompleted":
                ended = event.childWorkflowInstanceCompleted
                self._resolve(
                    ended.taskScheduledId, optional(ended.result, present=ended.HasField("result"))
                )
            case "childWorkflowInstanceFailed":
                failed = event.childWorkflowInstanceFailed
                self._fail(failed.taskScheduledId, failed.failureDetails)
            case "timerFired":
                self._resolve(event.timerFired.timerId, None)
            case "eventRaised":
                self._raise(event)
            case "executionStalled" | "executionSuspended":
                pass
            case _:
                raise AssertionError(f"an SDK does not know how to handle {kind}")

    def _begin(self, start: pb.ExecutionStartedEvent) -> None:
        context = self.context
        context.start, context.name = start, start.name
        context.input = optional(start.input, present=start.HasField("input"))
        found = self._workflows.get(start.name)
        if isinstance(found, Versioned):
            context.version = context.version or found.latest
            found = found.versions.get(context.version)
            if found is None:
                self._lacks_version = True
                return
        if found is None:
            details = pb.TaskFailureDetails(
                errorType="OrchestratorNotRegistered",
                errorMessage=f"A '{start.name}' orchestrator was not registered.",
            )
            self._end(pb.ORCHESTRATION_STATUS_FAILED, None, details)
            return
        made = self._guard(lambda: found(context))
        if inspect.isgenerator(made):
            self._generator = made
            self._step(None)
        elif context.completion is None:
            self._end(pb.ORCHESTRATION_STATUS_COMPLETED, made)

    def _resolve(self, number: int, value: Any) -> None:
        call = self.context.calls.get(number)
        if call is not None and not call.done:
            call.done, call.value = True, value

    def _fail(self, number: int, details: pb.TaskFailureDetails) -> None:
        call = self.context.calls.get(number)
        if call is not None and not call.done:
            call.done, call.error = True, TaskFailed(details)

    def _raise(self, event: pb.HistoryEvent) -> None:
        raised = event.eventRaised
        waits = self.context.waits.get(raised.name.lower(), deque())
        while waits:
            call = waits.popleft()
            if not call.done:
                call.done = True
                call.value = optional(raised.input, present=raised.HasField("input"))
                return
        self.context.unread.append(event)

    def _advance(self) -> None:
        while self._generator is not None and self._waiting_for is not None:
            call = self._waiting_for
            if isinstance(call, Both):
                call.refresh()
            if not call.done:
                return
            self._step(call)

    def _step(self, call: Call | None) -> None:
        self._guard(lambda: self._resume(call))

    def _resume(self, call: Call | None) -> None:
        assert self._generator is not None
        try:
            try:
                value = None if call is None else call.result
            except TaskFailed as error:
                self._waiting_for = self._generator.throw(error)
            else:
                self._waiting_for = self._generator.send(value)
        except StopIteration as stop:
            self._generator = None
            if self.context.completion is None:
                self._end(pb.ORCHESTRATION_STATUS_COMPLETED, stop.value)

    def _guard(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:  # noqa: BLE001 -- whatever a workflow raises is its failure
            self._generator = None
            details = pb.TaskFailureDetails(
                errorType=type(error).__name__,
                errorMessage=str(error),
                stackTrace=text("somewhere"),
            )
            self._end(pb.ORCHESTRATION_STATUS_FAILED, None, details)
        return None

    def _end(
        self, status: Any, result: str | None, details: pb.TaskFailureDetails | None = None
    ) -> None:
        self._generator = None
        self.context.completion = pb.CompleteWorkflowAction(
            workflowStatus=status, result=text(result), failureDetails=details
        )

    def response(self) -> pb.WorkflowResponse:
        context = self.context
        answer = pb.WorkflowResponse(
            instanceId=context.id,
            customStatus=text(context.custom_status),
            actions=context.actions.values(),
        )
        if self._lacks_version:
            missing = pb.WorkflowAction(id=-1)
            missing.workflowVersionNotAvailable.SetInParent()
            answer.actions.append(missing)
        elif context.completion is not None:
            if context.keeps_events:
                # All that came by the end of the turn, not only what came before the workflow asked.
                context.completion.carryoverEvents.extend(context.unread)
            number = context.first_id + context._next_id
            answer.actions.append(pb.WorkflowAction(id=number, completeWorkflow=context.completion))
        if context.patches:
            answer.version.patches.extend(context.patches)
        if context.version:
            answer.version.name = context.version
        return answer

"""What an instance's committed history says, folded event by event. Pure.

Folding costs the same for every event, however long the history is, so that the engine can keep the
state of a busy instance and never read its history again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Literal, NamedTuple, NewType

from durahub.clock import END_OF_TIME
from durahub.engine.events import remembered_requests
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil
from durahub.types import AppId, InstanceKey

REQUEST_MEMORY_S = 300
"""How long a request is remembered beyond its generation, in seconds."""

MAX_REQUESTS_REMEMBERED = 1_000
"""How many requests are remembered beyond their generation."""

_DIGEST_BYTES = 16
_SECOND_BYTES = 8


class Wait(NamedTuple):
    """Something scheduled that a later event resolves, once.

    Attributes:
        kind: Completed and failed share the kind: either resolves.
        event_id: The event id of what was scheduled.
    """

    kind: Literal["task", "timer", "child"]
    event_id: int


class ChildRef(NamedTuple):
    """A child that the present generation created, or tried to.

    Attributes:
        instance_id: The child's id.
        app_id: The application that it was created in; None: the parent's own.
        wait: What its end resolves.
    """

    instance_id: str
    app_id: AppId | None
    wait: Wait


RequestIdentity = NewType("RequestIdentity", bytes)
"""What makes an event that a client caused the same event, however often it arrives: a digest of all."""


@dataclass(slots=True)
class InstanceState:
    """The folded history of one generation of an instance.

    Mutable: whoever owns the instance applies what was committed, and nothing else.

    Attributes:
        start: The ExecutionStarted event, once there is one.
        started_at: Time of the first event.
        open: What is scheduled and not resolved.
        settled: What was resolved or cancelled, and not scheduled again since.
        early: What was resolved before it was scheduled.
        due_at: When open timers are due, by event id; those that never are have no place here.
        event_timers: Open timers that stand for waits on external events, by upper-cased event name,
            oldest first (Dapr matches them in this order).
        requests: External events and requests to terminate, suspend or resume, in the history or shortly
            before it, with the second of each.
        children: Children in order of creation.
        suspended: Whether the last suspend or resume was a suspend.
        completed: The event that ended the instance.
        patches: Patches recorded by the turns so far, each once, in order.
        stalls: Why the instance stalled so far.
        version_name: The named version that runs this generation, if the SDK chose one.
        events: Number of events folded.
    """

    start: pb.HistoryEvent | None = None
    started_at: datetime | None = None
    open: set[Wait] = field(default_factory=set)
    settled: set[Wait] = field(default_factory=set)
    early: set[Wait] = field(default_factory=set)
    due_at: dict[int, datetime] = field(default_factory=dict)
    event_timers: dict[str, deque[int]] = field(default_factory=dict)
    requests: dict[RequestIdentity, int] = field(default_factory=dict)
    children: list[ChildRef] = field(default_factory=list)
    suspended: bool = False
    completed: pb.ExecutionCompletedEvent | None = None
    patches: list[str] = field(default_factory=list)
    stalls: set[str] = field(default_factory=set)
    version_name: str | None = None
    events: int = 0
    _by_time: list[tuple[datetime, int]] = field(default_factory=list, compare=False)

    def apply(self, event: pb.HistoryEvent) -> None:
        """Take one more committed event into account."""
        if self.events == 0:
            self.started_at = from_timestamp_ceil(event.timestamp)
        self.events += 1
        kind = event.WhichOneof("eventType")
        handler = _HANDLERS.get(kind) if kind else None
        if handler is not None:
            handler(self, event)
            return
        wait = resolved_wait(event)
        if wait is not None:
            self.settle(wait)

    def settle(self, wait: Wait) -> None:
        """Note that nothing more is expected of `wait`."""
        if wait in self.open:
            self.open.discard(wait)
            self.settled.add(wait)
            if wait.kind == "timer":
                self.due_at.pop(wait.event_id, None)
        elif wait not in self.settled:
            self.early.add(wait)

    def await_timer(self, event_id: int, due_at: datetime) -> None:
        """Note when an open timer is due."""
        if due_at < END_OF_TIME:
            self.due_at[event_id] = due_at
            heappush(self._by_time, (due_at, event_id))

    def next_due_at(self) -> datetime | None:
        """Return when the earliest open timer is due; None if none ever is."""
        while self._by_time:
            due_at, event_id = self._by_time[0]
            if self.due_at.get(event_id) == due_at:
                return due_at
            heappop(self._by_time)
        return None


def fold(history: Iterable[bytes]) -> InstanceState:
    """Return the state that serialised events lead to, in order.

    Raises:
        google.protobuf.message.DecodeError: An event does not decode.
    """
    state = InstanceState()
    for raw in history:
        state.apply(pb.HistoryEvent.FromString(raw))
    return state


def scheduled_wait(event: pb.HistoryEvent) -> Wait | None:
    """Return what an event of the scheduling kind waits for."""
    match event.WhichOneof("eventType"):
        case "taskScheduled":
            return Wait("task", event.eventId)
        case "timerCreated":
            return Wait("timer", event.eventId)
        case "childWorkflowInstanceCreated":
            return Wait("child", event.eventId)
        case _:
            return None


def resolved_wait(event: pb.HistoryEvent) -> Wait | None:
    """Return what an event resolves, if it is of the resolving kind."""
    match event.WhichOneof("eventType"):
        case "taskCompleted":
            return Wait("task", event.taskCompleted.taskScheduledId)
        case "taskFailed":
            return Wait("task", event.taskFailed.taskScheduledId)
        case "timerFired":
            return Wait("timer", event.timerFired.timerId)
        case "childWorkflowInstanceCompleted":
            return Wait("child", event.childWorkflowInstanceCompleted.taskScheduledId)
        case "childWorkflowInstanceFailed":
            return Wait("child", event.childWorkflowInstanceFailed.taskScheduledId)
        case _:
            return None


def request_identity(event: pb.HistoryEvent) -> RequestIdentity:
    """Return the identity of an event; equal bytes are the same event, see `durahub.engine.events.mark`."""
    raw = event.SerializeToString(deterministic=True)
    return RequestIdentity(blake2b(raw, digest_size=_DIGEST_BYTES).digest())


def pack_requests(requests: Mapping[RequestIdentity, int], now_s: int) -> bytes:
    """Return the recent ones of `requests` in bytes; inverse of `unpack_requests` for them.

    Recent is whatever may still arrive a second time, because the answer to its delivery was lost.
    """
    recent = [
        (identity, second)
        for identity, second in requests.items()
        if abs(now_s - second) <= REQUEST_MEMORY_S
    ]
    return b"".join(
        identity + second.to_bytes(_SECOND_BYTES, "big")
        for identity, second in recent[-MAX_REQUESTS_REMEMBERED:]
    )


def unpack_requests(packed: bytes) -> dict[RequestIdentity, int]:
    """Return the requests in `packed`."""
    size = _DIGEST_BYTES + _SECOND_BYTES
    return {
        RequestIdentity(packed[start : start + _DIGEST_BYTES]): int.from_bytes(
            packed[start + _DIGEST_BYTES : start + size], "big"
        )
        for start in range(0, len(packed) - size + 1, size)
    }


def child_ref(event: pb.HistoryEvent) -> ChildRef:
    """Return the child that a ChildWorkflowInstanceCreated event is about."""
    created = event.childWorkflowInstanceCreated
    return ChildRef(created.instanceId, target_app(event), Wait("child", event.eventId))


def child_key(parent: InstanceKey, child: ChildRef) -> InstanceKey:
    """Return the key of a child."""
    return InstanceKey(child.app_id or parent.app_id, child.instance_id)


def _on_started(state: InstanceState, event: pb.HistoryEvent) -> None:
    if state.start is None:
        state.start = event
        state.requests.update(unpack_requests(remembered_requests(event)))


def _on_completed(state: InstanceState, event: pb.HistoryEvent) -> None:
    if state.completed is None:
        state.completed = event.executionCompleted


def _on_scheduled(state: InstanceState, event: pb.HistoryEvent) -> None:
    wait = scheduled_wait(event)
    if wait in state.early:
        state.early.discard(wait)
        state.settled.add(wait)
    elif wait is not None:
        state.settled.discard(wait)
        state.open.add(wait)


def _on_timer(state: InstanceState, event: pb.HistoryEvent) -> None:
    # In the history of a rerun every timer stands behind its firing, and fires once more (Dapr).
    state.early.discard(Wait("timer", event.eventId))
    _on_scheduled(state, event)
    if Wait("timer", event.eventId) in state.open:
        state.await_timer(event.eventId, from_timestamp_ceil(event.timerCreated.fireAt))
    if event.timerCreated.WhichOneof("origin") == "externalEvent":
        name = event.timerCreated.externalEvent.name.upper()
        state.event_timers.setdefault(name, deque()).append(event.eventId)


def _on_child(state: InstanceState, event: pb.HistoryEvent) -> None:
    _on_scheduled(state, event)
    state.children.append(child_ref(event))


def _on_raised(state: InstanceState, event: pb.HistoryEvent) -> None:
    state.requests[request_identity(event)] = event.timestamp.seconds
    timer_id = take_event_timer(state, event.eventRaised.name)
    if timer_id is not None:
        state.settle(Wait("timer", timer_id))


def _on_terminated(state: InstanceState, event: pb.HistoryEvent) -> None:
    state.requests[request_identity(event)] = event.timestamp.seconds


def _on_suspended(state: InstanceState, event: pb.HistoryEvent) -> None:
    state.requests[request_identity(event)] = event.timestamp.seconds
    state.suspended = True


def _on_resumed(state: InstanceState, event: pb.HistoryEvent) -> None:
    state.requests[request_identity(event)] = event.timestamp.seconds
    state.suspended = False


def _on_turn(state: InstanceState, event: pb.HistoryEvent) -> None:
    version = event.workflowStarted.version
    state.patches += dict.fromkeys(p for p in version.patches if p not in state.patches)
    if version.HasField("name"):
        state.version_name = version.name


def _on_stalled(state: InstanceState, event: pb.HistoryEvent) -> None:
    state.stalls.add(event.executionStalled.description)


def take_event_timer(state: InstanceState, event_name: str) -> int | None:
    """Remove and return the oldest open timer that stands for a wait on `event_name`."""
    timers = state.event_timers.get(event_name.upper())
    while timers:
        timer_id = timers.popleft()
        if Wait("timer", timer_id) in state.open:
            return timer_id
    return None


def target_app(event: pb.HistoryEvent | pb.WorkflowAction) -> AppId | None:
    """Return the other application that an event or action is routed to, if any."""
    if event.HasField("router") and event.router.targetAppID:
        return AppId(event.router.targetAppID)
    return None


_HANDLERS = {
    "executionStarted": _on_started,
    "executionCompleted": _on_completed,
    "taskScheduled": _on_scheduled,
    "timerCreated": _on_timer,
    "childWorkflowInstanceCreated": _on_child,
    "eventRaised": _on_raised,
    "executionTerminated": _on_terminated,
    "executionSuspended": _on_suspended,
    "executionResumed": _on_resumed,
    "workflowStarted": _on_turn,
    "executionStalled": _on_stalled,
}

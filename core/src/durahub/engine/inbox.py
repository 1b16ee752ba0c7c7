"""Decides what of a claimed instance's inbox a turn takes, in which order. Pure.

Whatever may arrive twice, late, or out of order is dealt with here, once for all backends: receivers
drop what they have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from durahub.backend import ClaimedInstance, StoredMessage, Timer
from durahub.engine.damage import check_timer
from durahub.engine.events import remembered_requests
from durahub.engine.state import (
    InstanceState,
    RequestIdentity,
    Wait,
    request_identity,
    resolved_wait,
    unpack_requests,
)
from durahub.protocol import messages as pb
from durahub.protocol.frames import split_batch
from durahub.types import ExecutionId


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event out of the inbox.

    Attributes:
        raw: Its bytes as they were delivered; they go into the history unchanged.
        event: The same, decoded.
    """

    raw: bytes
    event: pb.HistoryEvent


@dataclass(slots=True)
class Admission:
    """What a turn takes from the inbox.

    Attributes:
        accepted: Events for the turn, in order; the start event is first.
        dropped: Why others were left out, for the log.
        cancelled_timers: Timers that an accepted external event makes pointless.
        terminate: The first accepted request to terminate.
        suspended: Whether the instance is suspended after these events.
        settled: What is resolved, or cancelled, by these events.
        requests: What clients asked for in these events, accepted or not, with the second of each.
        early: Resolutions of what is not scheduled yet. They count if this very turn schedules it, and are
            nothing otherwise.
    """

    accepted: list[Arrival] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    cancelled_timers: list[int] = field(default_factory=list)
    terminate: pb.ExecutionTerminatedEvent | None = None
    suspended: bool = False
    settled: set[Wait] = field(default_factory=set)
    requests: dict[RequestIdentity, int] = field(default_factory=dict)
    early: dict[Wait, Arrival] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Events that arrived together.

    Attributes:
        arrivals: In order.
        holds_start: The start is among them, so the others were carried over with it.
        is_addressed: They are for the present generation, and say so.
    """

    arrivals: tuple[Arrival, ...]
    holds_start: bool
    is_addressed: bool


def admit(state: InstanceState, claimed: ClaimedInstance) -> Admission:
    """Return what of the inbox a turn of `state` takes. Changes nothing.

    Taken are: the start, once; for everything scheduled the first resolution; every external event and
    request to terminate once; suspend and resume only when they change something (some SDKs fail on
    redundant ones). Messages for another generation are dropped. What resolves something that is not
    scheduled yet is neither taken nor dropped, but put aside as early.

    Raises:
        google.protobuf.message.DecodeError: An event does not decode.
        BackendCorruptionError: A message is no batch of events, or a timer is not its own.
    """
    admission = Admission(suspended=state.suspended)
    desk = _Desk(state, admission)
    # What the start carries over comes with it, and so before everything else.
    deliveries = _deliveries(claimed, admission.dropped)
    for delivery in sorted(deliveries, key=lambda delivery: not delivery.holds_start):
        for arrival in delivery.arrivals:
            desk.take(arrival, delivery)
    return admission


def _deliveries(claimed: ClaimedInstance, dropped: list[str]) -> Iterator[_Delivery]:
    """Yield each message and timer that is for this generation."""
    for item in _by_time(claimed.messages, claimed.timers):
        wanted: ExecutionId | None = None
        payload = item.payload if isinstance(item, Timer) else item.message.payload
        if isinstance(item, StoredMessage):
            wanted = item.message.execution_id
            if wanted is not None and wanted != claimed.record.execution_id:
                dropped.append(f"message {item.message_id} is for an earlier generation")
                continue
        arrivals = tuple(
            Arrival(raw, pb.HistoryEvent.FromString(raw)) for raw in split_batch(payload)
        )
        if isinstance(item, Timer):
            check_timer(claimed.record.key.instance_id, item, [one.event for one in arrivals])
        holds_start = any(arrival.event.HasField("executionStarted") for arrival in arrivals)
        yield _Delivery(arrivals, holds_start, is_addressed=wanted is not None)


def _by_time(
    messages: Sequence[StoredMessage], timers: Sequence[Timer]
) -> Iterator[StoredMessage | Timer]:
    """Put due timers where they would have been delivered; messages keep their order among them."""
    waiting = list(reversed(timers))
    for message in messages:
        while waiting and waiting[-1].due_at <= message.accepted_at:
            yield waiting.pop()
        yield message
    yield from reversed(waiting)


class _Desk:
    """Admits events one after the other, seeing the committed state and what it let in before."""

    def __init__(self, state: InstanceState, admission: Admission) -> None:
        self._state = state
        self._admission = admission
        self._started = state.start is not None
        self._remembered: Mapping[RequestIdentity, int] = {}
        self._settled = admission.settled
        self._event_timers: dict[str, deque[int]] = {}

    def take(self, arrival: Arrival, delivery: _Delivery) -> None:
        wait = resolved_wait(arrival.event)
        if wait is not None and self._is_early(wait, delivery):
            self._admission.early[wait] = arrival
            return
        # What comes with the start was carried over, once; SDKs make equal events of equal ones then.
        objection = self._objection(arrival.event, carried=delivery.holds_start)
        if objection is None:
            self._admission.accepted.append(arrival)
        else:
            kind = arrival.event.WhichOneof("eventType")
            self._admission.dropped.append(f"{kind}: {objection}")

    def _objection(self, event: pb.HistoryEvent, *, carried: bool) -> str | None:
        match event.WhichOneof("eventType"):
            case "executionStarted":
                return self._start(event)
            case "executionTerminated" | "executionSuspended" | "executionResumed" | "eventRaised":
                return self._request(event, carried=carried)
            case _:
                return self._resolve(event)

    def _start(self, event: pb.HistoryEvent) -> str | None:
        if self._started:
            return "the instance has started before"
        self._started = True
        self._remembered = unpack_requests(remembered_requests(event))
        return None

    def _request(self, event: pb.HistoryEvent, *, carried: bool) -> str | None:
        identity = request_identity(event)
        known = identity in self._state.requests or identity in self._admission.requests
        if not carried and (known or identity in self._remembered):
            return "it was delivered before"
        self._admission.requests[identity] = event.timestamp.seconds
        match event.WhichOneof("eventType"):
            case "executionTerminated":
                self._terminate(event.executionTerminated)
            case "eventRaised":
                self._cancel_event_timer(event.eventRaised.name)
            case kind:
                return self._suspend(suspended=kind == "executionSuspended")
        return None

    def _terminate(self, request: pb.ExecutionTerminatedEvent) -> None:
        if self._admission.terminate is None:
            self._admission.terminate = request

    def _suspend(self, *, suspended: bool) -> str | None:
        if self._admission.suspended == suspended:
            return "it changes nothing"
        self._admission.suspended = suspended
        return None

    def _cancel_event_timer(self, event_name: str) -> None:
        """Settle the timer that stands for the wait which this event ends, if there is one."""
        name = event_name.upper()
        if name not in self._event_timers:
            self._event_timers[name] = deque(self._state.event_timers.get(name, ()))
        timers = self._event_timers[name]
        while timers:
            wait = Wait("timer", timers.popleft())
            if wait in self._state.open and wait not in self._settled:
                self._settled.add(wait)
                self._admission.cancelled_timers.append(wait.event_id)
                return

    def _is_early(self, wait: Wait, delivery: _Delivery) -> bool:
        """Return whether a resolution may be of something that this turn schedules.

        What is carried over, or does not say for which generation it is, may come from an earlier one.
        """
        state = self._state
        return (
            delivery.is_addressed
            and not delivery.holds_start
            and wait not in self._admission.early
            and not (wait in state.open or wait in state.settled or wait in state.early)
        )

    def _resolve(self, event: pb.HistoryEvent) -> str | None:
        wait = resolved_wait(event)
        if wait is None:
            return "such an event can't be delivered"
        if wait in self._settled or wait in self._state.settled:
            return f"{wait.kind} {wait.event_id} is settled"
        if wait in self._admission.early:
            return f"{wait.kind} {wait.event_id} is resolved early"
        if wait not in self._state.open:
            return never_scheduled(wait)
        self._settled.add(wait)
        return None


def never_scheduled(wait: Wait) -> str:
    """Return why a resolution of `wait` is dropped."""
    return f"{wait.kind} {wait.event_id} was never scheduled"

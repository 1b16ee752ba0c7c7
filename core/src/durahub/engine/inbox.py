"""Decides what of a claimed instance's inbox a turn takes, in which order. Pure.

Whatever may arrive twice, late, or out of order is dealt with here, once for all backends: receivers
drop what they have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from durahub.backend import ClaimedInstance, StoredMessage, Timer
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
    """

    accepted: list[Arrival] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    cancelled_timers: list[int] = field(default_factory=list)
    terminate: pb.ExecutionTerminatedEvent | None = None
    suspended: bool = False
    settled: set[Wait] = field(default_factory=set)
    requests: dict[RequestIdentity, int] = field(default_factory=dict)


def admit(state: InstanceState, claimed: ClaimedInstance) -> Admission:
    """Return what of the inbox a turn of `state` takes. Changes nothing.

    Taken are: the start, once; for everything scheduled the first resolution; every external event and
    request to terminate once; suspend and resume only when they change something (some SDKs fail on
    redundant ones). Messages for another generation are dropped.

    Raises:
        google.protobuf.message.DecodeError: An event does not decode.
        BackendCorruptionError: A message is no batch of events.
    """
    admission = Admission(suspended=state.suspended)
    desk = _Desk(state, admission)
    for arrivals in _start_first(_arrivals(claimed, admission.dropped)):
        # What comes with the start was carried over, once; SDKs make equal events of equal ones then.
        carried = _holds_start(arrivals)
        for arrival in arrivals:
            desk.take(arrival, carried=carried)
    return admission


def _arrivals(claimed: ClaimedInstance, dropped: list[str]) -> Iterator[list[Arrival]]:
    """Yield the events of each message and timer."""
    for item in _by_time(claimed.messages, claimed.timers):
        if isinstance(item, StoredMessage):
            wanted = item.message.execution_id
            if wanted is not None and wanted != claimed.record.execution_id:
                dropped.append(f"message {item.message_id} is for an earlier generation")
                continue
        payload = item.message.payload if isinstance(item, StoredMessage) else item.payload
        yield [Arrival(raw, pb.HistoryEvent.FromString(raw)) for raw in split_batch(payload)]


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


def _start_first(items: Iterable[list[Arrival]]) -> list[list[Arrival]]:
    """Put the message with the start first, as a whole: what it carries over comes with it."""
    return sorted(items, key=lambda arrivals: not _holds_start(arrivals))


def _holds_start(arrivals: list[Arrival]) -> bool:
    return any(arrival.event.HasField("executionStarted") for arrival in arrivals)


class _Desk:
    """Admits events one after the other, seeing the committed state and what it let in before."""

    def __init__(self, state: InstanceState, admission: Admission) -> None:
        self._state = state
        self._admission = admission
        self._started = state.start is not None
        self._remembered: Mapping[RequestIdentity, int] = {}
        self._settled = admission.settled
        self._event_timers: dict[str, deque[int]] = {}

    def take(self, arrival: Arrival, *, carried: bool) -> None:
        objection = self._objection(arrival.event, carried=carried)
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

    def _resolve(self, event: pb.HistoryEvent) -> str | None:
        wait = resolved_wait(event)
        if wait is None:
            return "such an event can't be delivered"
        if wait in self._settled or wait in self._state.settled:
            return f"{wait.kind} {wait.event_id} is settled"
        if wait not in self._state.open:
            return f"{wait.kind} {wait.event_id} was never scheduled"
        self._settled.add(wait)
        return None

"""What a turn takes from the inbox: each thing once, in order, whatever arrives how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.backend import ClaimedInstance, Message, StoredMessage
from durahub.engine.inbox import Admission, admit
from durahub.engine.state import InstanceState, Wait, fold, resolved_wait
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.types import ExecutionId
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import NOW, SECOND, claim, due_timer, raised, raws, stored
from .strategies import deliveries, histories, inboxes, quickly, raises, resolutions, starts

once_only = st.lists(st.one_of(resolutions, raises, starts), max_size=10)


def accepted(admission: Admission) -> list[bytes]:
    return [arrival.raw for arrival in admission.accepted]


def after(history: list[pb.HistoryEvent], admission: Admission) -> InstanceState:
    return fold([*raws(history), *accepted(admission)])


@quickly
@given(histories, once_only, st.data())
def test_admit_with_duplicates_anywhere_takes_what_it_took_without(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent], data: st.DataObject
) -> None:
    repeated = list(inbox)
    for _ in range(data.draw(st.integers(1, 5)) if inbox else 0):
        source = data.draw(st.integers(0, len(repeated) - 1))
        target = data.draw(st.integers(source + 1, len(repeated)))
        repeated.insert(target, repeated[source])
    once = admit(fold(raws(history)), claim(*inbox))
    again = admit(fold(raws(history)), claim(*repeated))
    assert accepted(again) == accepted(once)
    assert again.cancelled_timers == once.cancelled_timers
    assert len(again.dropped) == len(once.dropped) + len(repeated) - len(inbox)


@quickly
@given(histories, inboxes)
def test_admit_of_what_was_committed_before_takes_nothing_twice(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    first = admit(fold(raws(history)), claim(*inbox))
    second = admit(after(history, first), claim(*inbox))
    kinds = set(making.kinds(arrival.event for arrival in second.accepted))
    assert kinds <= {"executionTerminated", "executionSuspended", "executionResumed"}


def test_admit_of_one_pause_delivered_twice_around_a_resume_pauses_once() -> None:
    pause, resume = making.suspended(NOW), making.resumed(NOW + SECOND)
    admission = admit(fold([]), claim(pause, resume, pause))
    assert accepted(admission) == raws([pause, resume])
    assert not admission.suspended


def test_admit_of_one_termination_delivered_twice_takes_it_once() -> None:
    request = making.terminated("bye")
    assert accepted(admit(fold([]), claim(request, request))) == raws([request])


@quickly
@given(histories, inboxes)
def test_admit_of_any_inbox_never_takes_a_redundant_pause(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    state = fold(raws(history))
    admission = admit(state, claim(*inbox))
    suspended = state.suspended
    for arrival in admission.accepted:
        if arrival.event.HasField("executionSuspended"):
            assert not suspended
            suspended = True
        elif arrival.event.HasField("executionResumed"):
            assert suspended
            suspended = False
    assert admission.suspended == suspended


@quickly
@given(histories, inboxes)
def test_admit_of_any_inbox_puts_the_start_first_and_once(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    state = fold(raws(history))
    starts_taken = [
        place
        for place, arrival in enumerate(admit(state, claim(*inbox)).accepted)
        if arrival.event.HasField("executionStarted")
    ]
    arrived = any(event.HasField("executionStarted") for event in inbox)
    assert starts_taken == ([0] if arrived and state.start is None else [])


@quickly
@given(histories, inboxes)
def test_admit_of_any_inbox_leaves_the_state_alone_and_resolves_open_waits_only(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    state = fold(raws(history))
    admission = admit(state, claim(*inbox))
    assert state == fold(raws(history))
    resolved = [resolved_wait(arrival.event) for arrival in admission.accepted]
    taken = [wait for wait in resolved if wait is not None]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= state.open


@quickly
@given(histories, inboxes)
def test_admit_of_external_events_cancels_the_very_timers_that_the_history_settles(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    state = fold(raws(history))
    admission = admit(state, claim(*inbox))
    fired = {resolved_wait(arrival.event) for arrival in admission.accepted}
    closed = state.open - after(history, admission).open
    cancelled = {wait.event_id for wait in closed if wait not in fired}
    assert sorted(admission.cancelled_timers) == sorted(cancelled)


@quickly
@given(st.permutations(range(8)))
def test_admit_in_any_order_of_independent_messages_closes_the_same_waits(
    order: list[int],
) -> None:
    history = [
        making.opened(),
        making.started(),
        *(making.scheduled(number) for number in range(3)),
        *(making.timer_created(number) for number in range(3, 5)),
        *(making.child_created(number) for number in range(5, 7)),
    ]
    inbox = [
        making.task_completed(0),
        making.task_failed(1),
        making.timer_fired(3),
        making.timer_fired(4),
        making.child_completed(5),
        making.child_failed(6),
        raised("a"),
        making.task_completed(77),
    ]
    admission = admit(fold(raws(history)), claim(*(inbox[place] for place in order)))
    state = after(history, admission)
    assert state.open == {Wait("task", 2)}
    assert len(state.settled) == 6
    assert len(state.requests) == 1


@quickly
@given(st.lists(st.integers(0, 6), max_size=6), st.lists(st.integers(0, 6), max_size=5))
def test_admit_of_timers_and_messages_orders_them_by_time(
    message_times: list[int], timer_times: list[int]
) -> None:
    message_times.sort()
    timer_times.sort()
    messages = tuple(
        stored(raised(str(place), at=NOW + place * SECOND), number=place + 1, at=NOW + at * SECOND)
        for place, at in enumerate(message_times)
    )
    timers = tuple(due_timer(place, NOW + due * SECOND) for place, due in enumerate(timer_times))
    state = fold(raws(making.timer_created(place) for place in range(len(timers))))
    admission = admit(
        state, ClaimedInstance(record=making.record(), messages=messages, timers=timers)
    )
    expected = sorted(
        [(due, 0, place) for place, due in enumerate(timer_times)]
        + [(at, 1, place) for place, at in enumerate(message_times)]
    )
    found = [
        (0, arrival.event.timerFired.timerId)
        if arrival.event.HasField("timerFired")
        else (1, int(arrival.event.eventRaised.name))
        for arrival in admission.accepted
    ]
    assert found == [(rank, place) for _, rank, place in expected]


def test_admit_of_a_timer_that_an_event_in_the_same_claim_cancels_drops_the_later() -> None:
    state = fold(raws([making.timer_created(1, "paid")]))
    event_first = ClaimedInstance(
        record=making.record(),
        messages=(stored(raised("paid"), number=1, at=NOW),),
        timers=(due_timer(1, NOW + SECOND),),
    )
    admission = admit(state, event_first)
    assert making.kinds(arrival.event for arrival in admission.accepted) == ["eventRaised"]
    assert admission.cancelled_timers == [1]
    timer_first = ClaimedInstance(
        record=making.record(),
        messages=(stored(raised("paid"), number=1, at=NOW + SECOND),),
        timers=(due_timer(1, NOW),),
    )
    admission = admit(state, timer_first)
    kinds = making.kinds(arrival.event for arrival in admission.accepted)
    assert kinds == ["timerFired", "eventRaised"]
    assert admission.cancelled_timers == []


@quickly
@given(st.lists(deliveries, max_size=5))
def test_admit_of_an_older_generations_messages_drops_them(
    inbox: list[pb.HistoryEvent],
) -> None:
    state = fold(raws([making.started(), making.scheduled(1), making.timer_created(2)]))
    messages = tuple(
        stored(event, number=number, execution_id=ExecutionId("run-0"))
        for number, event in enumerate(inbox)
    )
    admission = admit(state, ClaimedInstance(record=making.record(), messages=messages, timers=()))
    assert admission.accepted == []
    assert len(admission.dropped) == len(inbox)


def test_admit_of_carried_events_keeps_them_before_what_came_later() -> None:
    """The next generation's start lies behind what arrived while the last turn ran."""
    older, newer = raised("older", NOW), raised("newer", NOW + SECOND)
    claimed = ClaimedInstance(
        record=making.record(),
        messages=(
            stored(newer, number=1, at=NOW + SECOND),
            stored(making.started(), older, number=2, at=NOW + 2 * SECOND),
        ),
        timers=(),
    )
    admission = admit(InstanceState(), claimed)
    assert accepted(admission) == raws([making.started(), older, newer])


def test_admit_of_unknown_fields_keeps_every_byte() -> None:
    raw = raised("paid").SerializeToString() + b"\x92\x3e\x03new"
    payload = b"\x0a" + bytes([len(raw)]) + raw
    message = StoredMessage(message_id=1, message=Message(payload=payload), accepted_at=NOW)
    claimed = ClaimedInstance(record=making.record(), messages=(message,), timers=())
    assert accepted(admit(fold([]), claimed)) == [raw]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"\x0a\x03abc", DecodeError),
        (b"\x0a\x05a", BackendCorruptionError),
        (b"\x12\x00", BackendCorruptionError),
    ],
)
def test_admit_of_a_corrupt_message_raises(payload: bytes, error: type[Exception]) -> None:
    message = StoredMessage(message_id=1, message=Message(payload=payload), accepted_at=NOW)
    claimed = ClaimedInstance(record=making.record(), messages=(message,), timers=())
    with pytest.raises(error):
        admit(fold([]), claimed)


def test_admit_of_equal_events_with_other_times_takes_them_all() -> None:
    moments = [NOW + timedelta(microseconds=number) for number in range(3)]
    events = [raised("paid", at, "1") for at in moments]
    assert accepted(admit(fold([]), claim(*events))) == raws(events)

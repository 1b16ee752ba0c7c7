"""Folding a history: the same however it is cut, and equal to the plain definition of a wait."""

from __future__ import annotations

import itertools
from collections import deque
from datetime import datetime

from durahub.engine.state import InstanceState, Wait, fold, resolved_wait, scheduled_wait
from durahub.protocol import messages as pb
from durahub.types import AppId
from hypothesis import given
from hypothesis import strategies as st

from .making import (
    NOW,
    SECOND,
    child_completed,
    child_created,
    child_failed,
    opened,
    raised,
    raws,
    resumed,
    scheduled,
    started,
    suspended,
    task_completed,
    task_failed,
    timer_created,
    timer_fired,
)
from .strategies import histories, ids, quickly


@quickly
@given(histories, st.data())
def test_fold_in_any_split_equals_fold_at_once(
    history: list[pb.HistoryEvent], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=4)))
    state = InstanceState()
    for begin, end in zip([0, *cuts], [*cuts, len(history)], strict=True):
        for event in history[begin:end]:
            state.apply(event)
    assert state == fold(raws(history))
    assert state.events == len(history)


@quickly
@given(histories)
def test_fold_of_any_history_agrees_with_the_definition_of_waits(
    history: list[pb.HistoryEvent],
) -> None:
    state = fold(raws(history))
    planned = {wait for wait in map(scheduled_wait, history) if wait}
    resolved = {wait for wait in map(resolved_wait, history) if wait}
    assert state.open | state.settled == planned
    assert state.open & state.settled == set()
    assert state.early == resolved - planned
    assert (state.open, state.settled) == waits_by_the_rules(history)


def test_schedule_of_a_settled_id_opens_it_again() -> None:
    """Python SDKs before 1.17 give the next attempt the id of the one that failed."""
    history = [scheduled(1), task_failed(1), timer_created(2), timer_fired(2), scheduled(1)]
    state = fold(raws(history))
    assert (state.open, state.settled) == ({Wait("task", 1)}, {Wait("timer", 2)})
    state.apply(task_completed(1))
    assert (state.open, state.settled) == (set(), {Wait("task", 1), Wait("timer", 2)})


def waits_by_the_rules(history: list[pb.HistoryEvent]) -> tuple[set[Wait], set[Wait]]:
    """Follow the rules literally; return what is open and what is settled.

    What is scheduled is open, unless it was resolved early; of a timer that fired early, as in the history
    of a rerun, not even then. A resolution settles. An external event settles the oldest open timer that
    stands for a wait on it, and those before it are passed over for good.
    """
    opened: set[Wait] = set()
    settled: set[Wait] = set()
    early: set[Wait] = set()
    waiting: list[tuple[str, Wait]] = []
    for event in history:
        if (wait := scheduled_wait(event)) is not None:
            is_done = wait in early and wait.kind != "timer"
            early.discard(wait)
            (settled if is_done else opened).add(wait)
            (opened if is_done else settled).discard(wait)
            if event.timerCreated.HasField("externalEvent"):
                waiting.append((event.timerCreated.externalEvent.name.upper(), wait))
        elif event.HasField("eventRaised"):
            name = event.eventRaised.name.upper()
            mine = [one for one in waiting if one[0] == name]
            passed = list(itertools.takewhile(lambda one: one[1] not in opened, mine))
            taken = mine[len(passed) : len(passed) + 1]
            for one in (*passed, *taken):
                waiting.remove(one)
            settled.update(wait for _, wait in taken)
            opened.difference_update(wait for _, wait in taken)
        elif (wait := resolved_wait(event)) is not None:
            (settled if wait in opened | settled else early).add(wait)
            opened.discard(wait)
    return opened, settled


@quickly
@given(ids)
def test_settle_by_completion_or_failure_closes_the_same_wait(number: int) -> None:
    for resolution in (task_completed, task_failed):
        state = fold(raws([scheduled(number), resolution(number)]))
        assert (state.open, state.settled) == (set(), {Wait("task", number)})
    for resolution in (child_completed, child_failed):
        state = fold(raws([child_created(number), resolution(number)]))
        assert (state.open, state.settled) == (set(), {Wait("child", number)})
    state = fold(raws([timer_created(number), timer_fired(number)]))
    assert (state.open, state.settled) == (set(), {Wait("timer", number)})


def test_settle_of_one_kind_leaves_the_same_number_of_another_kind_open() -> None:
    state = fold(raws([scheduled(0), timer_created(0), child_created(0), timer_fired(0)]))
    assert state.open == {Wait("task", 0), Wait("child", 0)}


def test_resolve_before_schedule_never_reopens_the_wait() -> None:
    state = fold(raws([task_completed(4), scheduled(4)]))
    assert state.open == set()


@quickly
@given(
    st.lists(st.tuples(ids, st.integers(0, 50))), st.lists(st.tuples(ids, st.booleans())), st.data()
)
def test_next_due_at_is_that_of_the_earliest_open_timer(
    created: list[tuple[int, int]], fired: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """Timers may be created anew after they fired, and asked for at any time."""
    state, due_at = InstanceState(), dict[int, datetime]()
    for number, second in created:
        if number not in due_at:
            due_at[number] = NOW + second * SECOND
            state.apply(timer_created(number, at=due_at[number]))
        if data.draw(st.booleans()):
            assert state.next_due_at() == min(due_at.values(), default=None)
        for other, happens in fired:
            if happens and due_at.pop(other, None) is not None:
                state.apply(timer_fired(other))
    assert state.next_due_at() == min(due_at.values(), default=None)


def test_next_due_at_of_timers_that_never_come_is_none() -> None:
    state = fold(raws([started(), timer_created(1), timer_created(2, waits_for="go")]))
    assert state.next_due_at() is None


def test_raise_with_several_waits_takes_the_oldest_of_that_name() -> None:
    state = fold(
        raws(
            [
                timer_created(1, "Paid"),
                timer_created(2, "PAID"),
                timer_created(3, "shipped"),
                raised("paid"),
            ]
        )
    )
    assert state.open == {Wait("timer", 2), Wait("timer", 3)}
    assert state.event_timers["PAID"] == deque([2])


def test_raise_after_the_oldest_timer_fired_takes_the_next() -> None:
    state = fold(
        raws([timer_created(1, "paid"), timer_created(2, "paid"), timer_fired(1), raised("Paid")])
    )
    assert state.settled == {Wait("timer", 1), Wait("timer", 2)}


def test_raise_without_a_wait_leaves_later_waits_alone() -> None:
    state = fold(raws([raised("paid"), timer_created(1, "paid")]))
    assert state.open == {Wait("timer", 1)}


def test_fold_of_a_run_keeps_start_children_patches_and_version() -> None:
    turn = opened()
    turn.workflowStarted.version.patches.extend(["a", "b"])
    turn.workflowStarted.version.name = "v2"
    away = child_created(7, "far")
    away.router.targetAppID = "stock"
    state = fold(raws([turn, started("in"), child_created(6, "near"), away, started("again")]))
    assert state.start is not None
    assert state.start.executionStarted.input.value == "in"
    assert [ref[:2] for ref in state.children] == [("near", None), ("far", AppId("stock"))]
    assert (state.patches, state.version_name) == (["a", "b"], "v2")


def test_fold_of_pauses_keeps_the_last_word() -> None:
    assert fold(raws([suspended(), resumed(), suspended()])).suspended
    assert not fold(raws([suspended(), resumed()])).suspended

"""The history that a rerun begins with, for any history that an instance may have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from durahub.backend import ClaimedInstance, Message, StoredMessage
from durahub.engine.adoption import adopt
from durahub.engine.rerun import Rerun, fork_history
from durahub.engine.state import Wait, fold, resolved_wait, scheduled_wait
from durahub.errors import InvalidRequestError, RerunTargetError
from durahub.protocol import messages as pb
from durahub.protocol.frames import fork_bytes
from durahub.protocol.times import from_timestamp_ceil
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import FOREVER, NOW, SECOND
from .simulation import Run, begun, decided
from .strategies import quickly

LATER = NOW + 1000 * SECOND
INPUT = making.text("new")

NOT_RERUNNABLE = (
    "target event '*protos.HistoryEvent_{}' with ID '{}' is not an event that can be rerun"
)
DETACHED = (
    "event '3' is a detached workflow spawn and cannot be rerun: detached spawns are "
    "fire-and-forget and have no replayable continuation in the caller"
)

RESOLUTIONS = {
    "task": (making.task_completed, making.task_failed),
    "child": (making.child_completed, making.child_failed),
    "timer": (making.timer_fired,),
}


def asked(event_id: int, **changes: Any) -> Rerun:
    plain = Rerun(
        source_id="old",
        new_id="new",
        event_id=event_id,
        overwrite_input=False,
        input=None,
        child_id=None,
        now=LATER,
    )
    return dataclasses.replace(plain, **changes)


def some_action(kind: str, number: int) -> pb.WorkflowAction:
    made = {
        "task": lambda: making.schedule(number),
        "timer": lambda: making.sleep(number, FOREVER),
        "wait": lambda: making.sleep(number, FOREVER, "paid"),
        "child": lambda: making.child(number, f"child-{number}"),
        "sent": lambda: making.send(number, "other", "paid"),
        "detached": lambda: making.detached(number, f"other-{number}"),
    }
    return made[kind]()


@st.composite
def histories(draw: st.DrawFn) -> list[pb.HistoryEvent]:
    """Return the history of a run whose every turn resolves, hears and schedules something or nothing."""
    numbers = iter(range(1000))
    kinds = st.lists(
        st.sampled_from(["task", "timer", "wait", "child", "sent", "detached"]), max_size=3
    )

    def actions() -> list[pb.WorkflowAction]:
        return [some_action(kind, next(numbers)) for kind in draw(kinds)]

    run = begun(making.schedule(next(numbers)), *actions())
    for _ in range(draw(st.integers(0, 6))):
        run.now += SECOND
        hear(run, draw)
        decided(run, *actions())
    if draw(st.booleans()):
        run.deliver(making.raised("last", run.now))
        decided(run, making.complete(number=next(numbers)))
    return run.events()


def hear(run: Run, draw: st.DrawFn) -> None:
    for wait in sorted(run.resident.state.open):
        if draw(st.booleans()):
            run.deliver(draw(st.sampled_from(RESOLUTIONS[wait.kind]))(wait.event_id))
    run.deliver(making.raised(draw(st.sampled_from(["paid", "other"])), run.now))
    if draw(st.booleans()):
        run.deliver(draw(st.sampled_from([making.suspended, making.resumed]))(run.now))


def targets(history: Sequence[pb.HistoryEvent]) -> list[int]:
    return [event.eventId for event in history if scheduled_wait(event) is not None]


def before(history: Sequence[pb.HistoryEvent], event_id: int) -> list[pb.HistoryEvent]:
    position = [event.eventId for event in history].index(event_id)
    return list(history[:position])


def resolved(history: Sequence[pb.HistoryEvent]) -> set[Wait]:
    """Return what stays resolved; timers never do."""
    waits = {resolved_wait(event) for event in history}
    return {wait for wait in waits if wait is not None and wait.kind != "timer"}


def again(history: Sequence[pb.HistoryEvent], event_id: int) -> list[int]:
    """Return the ids of what has to be done again, by the definition."""
    kept = resolved(before(history, event_id))
    waits = [scheduled_wait(event) for event in before(history, event_id)]
    return [wait.event_id for wait in waits if wait and wait not in kept] + [event_id]


Forks = tuple[list[pb.HistoryEvent], int, list[pb.HistoryEvent]]


@st.composite
def forks(draw: st.DrawFn) -> Forks:
    """Return a history, which may be that of a rerun itself, a target in it, and what is made of them."""
    history = draw(histories())
    if draw(st.booleans()):
        history = fork_history(history, asked(draw(st.sampled_from(targets(history)))))
    event_id = draw(st.sampled_from(targets(history)))
    return history, event_id, fork_history(history, asked(event_id))


@quickly
@given(forks())
def test_fork_schedules_what_was_not_resolved_again_once_and_the_target_last(made: Forks) -> None:
    history, event_id, fork = made
    expected = again(history, event_id)
    anew = fork[-len(expected) :]
    assert [event.eventId for event in anew] == expected
    assert {from_timestamp_ceil(event.timestamp) for event in anew} == {LATER}
    numbered = [event.eventId for event in fork if event.eventId >= 0]
    assert len(numbered) == len(set(numbered))


@quickly
@given(forks())
def test_fork_leaves_what_was_resolved_right_behind_its_schedule(made: Forks) -> None:
    history, event_id, fork = made
    kept = resolved(before(history, event_id))
    assert resolved(fork) == kept
    for position, event in enumerate(fork):
        wait = resolved_wait(event)
        if wait in kept:
            assert scheduled_wait(fork[position - 1]) == wait
            assert fork[position - 1] in history


@quickly
@given(forks())
def test_fork_copies_everything_else_before_the_target_verbatim(made: Forks) -> None:
    history, event_id, fork = made
    expected = [e for e in before(history, event_id) if scheduled_wait(e) is None]
    assert [event for event in fork if scheduled_wait(event) is None] == expected


@quickly
@given(forks())
def test_fork_leaves_open_exactly_what_is_scheduled_again(made: Forks) -> None:
    history, event_id, fork = made
    state = fold(making.raws(fork))
    assert sorted(wait.event_id for wait in state.open) == sorted(again(history, event_id))
    assert state.settled >= resolved(before(history, event_id))
    assert state.completed is None
    assert state.start is not None


@quickly
@given(histories(), st.data())
def test_fork_does_not_change_the_source(
    history: list[pb.HistoryEvent], data: st.DataObject
) -> None:
    raws = making.raws(history)
    event_id = data.draw(st.sampled_from(targets(history)))
    fork_history(history, asked(event_id))
    assert making.raws(history) == raws


def one_of_each() -> list[pb.HistoryEvent]:
    """Return a history with all that may be a target, 0 to 2, and some that may not."""
    run = begun(
        making.schedule(0, value="old"),
        making.sleep(1, FOREVER),
        making.child(2, "mine"),
        making.detached(3, "other"),
        making.send(4, "other", "paid"),
    )
    run.deliver(making.raised("paid"))
    decided(run, making.complete(number=5))
    return run.events()


@pytest.mark.parametrize(
    ("rerun", "error", "words"),
    [
        (asked(77), RerunTargetError, "does not have history event with ID '77'"),
        (asked(2**32 - 1), RerunTargetError, "does not have history event with ID '4294967295'"),
        (
            asked(5),
            RerunTargetError,
            NOT_RERUNNABLE.format("ExecutionCompleted", 5),
        ),
        (
            asked(4),
            RerunTargetError,
            NOT_RERUNNABLE.format("EventSent", 4),
        ),
        (
            asked(3),
            InvalidRequestError,
            DETACHED,
        ),
        (
            asked(1, overwrite_input=True, input=INPUT),
            InvalidRequestError,
            "cannot write input to timer event '1'",
        ),
        (
            asked(1, overwrite_input=True),
            InvalidRequestError,
            "cannot write input to timer event '1'",
        ),
        (
            asked(0, child_id="x"),
            InvalidRequestError,
            "cannot set new child workflow instance ID on activity event '0'",
        ),
        (
            asked(1, child_id="x"),
            InvalidRequestError,
            "cannot set new child workflow instance ID on timer event '1'",
        ),
    ],
)
def test_fork_refuses_what_makes_no_sense(rerun: Rerun, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as refused:
        fork_history(one_of_each(), rerun)
    assert str(refused.value) == words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "old"),
        ({"input": INPUT}, "old"),
        ({"input": INPUT, "overwrite_input": True}, "new"),
        ({"overwrite_input": True}, None),
    ],
)
def test_fork_overwrites_the_input_of_the_target_if_told_so(
    changes: dict[str, Any], expected: str | None
) -> None:
    scheduled = fork_history(one_of_each(), asked(0, **changes))[-1].taskScheduled
    assert (scheduled.input.value if scheduled.HasField("input") else None) == expected


@pytest.mark.parametrize("event_id", [0, 1, 2])
def test_fork_tells_only_the_target_where_it_comes_from(event_id: int) -> None:
    *others, target = fork_history(one_of_each(), asked(event_id))
    field = getattr(target, target.WhichOneof("eventType") or "")
    assert field.rerunParentInstanceInfo.instanceID == "old"
    assert all("rerunParentInstanceInfo" not in str(event) for event in others)


@pytest.mark.parametrize(("child_id", "expected"), [(None, "new:0002"), ("given", "given")])
def test_fork_gives_the_target_child_a_new_id(child_id: str | None, expected: str) -> None:
    target = fork_history(one_of_each(), asked(2, child_id=child_id))[-1]
    assert target.childWorkflowInstanceCreated.instanceId == expected


def test_fork_names_other_unresolved_children_after_the_new_instance() -> None:
    run = begun(making.child(10, "mine"), making.schedule(11))
    child, _ = fork_history(run.events(), asked(11))[-2:]
    assert child.childWorkflowInstanceCreated.instanceId == "new:000a"


def test_fork_keeps_the_start_event_of_the_source() -> None:
    history = one_of_each()
    assert fork_history(history, asked(0))[:2] == history[:2]


def test_fork_with_a_child_in_place_of_its_source_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="must be different from the original"):
        fork_history(one_of_each(), asked(2, child_id="old"))


def test_adopt_of_attempts_that_share_an_id_sets_the_last_one_going() -> None:
    """Python SDKs before 1.17 give the next attempt the id of the one that failed."""
    attempts = [making.scheduled(1), making.task_failed(1), making.scheduled(1)]
    history = [making.opened(), making.started(), *attempts]
    payload = fork_bytes(making.raws(history))
    message = StoredMessage(message_id=1, message=Message(payload=payload), accepted_at=NOW)
    claimed = ClaimedInstance(record=making.record(), messages=(message,), timers=())
    outcome = adopt(claimed, making.context())
    assert outcome is not None
    assert [task.key.task_id for task in outcome.commit.activities] == [1]

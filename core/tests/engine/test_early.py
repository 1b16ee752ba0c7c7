"""Resolutions that come before what they resolve is scheduled: they count for this turn, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from durahub.backend import ClaimedInstance, CommitTurn, Deliver, Message, StoredMessage
from durahub.engine.decision import TurnOutcome, settle_idle
from durahub.engine.inbox import admit
from durahub.engine.state import InstanceState, Wait, fold, resolved_wait
from durahub.protocol import messages as pb
from durahub.protocol.frames import batch_bytes, length_delimited, split_batch
from durahub.types import ExecutionId
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import FOREVER, KEY, NOW, RUN, raws, stored
from .simulation import Run, begun, decided
from .strategies import histories, quickly, resolutions

RESOLUTIONS: dict[str, tuple[Callable[[int], pb.HistoryEvent], ...]] = {
    "task": (making.task_completed, making.task_failed),
    "timer": (making.timer_fired,),
    "child": (making.child_completed, making.child_failed),
}
EVERY = [(kind, one) for kind, made in RESOLUTIONS.items() for one in made]
NEW_FIELD = length_delimited(1000, b"of a newer SDK")


def plan_of(kind: str, number: int) -> pb.WorkflowAction:
    match kind:
        case "task":
            return making.schedule(number)
        case "timer":
            return making.sleep(number, FOREVER)
        case _:
            return making.child(number)


def set_going(commit: CommitTurn) -> set[Wait]:
    return {
        *(Wait("task", task.key.task_id) for task in commit.activities),
        *(Wait("timer", timer.timer_id) for timer in commit.timers),
        *(Wait("child", child.parent.task_id) for child in commit.children if child.parent),
    }


def delivered(outgoing: tuple[Deliver, ...]) -> dict[Wait, bytes]:
    """Return what a turn puts into its own inbox, by what it resolves."""
    found = {}
    for deliver in outgoing:
        (message,) = deliver.messages
        assert (deliver.key, message.execution_id) == (KEY, RUN)
        (raw,) = split_batch(message.payload)
        wait = resolved_wait(pb.HistoryEvent.FromString(raw))
        assert wait is not None
        found[wait] = raw
    return found


@pytest.mark.parametrize(("kind", "resolution"), EVERY)
def test_early_resolution_resolves_what_the_turn_schedules(
    kind: str, resolution: Callable[[int], pb.HistoryEvent]
) -> None:
    run = Run()
    # Not as the protobuf library would write it.
    raw = NEW_FIELD + resolution(1).SerializeToString()
    message = Message(payload=batch_bytes([raw]), execution_id=RUN)
    run.waiting.append(StoredMessage(message_id=-1, message=message, accepted_at=NOW))
    run.deliver(making.started())
    plan = run.plan()
    assert making.kinds(arrival.event for arrival in plan.admission.accepted) == [
        "executionStarted"
    ]
    outcome = run.turn(plan, [plan_of(kind, 1)])
    assert isinstance(outcome, TurnOutcome)
    assert set_going(outcome.commit) == set()
    assert delivered(outcome.commit.outgoing) == {Wait(kind, 1): raw}
    assert outcome.log == ()
    assert run.waiting == []
    (deliver,) = outcome.commit.outgoing
    again = StoredMessage(message_id=-2, message=deliver.messages[0], accepted_at=NOW)
    run.waiting.append(again)
    decided(run, making.complete())
    assert run.resident.history.count(raw) == 1
    assert run.resident.state.open == set()
    assert run.resident.state.early == set()


@pytest.mark.parametrize(("kind", "resolution"), EVERY)
def test_early_resolution_of_what_is_not_scheduled_leaves_no_trace(
    kind: str, resolution: Callable[[int], pb.HistoryEvent]
) -> None:
    run = begun()
    run.deliver(resolution(77), execution_id=RUN)
    run.deliver(making.raised("paid"))
    outcome = decided(run, plan_of(kind, 1))
    assert outcome.log == (f"{kind} 77 was never scheduled",)
    assert set_going(outcome.commit) == {Wait(kind, 1)}
    assert run.waiting == []
    assert "eventRaised" in run.kinds()
    assert resolution(77).WhichOneof("eventType") not in run.kinds()
    later = decided(begun(plan_of(kind, 1)), plan_of(kind, 77))
    assert Wait(kind, 77) in set_going(later.commit)


def test_early_resolution_alone_needs_no_worker_and_disappears() -> None:
    run = begun()
    run.deliver(making.task_completed(1), execution_id=RUN)
    plan = run.plan()
    assert plan.is_idle
    outcome = settle_idle(plan, None, making.context())
    assert outcome.commit.consumed == plan.consumed
    assert outcome.commit.history == outcome.commit.outgoing == ()
    assert outcome.log == ("task 1 was never scheduled",)


def test_early_resolution_that_arrives_twice_counts_once_and_the_first_wins() -> None:
    run = begun()
    first, second = making.task_completed(1, "first"), making.task_failed(1)
    for event in (first, second, first):
        run.deliver(event, execution_id=RUN)
    run.deliver(making.raised("paid"))
    outcome = decided(run, making.schedule(1))
    assert delivered(outcome.commit.outgoing) == {Wait("task", 1): first.SerializeToString()}
    assert outcome.log == (
        "taskFailed: task 1 is resolved early",
        "taskCompleted: task 1 is resolved early",
    )


@pytest.mark.parametrize("wanted", [None, ExecutionId("run-0")])
def test_resolution_that_may_be_of_an_earlier_generation_is_never_early(
    wanted: ExecutionId | None,
) -> None:
    run = Run()
    run.deliver(making.started())
    run.deliver(making.task_completed(1), execution_id=wanted)
    outcome = decided(run, making.schedule(1))
    assert set_going(outcome.commit) == {Wait("task", 1)}
    assert outcome.commit.outgoing == ()


def test_resolution_that_is_carried_over_is_never_early() -> None:
    """The worker carries over what it did not take, whatever it is; the next generation counts anew."""
    run = Run()
    run.deliver(making.started(), making.task_completed(1), execution_id=RUN)
    outcome = decided(run, making.schedule(1))
    assert set_going(outcome.commit) == {Wait("task", 1)}
    assert outcome.commit.outgoing == ()


def test_early_resolution_is_no_business_of_the_next_generation() -> None:
    run = begun()
    run.deliver(making.task_completed(1), execution_id=RUN)
    run.deliver(making.raised("paid"))
    outcome = decided(run, making.schedule(1), making.continue_as_new("x"))
    assert outcome.commit.outgoing == ()
    assert len(outcome.commit.consumed) == 2
    assert outcome.log == ("task 1 was never scheduled",)


def test_early_resolution_waits_while_the_instance_stalls() -> None:
    run = Run()
    run.deliver(making.started())
    run.deliver(making.task_completed(1), execution_id=RUN)
    run.turn(run.plan(), [making.lack_version()])
    assert len(run.waiting) == 2
    outcome = decided(run, making.schedule(1))
    assert set(delivered(outcome.commit.outgoing)) == {Wait("task", 1)}


def test_child_that_was_resolved_early_is_not_reached_by_a_termination() -> None:
    run = begun()
    run.deliver(making.child_completed(1), execution_id=RUN)
    run.deliver(making.terminated(recurse=True))
    ended = making.complete(status=pb.ORCHESTRATION_STATUS_TERMINATED)
    outcome = decided(run, making.child(1, "stranger"), making.child(2, "kid"), ended)
    assert [one.key.instance_id for one in outcome.commit.outgoing] == [KEY.instance_id]
    assert [child.key.instance_id for child in outcome.commit.children] == ["kid"]


@pytest.mark.parametrize("kind", ["task", "child"])
def test_resolution_that_stands_in_the_history_before_its_schedule_resolves_it(kind: str) -> None:
    """A worker replays such a history, finds the call resolved, and asks for it to be scheduled."""
    run = begun()
    early = RESOLUTIONS[kind][0](1)
    run.resident.absorb(1, raws([early]), [early])
    run.deliver(making.raised("paid"))
    outcome = decided(run, plan_of(kind, 1), plan_of(kind, 2))
    assert set_going(outcome.commit) == {Wait(kind, 2)}
    assert outcome.commit.outgoing == ()
    assert run.resident.state.open == {Wait(kind, 2)}
    assert run.resident.state.settled == {Wait(kind, 1)}


def test_timer_whose_firing_stands_before_it_fires_once_more() -> None:
    """As in the history of a rerun, where the worker has taken no notice of it."""
    run = begun()
    run.resident.absorb(1, raws([making.timer_fired(1)]), [making.timer_fired(1)])
    run.deliver(making.raised("paid"))
    assert set_going(decided(run, making.sleep(1, FOREVER)).commit) == {Wait("timer", 1)}


actions = st.lists(
    st.tuples(st.sampled_from(sorted(RESOLUTIONS)), st.integers(0, 3)), unique=True, max_size=6
)


@quickly
@given(histories, st.lists(resolutions, max_size=8), actions)
def test_everything_that_any_turn_schedules_is_resolved_or_set_going_never_both(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent], asked: list[tuple[str, int]]
) -> None:
    run = begun()
    run.resident.absorb(1, raws(history), history)
    before = fold(run.resident.history)
    for event in inbox:
        run.deliver(event, execution_id=RUN)
    run.deliver(making.raised("paid"))
    commit = decided(run, *(plan_of(kind, number) for kind, number in asked)).commit
    again, going = delivered(commit.outgoing), set_going(commit)
    fresh = {Wait(kind, number) for kind, number in asked} - before.open
    settled_by_history = {wait for wait in fresh & before.early if wait.kind != "timer"}
    assert set(again) | going == fresh - settled_by_history
    assert set(again) & going == set()
    assert set(again) <= run.resident.state.open
    for raw in again.values():
        run.deliver(pb.HistoryEvent.FromString(raw), execution_id=RUN)
    taken = [arrival.raw for arrival in run.plan().admission.accepted]
    assert sorted(taken) == sorted(again.values())


@quickly
@given(histories, st.lists(resolutions, max_size=8))
def test_admit_of_addressed_resolutions_takes_puts_aside_or_drops_each(
    history: list[pb.HistoryEvent], inbox: list[pb.HistoryEvent]
) -> None:
    state = fold(raws(history))
    messages = tuple(
        stored(event, number=number, execution_id=RUN) for number, event in enumerate(inbox)
    )
    claimed = ClaimedInstance(record=making.record(), messages=messages, timers=())
    admission = admit(state, claimed)
    early = set(admission.early)
    assert not early & (state.open | state.settled | state.early)
    kept = len(admission.accepted) + len(admission.early) + len(admission.dropped)
    assert kept == len(inbox)
    assert state == fold(raws(history))


def test_timer_row_of_the_store_is_never_early() -> None:
    """Rows of timers are those of the present generation; one without its event is damage."""
    due = making.due_timer(5, NOW)
    claimed = ClaimedInstance(record=making.record(), messages=(), timers=(due,))
    admission = admit(InstanceState(), claimed)
    assert admission.early == {}
    assert admission.dropped == ["timerFired: timer 5 was never scheduled"]

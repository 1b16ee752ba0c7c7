"""Continue-as-new: what the next generation is given, and what stays behind."""

from __future__ import annotations

import pytest
from durahub.backend import ClaimedInstance
from durahub.engine.decision import TurnOutcome
from durahub.engine.events import mark
from durahub.engine.state import InstanceState
from durahub.engine.turn import plan_turn
from durahub.protocol import messages as pb
from durahub.types import ExecutionId, RuntimeStatus
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import FOREVER, KEY, NOW, RUN, SECOND
from .simulation import Run, begun, decided
from .strategies import deliveries, quickly, texts


def carried(outcome: TurnOutcome) -> list[pb.HistoryEvent]:
    following = outcome.commit.next_generation
    assert following is not None
    assert following.start.execution_id == following.execution_id
    return list(pb.EventBatch.FromString(following.start.payload).events)


@quickly
@given(texts, st.lists(deliveries, max_size=4))
def test_continue_as_new_carries_events_in_order_behind_the_start(
    value: str | None, events: list[pb.HistoryEvent]
) -> None:
    run = begun(making.schedule(1), making.sleep(2, FOREVER, "paid"))
    outcome = decided(run, making.schedule(5), making.continue_as_new(value, events))
    start, *others = carried(outcome)
    assert others == events
    following = outcome.commit.next_generation
    assert following is not None
    assert (following.input, following.execution_id != RUN) == (value, True)
    assert start.executionStarted.HasField("input") == (value is not None)
    assert start.executionStarted.workflowInstance.executionId.value == following.execution_id
    assert start.executionStarted.workflowInstance.instanceId == KEY.instance_id
    assert outcome.commit.status is RuntimeStatus.RUNNING
    assert outcome.history == ()


def test_continue_as_new_twice_gives_each_generation_its_own_id() -> None:
    run = begun()
    first = decided(run, making.continue_as_new()).commit.next_generation
    second = decided(run, making.continue_as_new()).commit.next_generation
    assert first is not None
    assert second is not None
    assert len({RUN, first.execution_id, second.execution_id}) == 3


def test_continue_as_new_keeps_parent_and_router_and_drops_the_rest() -> None:
    info = pb.ParentInstanceInfo(taskScheduledId=3)
    info.workflowInstance.instanceId = "boss"
    start = making.started("in", parent=info)
    start.router.sourceAppID = "shop"
    start.executionStarted.tags["a"] = "b"
    start.executionStarted.version.value = "1"
    start.executionStarted.parentTraceContext.traceParent = f"00-{'a' * 32}-{'b' * 16}-01"
    run = begun(making.schedule(1), start=start)
    (new,) = carried(decided(run, making.continue_as_new("next")))
    started = new.executionStarted
    assert new.router == start.router
    assert started.parentInstance == info
    assert not started.tags
    assert not started.HasField("version")
    trace = started.parentTraceContext.traceParent
    assert trace != start.executionStarted.parentTraceContext.traceParent
    assert [len(part) for part in trace.split("-")] == [2, 32, 16, 2]


@pytest.mark.parametrize(
    ("trace_parent", "flags"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", "01"),
        (f"00-{'a' * 32}-{'b' * 16}-00", "00"),
        ("a" * 32, "01"),
    ],
)
def test_continue_as_new_is_recorded_if_the_trace_before_was(trace_parent: str, flags: str) -> None:
    start = making.started()
    start.executionStarted.parentTraceContext.traceParent = trace_parent
    (new,) = carried(decided(begun(start=start), making.continue_as_new()))
    assert new.executionStarted.parentTraceContext.traceParent.split("-")[3] == flags


def test_continue_as_new_without_a_trace_begins_none() -> None:
    (new,) = carried(decided(begun(), making.continue_as_new()))
    assert not new.executionStarted.HasField("parentTraceContext")


def test_continue_as_new_keeps_the_responses_custom_status() -> None:
    run = begun()
    answer = making.response(making.continue_as_new(), customStatus=making.text(""))
    outcome = run.turn(run.plan(), answer)
    assert isinstance(outcome, TurnOutcome)
    assert outcome.commit.custom_status == ""


def test_continue_as_new_while_suspended_stays_suspended() -> None:
    run = begun(making.schedule(1))
    run.deliver(making.suspended())
    events = carried(decided(run, making.continue_as_new("", [making.raised("paid")])))
    assert making.kinds(events) == ["executionStarted", "eventRaised", "executionSuspended"]
    following = Run()
    following.deliver(*events)
    assert following.plan().admission.suspended


def test_continue_as_new_consumes_what_the_turn_took_and_its_timers() -> None:
    run = begun(making.sleep(1, NOW), making.sleep(2, NOW + SECOND))
    run.now += 2 * SECOND
    run.deliver(making.raised("paid"))
    commit = decided(run, making.continue_as_new()).commit
    assert (commit.consumed, commit.removed_timers, commit.timers) == ((2,), (1, 2), ())


def test_next_generation_with_late_results_of_the_old_takes_its_own_only() -> None:
    """The same task id, scheduled by both generations; the old result comes late."""
    run = begun(making.schedule(1))
    run.deliver(making.task_completed(1, "old"), execution_id=ExecutionId("run-0"))
    run.deliver(making.task_completed(1, "new"), execution_id=RUN)
    (arrival,) = run.plan().admission.accepted
    assert arrival.event.taskCompleted.result.value == "new"
    assert run.plan().consumed == (2, 3)


def test_next_generation_with_any_carried_kinds_takes_only_what_can_be_delivered() -> None:
    odd = [
        making.task_completed(1),
        making.timer_fired(2),
        making.started("impostor"),
        pb.HistoryEvent(executionCompleted=pb.ExecutionCompletedEvent()),
        making.raised("paid"),
    ]
    events = carried(decided(begun(making.schedule(1)), making.continue_as_new("x", odd)))
    message = making.stored(*events, number=1)
    claimed = ClaimedInstance(record=making.record(), messages=(message,), timers=())
    plan = plan_turn(InstanceState(), claimed, NOW, committed=())
    taken = [arrival.event for arrival in plan.admission.accepted]
    assert making.kinds(taken) == ["executionStarted", "eventRaised"]
    assert plan.start.executionStarted.input.value == "x"


def test_next_generation_drops_a_repeated_delivery_of_what_was_carried_over() -> None:
    """The worker carried the event over as it came; its second copy arrives later."""
    event = making.raised("paid", NOW, "1")
    mark(event, b"from a client")
    run = begun(making.schedule(1))
    run.deliver(event)
    events = carried(decided(run, making.continue_as_new("", [event])))
    following = Run()
    following.deliver(*events)
    following.deliver(event)
    kinds = making.kinds(arrival.event for arrival in following.plan().admission.accepted)
    assert kinds == ["executionStarted", "eventRaised"]


def test_next_generation_takes_equal_events_without_times_each() -> None:
    bare = pb.HistoryEvent(eventId=-1, eventRaised=pb.EventRaisedEvent(name="paid"))
    events = carried(decided(begun(), making.continue_as_new("", [bare, bare, bare])))
    following = Run()
    following.deliver(*events)
    assert len(following.plan().admission.accepted) == 4

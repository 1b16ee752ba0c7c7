"""How an instance ends: termination, its reach, and what it wins over."""

from __future__ import annotations

from durahub.backend import CreateInstance, Deliver
from durahub.engine.decision import force_termination
from durahub.engine.turn import plan_turn
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.types import InstanceKey, RuntimeStatus
from hypothesis import given

from . import making
from .making import APP, NOW, SECOND
from .simulation import Run, begun, decided
from .strategies import quickly, texts


def reached(deliveries: tuple[Deliver, ...]) -> set[InstanceKey]:
    events = {
        delivery.key: pb.EventBatch.FromString(delivery.messages[0].payload).events[0]
        for delivery in deliveries
        if delivery.expedite
    }
    assert all(event.executionTerminated.recurse for event in events.values())
    assert len(events) == len([delivery for delivery in deliveries if delivery.expedite])
    return set(events)


def start_of(child: CreateInstance) -> list[str | None]:
    return making.kinds(pb.EventBatch.FromString(child.start.payload).events)


@quickly
@given(texts)
def test_terminate_without_an_answer_to_it_is_enforced_with_its_output(
    output: str | None,
) -> None:
    run = begun(making.schedule(1), making.sleep(2, NOW + SECOND))
    run.deliver(making.terminated(output))
    outcome = decided(run, making.schedule(3), making.send(4, "other", "paid"))
    assert outcome.commit.status is RuntimeStatus.TERMINATED
    assert outcome.commit.output == output
    assert making.kinds(outcome.history) == [
        "workflowStarted",
        "executionTerminated",
        "executionCompleted",
    ]
    assert outcome.history[-1].eventId == -1
    assert (outcome.commit.activities, outcome.commit.outgoing) == ((), ())


def test_terminate_twice_takes_the_first_output() -> None:
    run = begun(making.schedule(1))
    run.deliver(making.terminated("first"))
    run.deliver(making.terminated("second", at=NOW + SECOND))
    assert decided(run).commit.output == "first"


def test_terminate_with_the_workers_own_ending_takes_that() -> None:
    run = begun(making.schedule(1))
    run.deliver(making.terminated("bye"))
    outcome = decided(run, making.complete("done"))
    assert (outcome.commit.status, outcome.commit.output) == (RuntimeStatus.COMPLETED, "done")


def test_terminate_beats_continue_as_new() -> None:
    run = begun(making.schedule(1))
    run.deliver(making.terminated("bye"))
    outcome = decided(run, making.continue_as_new("again"))
    assert outcome.commit.next_generation is None
    assert (outcome.commit.status, outcome.commit.output) == (RuntimeStatus.TERMINATED, "bye")


def test_terminate_recursively_reaches_old_and_new_children_but_nothing_detached() -> None:
    far = making.child(2, "far")
    far.router.targetAppID = "stock"
    run = begun(making.child(1, "near"), far, making.detached(3, "free"))
    run.deliver(making.terminated("bye", recurse=True))
    terminated = making.complete("bye", status=pb.ORCHESTRATION_STATUS_TERMINATED)
    outcome = decided(run, making.child(4, "new"), making.detached(5, "freer"), terminated)
    assert reached(outcome.commit.outgoing) == {
        InstanceKey(APP, "near"),
        InstanceKey(making.AppId("stock"), "far"),
    }
    new, free = sorted(outcome.commit.children, key=lambda child: child.parent is None)
    assert start_of(new) == ["executionStarted", "executionTerminated"]
    assert start_of(free) == ["executionStarted"]


def test_terminate_recursively_by_force_reaches_the_children_of_earlier_turns_only() -> None:
    run = begun(making.child(1, "near"))
    run.deliver(making.terminated(recurse=True))
    outcome = decided(run, making.child(4, "never"))
    assert reached(outcome.commit.outgoing) == {InstanceKey(APP, "near")}
    assert outcome.commit.children == ()


def test_terminate_without_recursion_leaves_children_alone() -> None:
    run = begun(making.child(1, "near"))
    run.deliver(making.terminated())
    assert decided(run).commit.outgoing == ()


def test_terminate_recursively_spares_who_was_never_a_child() -> None:
    """The id of the second child was somebody else's: the failure came back."""
    run = begun(making.child(1, "mine"), making.child(2, "theirs"))
    run.deliver(making.child_failed(2))
    decided(run, making.schedule(3))
    run.deliver(making.terminated(recurse=True))
    assert InstanceKey(APP, "theirs") not in reached(decided(run).commit.outgoing)


def test_force_of_a_child_tells_the_parent_without_details() -> None:
    info = pb.ParentInstanceInfo(taskScheduledId=3)
    info.workflowInstance.instanceId = "boss"
    run = begun(making.schedule(1), start=making.started(parent=info))
    run.deliver(making.terminated("bye"))
    (delivery,) = decided(run).commit.outgoing
    assert delivery.key == InstanceKey(APP, "boss")
    (event,) = pb.EventBatch.FromString(delivery.messages[0].payload).events
    assert event.childWorkflowInstanceFailed.taskScheduledId == 3
    assert not event.childWorkflowInstanceFailed.HasField("failureDetails")


def test_terminate_before_a_scheduled_start_needs_no_worker() -> None:
    start = making.started()
    start.executionStarted.scheduledStartTimestamp.CopyFrom(to_timestamp(NOW + 9 * SECOND))
    claimed = making.claim(start, making.raised("paid"), making.terminated("bye"))
    plan = plan_turn(Run().resident.state, claimed, NOW, committed=())
    assert plan.ends_before_start
    outcome = force_termination(plan, pb.WorkflowResponse(), making.context())
    assert making.kinds(outcome.history) == [
        "workflowStarted",
        "executionStarted",
        "eventRaised",
        "executionTerminated",
        "executionCompleted",
    ]
    assert (outcome.commit.status, outcome.commit.output) == (RuntimeStatus.TERMINATED, "bye")
    assert outcome.commit.started_at == NOW


def test_plan_with_a_termination_ends_early_only_before_the_start_time() -> None:
    start = making.started()
    start.executionStarted.scheduledStartTimestamp.CopyFrom(to_timestamp(NOW))
    claimed = making.claim(start, making.terminated())
    on_time = plan_turn(Run().resident.state, claimed, NOW, committed=())
    unscheduled = plan_turn(
        Run().resident.state,
        making.claim(making.started(), making.terminated()),
        NOW,
        committed=(),
    )
    assert not on_time.ends_before_start
    assert not unscheduled.ends_before_start


def test_terminate_while_suspended_ends_all_the_same() -> None:
    run = begun(making.schedule(1))
    run.deliver(making.suspended())
    outcome = decided(run)
    assert outcome.commit.status is RuntimeStatus.SUSPENDED
    run.deliver(making.terminated("bye"))
    ended = decided(run)
    assert ended.commit.status is RuntimeStatus.TERMINATED

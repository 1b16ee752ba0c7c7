"""Turns with arbitrary inboxes and arbitrary answers: what holds for every one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from durahub.backend import CommitTurn
from durahub.engine.actions import InvalidResponseError
from durahub.engine.decision import Stall, TurnOutcome, settle_idle
from durahub.engine.state import InstanceState, Wait, fold, scheduled_wait
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.types import RuntimeStatus
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .simulation import Run, begun, decided
from .strategies import any_actions, inboxes, plain_actions, quickly, responses

ENDED = {
    RuntimeStatus.COMPLETED,
    RuntimeStatus.FAILED,
    RuntimeStatus.TERMINATED,
    RuntimeStatus.CANCELED,
}
turns = st.lists(st.tuples(inboxes, responses(any_actions, distinct=True)), min_size=1, max_size=4)


@quickly
@given(turns)
def test_decide_over_any_run_keeps_every_promise(
    script: list[tuple[list[pb.HistoryEvent], pb.WorkflowResponse]],
) -> None:
    run = Run()
    run.deliver(making.started("in"))
    for inbox, answer in script:
        for event in inbox:
            run.deliver(event)
        plan = run.plan()
        before = list(run.resident.history)
        try:
            outcome = run.turn(plan, answer)
        except InvalidResponseError:
            assert run.resident.history == before
            continue
        if isinstance(outcome, Stall):
            if outcome.kind == pb.VERSION_NOT_AVAILABLE:
                assert any(lacks_version(action) for action in answer.actions)
            else:
                current = list(dict.fromkeys(answer.version.patches))
                assert current[: len(plan.state.patches)] != plan.state.patches
            continue
        check_commit(plan, outcome)
        if outcome.commit.next_generation is not None:
            check_next_generation(plan, outcome.commit)
            return
        assert fold(run.resident.history) == run.resident.state
        assert run.resident.size_bytes == sum(map(len, run.resident.history))
        check_schedules(run, outcome)
        if outcome.commit.status in ENDED:
            return
        run.now += making.SECOND


def lacks_version(action: pb.WorkflowAction) -> bool:
    return action.HasField("workflowVersionNotAvailable") or (
        action.completeWorkflow.workflowStatus == pb.ORCHESTRATION_STATUS_STALLED
    )


def check_commit(plan: TurnPlan, outcome: TurnOutcome) -> None:
    commit = outcome.commit
    assert commit.consumed == tuple(message.message_id for message in plan.claimed.messages)
    fired = {timer.timer_id for timer in plan.claimed.timers}
    assert set(commit.removed_timers) >= fired
    assert making.raws(outcome.history) == list(commit.history)
    ends = [
        place for place, event in enumerate(outcome.history) if event.HasField("executionCompleted")
    ]
    if commit.status in ENDED:
        assert ends == [len(outcome.history) - 1]
        assert commit.completed_at is not None
        assert commit.timers == ()
        assert RuntimeStatus(outcome.history[-1].executionCompleted.workflowStatus) == commit.status
    else:
        assert ends == []
        assert (commit.completed_at, commit.output, commit.failure) == (None, None, None)
        paused = plan.admission.suspended and commit.next_generation is None
        assert commit.status is (RuntimeStatus.SUSPENDED if paused else RuntimeStatus.RUNNING)
        assert plan.admission.terminate is None
    if commit.next_generation is None:
        kinds = making.kinds(outcome.history)
        taken = making.kinds(arrival.event for arrival in plan.admission.accepted)
        assert kinds[: len(taken) + 1] == ["workflowStarted", *taken]


def check_next_generation(plan: TurnPlan, commit: CommitTurn) -> None:
    assert plan.admission.terminate is None
    assert commit.next_generation is not None
    assert commit.next_generation.execution_id != plan.execution_id
    assert commit.history == ()
    assert commit.timers == commit.activities == commit.children == commit.outgoing == ()


def check_schedules(run: Run, outcome: TurnOutcome) -> None:
    state = InstanceState()
    for event in run.events():
        assert scheduled_wait(event) not in state.open, "nothing is scheduled twice at a time"
        state.apply(event)
    commit, new = outcome.commit, outcome.history
    tasks = [event.eventId for event in new if event.HasField("taskScheduled")]
    assert [task.key.task_id for task in commit.activities] == tasks
    timers = [event.eventId for event in new if event.HasField("timerCreated")]
    assert [timer.timer_id for timer in commit.timers] == ([] if commit.status in ENDED else timers)
    created = [event.eventId for event in new if event.HasField("childWorkflowInstanceCreated")]
    assert [wait.event_id for wait in children_answered(outcome)] == sorted(created)
    keys = [child.key for child in commit.children]
    assert len(set(keys)) == len(keys)
    routed = [event for event in new if event.eventId != -1 or event.HasField("executionCompleted")]
    assert all(event.router.sourceAppID == making.APP for event in routed)


def children_answered(outcome: TurnOutcome) -> list[Wait]:
    """Return what becomes a child or is answered with a failure, each once."""
    started = [child.parent.task_id for child in outcome.commit.children if child.parent]
    failed = [
        event.childWorkflowInstanceFailed.taskScheduledId
        for delivery in outcome.commit.outgoing
        if delivery.key == making.KEY
        for message in delivery.messages
        for event in pb.EventBatch.FromString(message.payload).events
        if event.HasField("childWorkflowInstanceFailed")
        and event.childWorkflowInstanceFailed.failureDetails.errorType
        == "WorkflowInstanceAlreadyExists"
    ]
    return [Wait("child", number) for number in sorted([*started, *failed])]


@quickly
@given(responses(plain_actions, distinct=False))
def test_decide_on_an_id_used_twice_in_one_answer_never_schedules_twice(
    answer: pb.WorkflowResponse,
) -> None:
    run = Run()
    run.deliver(making.started())
    try:
        run.turn(run.plan(), answer)
    except InvalidResponseError:
        return
    state = InstanceState()
    for event in run.events():
        assert scheduled_wait(event) not in state.open, "nothing is scheduled twice at a time"
        state.apply(event)


@quickly
@given(responses(any_actions, distinct=True), st.booleans())
def test_decide_with_a_termination_waiting_never_lets_the_instance_go_on(
    answer: pb.WorkflowResponse,
    recurse: bool,  # noqa: FBT001 -- hypothesis passes by name
) -> None:
    run = begun(making.schedule(1), making.child(2, "kid"))
    run.deliver(making.terminated("bye", recurse=recurse))
    plan = run.plan()
    try:
        outcome = run.turn(plan, answer)
    except InvalidResponseError:
        return
    if isinstance(outcome, TurnOutcome):
        assert outcome.commit.status in ENDED
        assert outcome.commit.next_generation is None


@quickly
@given(responses(any_actions, distinct=True))
def test_decide_is_a_function_of_what_it_is_given(answer: pb.WorkflowResponse) -> None:
    outcomes = []
    for _ in range(2):
        run = begun(making.schedule(1), making.sleep(2, making.FOREVER, "paid"))
        run.deliver(making.raised("paid"))
        run.deliver(making.task_completed(1))
        try:
            outcomes.append(run.turn(run.plan(), answer))
        except InvalidResponseError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_decide_on_a_duplicated_inbox_commits_the_same_history() -> None:
    outcomes = []
    for copies in (1, 3):
        run = begun(making.schedule(0), making.schedule(1), making.child(2))
        for _ in range(copies):
            run.deliver(making.task_completed(0, "a"))
            run.deliver(making.child_failed(2))
            run.deliver(making.raised("paid"))
        outcomes.append(decided(run, making.schedule(5)))
    once, thrice = outcomes
    assert len(thrice.commit.consumed) == 9
    assert replace(thrice.commit, consumed=()) == replace(once.commit, consumed=())


def test_decide_on_a_replayed_action_leaves_it_out() -> None:
    run = begun(making.schedule(0), making.sleep(1, making.FOREVER), making.child(2, "kid"))
    run.deliver(making.task_completed(0))
    outcome = decided(
        run, making.schedule(0), making.sleep(1, making.NOW), making.child(2), making.schedule(3)
    )
    assert making.kinds(outcome.history) == ["workflowStarted", "taskCompleted", "taskScheduled"]
    assert (outcome.commit.timers, outcome.commit.children) == ((), ())


def test_settle_idle_with_nothing_new_only_clears_the_inbox() -> None:
    run = begun(making.schedule(0))
    run.deliver(making.task_completed(7))
    plan = run.plan()
    assert plan.is_idle
    outcome = settle_idle(plan, "half", making.context())
    assert outcome.commit == CommitTurn(
        key=making.KEY,
        execution_id=run.plan().execution_id,
        revision=1,
        status=RuntimeStatus.RUNNING,
        updated_at=making.NOW,
        custom_status="half",
        consumed=(2,),
    )
    assert outcome.log == ("taskCompleted: task 7 was never scheduled",)


@pytest.mark.parametrize("status", [0, 2, 6, 7, 42])
def test_decide_on_an_ending_that_is_none_raises(status: int) -> None:
    run = begun(making.schedule(0))
    run.deliver(making.terminated())
    action = making.complete(status=status)
    if status == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW:
        assert decided(run, action).commit.status is RuntimeStatus.TERMINATED
        return
    with pytest.raises(InvalidResponseError):
        run.turn(run.plan(), [action])

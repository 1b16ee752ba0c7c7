"""Where things may be routed to, and what becomes of those that can't."""

from __future__ import annotations

import pytest
from durahub.backend import CommitTurn
from durahub.engine.decision import TurnOutcome
from durahub.engine.routing import misrouting
from durahub.protocol import messages as pb
from durahub.types import AppId, InstanceKey

from . import making
from .making import APP, KEY
from .simulation import Run, begun, decided

NAMESPACE = (
    "a task hub has no namespaces: app ID 'stock' in namespace 'prod' can't be reached; "
    "leave the namespace out for an application of the same task hub"
)


@pytest.mark.parametrize("app_id", ["", "stock", "Stock_2-b", "-", "größe", "7", "my app!"])
def test_misrouting_of_what_can_be_reached_is_none(app_id: str) -> None:
    assert misrouting(pb.TaskRouter(targetAppID=app_id), "my app!") is None


@pytest.mark.parametrize("app_id", ["a b", "a.b", "a/b", "a||b", "*", " ", "\n", "\0"])
def test_misrouting_of_an_invalid_id_names_it(app_id: str) -> None:
    expected = f"invalid app ID '{app_id}': it may contain only letters, digits, '-' and '_'"
    assert misrouting(pb.TaskRouter(targetAppID=app_id), APP) == expected


def test_misrouting_of_a_namespace_says_what_to_do() -> None:
    assert (
        misrouting(pb.TaskRouter(targetAppID="stock", targetAppNamespace="prod"), APP) == NAMESPACE
    )
    assert misrouting(pb.TaskRouter(targetAppID="stock", targetAppNamespace=""), APP) is None
    lone = pb.TaskRouter(targetAppNamespace="prod")
    assert misrouting(lone, APP) == "a target app namespace requires a target app ID"


def away(
    action: pb.WorkflowAction, app_id: str = "a b", namespace: str | None = None
) -> pb.WorkflowAction:
    action.router.targetAppID = app_id
    if namespace is not None:
        action.router.targetAppNamespace = namespace
    return action


def first_turn(*actions: pb.WorkflowAction) -> TurnOutcome:
    run = Run()
    run.deliver(making.started())
    return decided(run, *actions)


def to_itself(commit: CommitTurn) -> list[pb.HistoryEvent]:
    """Return what a turn sends, which must all be for its own instance and generation."""
    messages = [(one.key, message) for one in commit.outgoing for message in one.messages]
    assert {(key, message.execution_id) for key, message in messages} <= {(KEY, making.RUN)}
    batches = [pb.EventBatch.FromString(message.payload).events for _, message in messages]
    return [event for batch in batches for event in batch]


@pytest.mark.parametrize(
    ("app_id", "namespace", "text"),
    [
        ("a b", None, "invalid app ID 'a b': it may contain only letters, digits, '-' and '_'"),
        ("stock", "prod", NAMESPACE),
        ("", "prod", "a target app namespace requires a target app ID"),
    ],
)
def test_work_for_where_nothing_can_be_sent_fails_in_the_next_turn(
    app_id: str, namespace: str | None, text: str
) -> None:
    task = away(making.schedule(1), app_id, namespace)
    task.scheduleTask.taskExecutionId = "t-1"
    outcome = first_turn(task, away(making.child(2, "kid"), app_id, namespace))
    assert (outcome.commit.activities, outcome.commit.children) == ((), ())
    failed_task, failed_child = to_itself(outcome.commit)
    assert (failed_task.taskFailed.taskScheduledId, failed_task.taskFailed.taskExecutionId) == (
        1,
        "t-1",
    )
    assert failed_task.router.sourceAppID == APP
    assert failed_child.childWorkflowInstanceFailed.taskScheduledId == 2
    for details in (
        failed_task.taskFailed.failureDetails,
        failed_child.childWorkflowInstanceFailed.failureDetails,
    ):
        assert (details.errorType, details.errorMessage) == ("WorkflowTargetInvalid", text)
        assert details.isNonRetriable


def test_what_expects_no_answer_is_dropped_where_nothing_can_be_sent_with_a_word_in_the_log() -> (
    None
):
    farewell = pb.WorkflowAction(
        id=3, terminateWorkflow=pb.TerminateWorkflowAction(instanceId="x", recurse=True)
    )
    outcome = first_turn(
        away(making.detached(1, "free")), away(making.send(2, "x", "paid")), away(farewell)
    )
    assert (outcome.commit.children, outcome.commit.outgoing) == ((), ())
    kinds = making.kinds(outcome.history)
    assert kinds[2:] == ["detachedWorkflowInstanceCreated", "eventSent"]
    assert [line.split()[0] for line in outcome.log] == [
        "createDetachedWorkflow",
        "sendEvent",
        "terminateWorkflow",
    ]


def test_terminate_recursively_spares_who_has_the_id_of_a_child_in_another_namespace() -> None:
    run = begun(
        away(making.child(1, "kid"), "stock", "prod"), away(making.child(2, "son"), "stock")
    )
    run.deliver(making.child_failed(1))
    run.deliver(making.terminated(recurse=True))
    ended = making.complete(status=pb.ORCHESTRATION_STATUS_TERMINATED)
    outcome = decided(run, away(making.child(3, "heir"), "stock", "prod"), ended)
    told = [one.key for one in outcome.commit.outgoing if one.expedite]
    assert told == [InstanceKey(AppId("stock"), "son")]

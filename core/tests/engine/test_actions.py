"""What single actions become: the facts of the protocol that SDKs rely on when they replay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from durahub.backend import Deliver, ParentLink
from durahub.clock import END_OF_TIME
from durahub.engine.actions import InvalidResponseError
from durahub.engine.decision import Stall, TurnOutcome
from durahub.protocol import messages as pb
from durahub.types import AppId, InstanceKey, RuntimeStatus, TaskKey
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from . import making
from .making import APP, FOREVER, KEY, NOW, RUN, SECOND
from .simulation import Run, begun, decided
from .strategies import ids, quickly, texts

MICROSECOND = timedelta(microseconds=1)
THEN = datetime.fromtimestamp(2_000_000_000, UTC)


def first_turn(*actions: pb.WorkflowAction, start: pb.HistoryEvent | None = None) -> TurnOutcome:
    run = Run()
    run.deliver(start or making.started("in"))
    return decided(run, *actions)


def sent(delivery: Deliver) -> pb.HistoryEvent:
    (message,) = delivery.messages
    (event,) = pb.EventBatch.FromString(message.payload).events
    return event


@quickly
@given(ids, texts, st.booleans())
def test_schedule_task_with_any_text_keeps_absent_and_empty_apart(
    number: int,
    value: str | None,
    versioned: bool,  # noqa: FBT001 -- hypothesis passes by name
) -> None:
    action = making.schedule(number, "charge", value)
    action.scheduleTask.taskExecutionId = "t-1"
    if versioned:
        action.scheduleTask.version.value = ""
    outcome = first_turn(action)
    scheduled = outcome.history[-1].taskScheduled
    (task,) = outcome.commit.activities
    request = pb.ActivityRequest.FromString(task.payload)
    for copy in (scheduled, request):
        assert copy.HasField("input") == (value is not None)
        assert copy.input.value == (value or "")
        assert copy.HasField("version") == versioned
        assert copy.taskExecutionId == "t-1"
    assert outcome.history[-1].eventId == request.taskId == number
    assert task.key == TaskKey(KEY, RUN, number)
    assert (task.app_id, task.name) == (APP, "charge")
    assert request.workflowInstance.instanceId == KEY.instance_id


def test_create_timer_at_the_end_of_time_survives_bytewise_and_never_comes() -> None:
    outcome = first_turn(making.sleep(0, FOREVER, "paid"))
    created = outcome.history[-1].timerCreated
    assert created.fireAt.SerializeToString() == FOREVER.SerializeToString()
    assert created.externalEvent.name == "paid"
    (timer,) = outcome.commit.timers
    assert (timer.timer_id, timer.due_at) == (0, END_OF_TIME)
    (fired,) = pb.EventBatch.FromString(timer.payload).events
    assert (fired.eventId, fired.timerFired.timerId, fired.timerFired.fireAt) == (-1, 0, FOREVER)


@quickly
@given(st.integers(0, 999_999_999))
def test_create_timer_with_nanoseconds_is_never_early_and_less_than_a_microsecond_late(
    nanos: int,
) -> None:
    outcome = first_turn(making.sleep(3, Timestamp(seconds=2_000_000_000, nanos=nanos)))
    (timer,) = outcome.commit.timers
    late = (timer.due_at - THEN) // MICROSECOND * 1000 - nanos
    assert 0 <= late < 1000
    assert outcome.history[-1].timerCreated.fireAt.nanos == nanos


@pytest.mark.parametrize(
    "origin", ["createTimer", "externalEvent", "activityRetry", "childWorkflowRetry"]
)
def test_create_timer_of_any_origin_keeps_it(origin: str) -> None:
    action = making.sleep(1, NOW)
    getattr(action.createTimer, origin).SetInParent()
    action.createTimer.name = ""
    created = first_turn(action).history[-1].timerCreated
    assert created.WhichOneof("origin") == origin
    assert created.HasField("name")


def test_create_child_without_an_id_derives_it_from_the_action() -> None:
    outcome = first_turn(making.child(10))
    (child,) = outcome.commit.children
    assert child.key == InstanceKey(APP, "order-1:000a")
    assert outcome.history[-1].childWorkflowInstanceCreated.instanceId == "order-1:000a"


def test_create_child_links_it_with_the_waiting_place() -> None:
    action = making.child(0, "kid")
    action.createChildWorkflow.input.value = ""
    action.createChildWorkflow.version.value = "7"
    action.router.targetAppID = "stock"
    outcome = first_turn(action)
    created = outcome.history[-1]
    assert (created.router.sourceAppID, created.router.targetAppID) == (APP, "stock")
    (child,) = outcome.commit.children
    assert child.key == InstanceKey(AppId("stock"), "kid")
    assert child.parent == ParentLink(key=KEY, execution_id=RUN, task_id=0)
    assert (child.input, child.version) == ("", "7")
    (start,) = pb.EventBatch.FromString(child.start.payload).events
    info = start.executionStarted.parentInstance
    assert (info.taskScheduledId, info.name.value, info.appID) == (0, "Flow", APP)
    assert info.workflowInstance.instanceId == KEY.instance_id
    assert info.workflowInstance.executionId.value == RUN
    assert start.executionStarted.workflowInstance.executionId.value == child.execution_id
    assert child.start.execution_id == child.execution_id
    assert not start.executionStarted.HasField("version")
    assert start.executionStarted.HasField("input")


def test_create_children_with_one_id_answers_the_second_at_once() -> None:
    outcome = first_turn(making.child(1, "kid"), making.child(2, "kid"), making.detached(3, "kid"))
    assert [child.parent and child.parent.task_id for child in outcome.commit.children] == [1]
    (answer,) = outcome.commit.outgoing
    failed = sent(answer).childWorkflowInstanceFailed
    assert answer.key == KEY
    assert failed.taskScheduledId == 2
    assert failed.failureDetails.errorType == "WorkflowInstanceAlreadyExists"
    assert failed.failureDetails.errorMessage == "an active workflow with ID 'kid' already exists"
    assert answer.messages[0].execution_id == RUN


def test_create_detached_has_no_parent_and_keeps_tags_and_start_time() -> None:
    action = making.detached(4, "free")
    action.createDetachedWorkflow.tags["a"] = "b"
    action.createDetachedWorkflow.executionId.value = "chosen"
    action.createDetachedWorkflow.scheduledStartTimestamp.FromDatetime(NOW + SECOND)
    outcome = first_turn(action)
    assert outcome.history[-1].detachedWorkflowInstanceCreated.instanceId == "free"
    (child,) = outcome.commit.children
    assert (child.parent, child.tags, child.execution_id) == (None, {"a": "b"}, "chosen")
    assert child.not_before == NOW + SECOND
    (start,) = pb.EventBatch.FromString(child.start.payload).events
    assert not start.executionStarted.HasField("parentInstance")


def test_create_detached_without_an_id_raises() -> None:
    with pytest.raises(InvalidResponseError, match="requires an instance ID"):
        first_turn(making.detached(1, ""))


@quickly
@given(texts)
def test_send_event_reaches_the_target_as_a_raised_event(value: str | None) -> None:
    outcome = first_turn(making.send(5, "other", "paid", value))
    assert outcome.history[-1].eventSent.name == "paid"
    assert outcome.history[-1].eventId == 5
    (delivery,) = outcome.commit.outgoing
    assert delivery.key == InstanceKey(APP, "other")
    event = sent(delivery)
    assert event.eventId == -1
    assert event.eventRaised.name == "paid"
    assert event.eventRaised.HasField("input") == (value is not None)


def test_send_events_of_one_name_in_one_turn_are_different_events_to_the_receiver() -> None:
    outcome = first_turn(making.send(1, "other", "paid", "1"), making.send(2, "other", "paid", "2"))
    receiver = begun()
    for delivery in outcome.commit.outgoing:
        receiver.deliver(sent(delivery))
    accepted = receiver.plan().admission.accepted
    assert [arrival.event.eventRaised.input.value for arrival in accepted] == ["1", "2"]


def test_terminate_another_leaves_no_event_and_expedites() -> None:
    action = pb.WorkflowAction(id=1)
    action.terminateWorkflow.instanceId = "other"
    action.terminateWorkflow.recurse = True
    outcome = first_turn(action)
    assert making.kinds(outcome.history) == ["workflowStarted", "executionStarted"]
    (delivery,) = outcome.commit.outgoing
    assert delivery.expedite
    assert sent(delivery).executionTerminated.recurse
    assert not sent(delivery).executionTerminated.HasField("input")


@quickly
@given(texts, texts)
def test_complete_with_any_text_keeps_absent_and_empty_apart(
    result: str | None, custom_status: str | None
) -> None:
    run = Run()
    run.deliver(making.started())
    outcome = run.turn(
        run.plan(),
        making.response(making.complete(result), customStatus=making.text(custom_status)),
    )
    assert isinstance(outcome, TurnOutcome)
    assert outcome.commit.output == result
    assert outcome.commit.custom_status == custom_status
    completed = outcome.history[-1].executionCompleted
    assert completed.HasField("result") == (result is not None)


def parent_info() -> pb.ParentInstanceInfo:
    info = pb.ParentInstanceInfo(taskScheduledId=0, appID="desk")
    info.workflowInstance.instanceId = "boss"
    info.workflowInstance.executionId.value = "run-9"
    return info


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (pb.ORCHESTRATION_STATUS_COMPLETED, "childWorkflowInstanceCompleted"),
        (pb.ORCHESTRATION_STATUS_FAILED, "childWorkflowInstanceFailed"),
        (pb.ORCHESTRATION_STATUS_TERMINATED, "childWorkflowInstanceFailed"),
        (pb.ORCHESTRATION_STATUS_CANCELED, "childWorkflowInstanceFailed"),
    ],
)
def test_complete_of_a_child_tells_its_parent(status: int, kind: str) -> None:
    action = making.complete("", status=status)
    if status == pb.ORCHESTRATION_STATUS_FAILED:
        action.completeWorkflow.failureDetails.errorType = "Boom"
    outcome = first_turn(action, start=making.started(parent=parent_info()))
    (delivery,) = outcome.commit.outgoing
    event = sent(delivery)
    assert delivery.key == InstanceKey(AppId("desk"), "boss")
    assert delivery.messages[0].execution_id == "run-9"
    assert event.WhichOneof("eventType") == kind
    assert (event.router.sourceAppID, event.router.targetAppID) == (APP, "desk")
    if kind == "childWorkflowInstanceCompleted":
        assert event.childWorkflowInstanceCompleted.HasField("result")
    else:
        details = event.childWorkflowInstanceFailed.HasField("failureDetails")
        assert details == (status == pb.ORCHESTRATION_STATUS_FAILED)


def test_complete_with_unawaited_work_still_runs_activities_but_no_timers() -> None:
    outcome = first_turn(
        making.schedule(1), making.complete("x"), making.sleep(2, NOW), making.complete("y")
    )
    assert outcome.commit.status is RuntimeStatus.COMPLETED
    assert outcome.commit.output == "x"
    assert [task.key.task_id for task in outcome.commit.activities] == [1]
    assert outcome.commit.timers == ()


def test_decide_without_the_version_stalls_with_its_name() -> None:
    run = begun(making.schedule(1))
    run.resident.state.version_name = "v7"
    run.deliver(making.task_completed(1))
    for action in (
        making.lack_version(),
        making.complete(status=pb.ORCHESTRATION_STATUS_STALLED),
    ):
        outcome = run.turn(run.plan(), [making.schedule(8), action])
        assert outcome == Stall(pb.VERSION_NOT_AVAILABLE, "Version not available: v7")


@pytest.mark.parametrize(
    ("recorded", "current", "fits"),
    [
        ([], [], True),
        ([], ["a"], True),
        (["a"], ["a"], True),
        (["a"], ["a", "b"], True),
        (["a"], ["a", "a"], True),
        (["a", "b"], ["a"], False),
        (["a", "b"], ["b", "a"], False),
        (["a"], [], False),
    ],
)
def test_decide_with_other_patches_than_recorded_stalls_with_daprs_words(
    recorded: list[str], current: list[str], *, fits: bool
) -> None:
    run = begun(making.schedule(1))
    run.resident.state.patches = recorded
    run.deliver(making.task_completed(1))
    answer = making.response(making.schedule(8))
    answer.version.patches.extend(current)
    outcome = run.turn(run.plan(), answer)
    if fits:
        assert not isinstance(outcome, Stall)
    else:
        assert outcome == Stall(
            pb.PATCH_MISMATCH,
            f"Patch mismatch. History patches: [{', '.join(recorded)}], "
            f"current patches: [{', '.join(current)}]. ",
        )


def test_decide_with_a_version_records_it_in_the_turns_opening() -> None:
    run = Run()
    run.deliver(making.started())
    answer = making.response(making.schedule(1))
    answer.version.patches.append("p1")
    answer.version.name = "v2"
    run.turn(run.plan(), answer)
    assert run.events()[0].workflowStarted.version == answer.version
    assert (run.resident.state.patches, run.resident.state.version_name) == (["p1"], "v2")


def test_decide_on_an_action_without_a_type_raises() -> None:
    with pytest.raises(InvalidResponseError, match="unknown action type"):
        first_turn(pb.WorkflowAction(id=1))


def test_decide_on_unknown_fields_in_events_keeps_them_in_history() -> None:
    run = begun(making.sleep(1, NOW + timedelta(days=1)))
    event = making.raised("paid")
    event.MergeFromString(b"\x92\x3e\x03new")
    run.deliver(event)
    outcome = decided(run)
    assert outcome.commit.history[-1].endswith(b"\x92\x3e\x03new")

"""What Dapr's .NET SDK sends and expects, played by a script; README.md says why the SDK itself is absent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from durahub.protocol import messages as pb
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

from tests.e2e.processes import LogBook
from tests.e2e.sidecar import APP_ID, Setup, Sidecar

ANSWER_S = 20.0
SOON = Timestamp(seconds=1)
TERMINATED = pb.ORCHESTRATION_STATUS_TERMINATED


class Hub:
    """The calls of a client, as the SDK makes them.

    Args:
        channel: To the sidecar.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._begun: list[Any] = []

    def begin(self, method: str, request: Message) -> Any:
        """Make a call and do not wait for its answer."""
        call = self._channel.unary_unary(f"/TaskHubSidecarService/{method}")
        future = call.future(request.SerializeToString(), timeout=ANSWER_S)
        self._begun.append(future)  # one that nobody refers to is cancelled
        return future

    def call(self, method: str, request: Message) -> bytes:
        answer: bytes = self.begin(method, request).result()
        return answer

    def start(self, instance_id: str) -> None:
        """Begin to schedule a workflow without input, which is sent as an empty one."""
        request = pb.CreateInstanceRequest(
            instanceId=instance_id, name="Order", input=StringValue(value="")
        )
        self.begin("StartInstance", request)

    def state(self, instance_id: str, method: str = "GetInstance") -> pb.WorkflowState:
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        return pb.GetInstanceResponse.FromString(self.call(method, request)).workflowState

    def end(self, instance_id: str) -> pb.WorkflowState:
        """Return the state once the instance has ended."""
        return self.state(instance_id, "WaitForInstanceCompletion")


class Worker:
    """A worker that does what the test says.

    Args:
        channel: To the sidecar.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._hub = Hub(channel)
        call = channel.unary_stream("/TaskHubSidecarService/GetWorkItems")
        self._stream = call(pb.GetWorkItemsRequest().SerializeToString(), timeout=3 * ANSWER_S)

    def take(self) -> pb.WorkItem:
        """Return the next work item."""
        return pb.WorkItem.FromString(next(self._stream))

    def decide(self, item: pb.WorkItem, *actions: pb.WorkflowAction, token: str = "") -> None:
        """Answer a turn, with the token that came along unless the test has another one."""
        response = pb.WorkflowResponse(
            instanceId=item.workflowRequest.instanceId,
            actions=actions,
            completionToken=token or item.completionToken,
        )
        self._hub.call("CompleteOrchestratorTask", response)

    def finish(self, item: pb.WorkItem, result: str) -> None:
        """Answer an activity."""
        response = pb.ActivityResponse(
            instanceId=item.activityRequest.workflowInstance.instanceId,
            taskId=item.activityRequest.taskId,
            result=StringValue(value=result),
            completionToken=item.completionToken,
        )
        self._hub.call("CompleteActivityTask", response)

    def leave(self) -> None:
        self._stream.cancel()
        with suppress(grpc.RpcError):
            next(self._stream)


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory, logs: LogBook) -> Iterator[Sidecar]:
    sidecar = Sidecar(Setup.of("sqlite", tmp_path_factory.mktemp("dotnet")), logs)
    sidecar.start()
    yield sidecar
    sidecar.kill()


@pytest.fixture
def channel(sidecar: Sidecar) -> Iterator[grpc.Channel]:
    # By name, and by its IPv6 address first.
    with grpc.insecure_channel(f"localhost:{sidecar.grpc_port}") as channel:
        yield channel


@pytest.fixture
def hub(channel: grpc.Channel) -> Hub:
    return Hub(channel)


@pytest.fixture
def worker(channel: grpc.Channel) -> Iterator[Worker]:
    worker = Worker(channel)
    yield worker
    worker.leave()


@pytest.fixture
def instance_id() -> str:
    return str(uuid.uuid4())


def schedule(number: int) -> pb.WorkflowAction:
    return pb.WorkflowAction(id=number, scheduleTask=pb.ScheduleTaskAction(name="Charge"))


def sleep(number: int) -> pb.WorkflowAction:
    return pb.WorkflowAction(id=number, createTimer=pb.CreateTimerAction(fireAt=SOON))


def complete(number: int, status: Any, result: str | None = None) -> pb.WorkflowAction:
    action = pb.CompleteWorkflowAction(workflowStatus=status)
    if result is not None:
        action.result.value = result
    return pb.WorkflowAction(id=number, completeWorkflow=action)


def completed(number: int, result: str) -> pb.WorkflowAction:
    return complete(number, pb.ORCHESTRATION_STATUS_COMPLETED, result)


def kinds(item: pb.WorkItem) -> list[str | None]:
    return [event.WhichOneof("eventType") for event in item.workflowRequest.newEvents]


def start_event(item: pb.WorkItem) -> pb.ExecutionStartedEvent:
    request = item.workflowRequest
    events = [*request.pastEvents, *request.newEvents]
    return next(event.executionStarted for event in events if event.HasField("executionStarted"))


Begin = Callable[[], pb.WorkItem]


@pytest.fixture
def begin(hub: Hub, worker: Worker, instance_id: str) -> Begin:
    """Start the instance and return its first turn."""

    def begin() -> pb.WorkItem:
        hub.start(instance_id)
        return worker.take()

    return begin


def test_an_empty_input_stays_an_empty_input(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    item = begin()
    started = start_event(item)
    assert started.HasField("input")
    assert started.input.value == ""
    worker.decide(item, completed(0, ""))
    state = hub.end(instance_id)
    assert (state.HasField("input"), state.HasField("output")) == (True, True)


def test_the_first_task_has_the_number_0(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    worker.decide(begin(), schedule(0), sleep(1))
    resolved = set()
    while len(resolved) < 2:
        item = worker.take()
        if item.HasField("activityRequest"):
            assert item.activityRequest.taskId == 0
            worker.finish(item, "paid")
            continue
        for event in item.workflowRequest.newEvents:
            if event.HasField("taskCompleted"):
                resolved.add(("task", event.taskCompleted.taskScheduledId))
            if event.HasField("timerFired"):
                resolved.add(("timer", event.timerFired.timerId))
        worker.decide(item, *([completed(2, "done")] if len(resolved) == 2 else []))
    assert resolved == {("task", 0), ("timer", 1)}
    assert hub.end(instance_id).output.value == "done"


def test_an_answer_with_another_token_does_not_count(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    item = begin()
    worker.decide(item, completed(0, "wrong"), token="of another dispatch")
    worker.decide(item, completed(0, "right"))
    assert hub.end(instance_id).output.value == "right"


def test_a_termination_that_the_worker_overlooks_is_enforced(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    """The SDK sees a termination only if it is the last event of a turn, and runs on otherwise."""
    first = begin()
    request = pb.TerminateRequest(instanceId=instance_id, output=StringValue(value='"enough"'))
    terminating = hub.begin("TerminateInstance", request)
    hub.call("RaiseEvent", pb.RaiseEventRequest(instanceId=instance_id, name="late"))
    worker.decide(first)
    turn = worker.take()
    assert kinds(turn)[-2:] == ["executionTerminated", "eventRaised"]
    worker.decide(turn, schedule(0))
    terminating.result()
    state = hub.state(instance_id)
    assert (state.workflowStatus, state.output.value) == (TERMINATED, '"enough"')


def test_a_termination_that_the_worker_sees_needs_no_result(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    worker.decide(begin())
    request = pb.TerminateRequest(instanceId=instance_id, output=StringValue(value='"enough"'))
    terminating = hub.begin("TerminateInstance", request)
    turn = worker.take()
    assert kinds(turn)[-1] == "executionTerminated"
    worker.decide(turn, complete(0, TERMINATED))
    terminating.result()
    assert hub.state(instance_id).workflowStatus == TERMINATED


def test_a_suspension_is_answered_with_nothing(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    worker.decide(begin())
    suspending = hub.begin("SuspendInstance", pb.SuspendRequest(instanceId=instance_id))
    worker.decide(worker.take())
    suspending.result()
    assert hub.state(instance_id).workflowStatus == pb.ORCHESTRATION_STATUS_SUSPENDED
    resuming = hub.begin("ResumeInstance", pb.ResumeRequest(instanceId=instance_id))
    worker.decide(worker.take(), completed(0, "resumed"))
    resuming.result()
    assert hub.end(instance_id).output.value == "resumed"


def test_each_run_has_an_execution_id_of_its_own(
    hub: Hub, worker: Worker, begin: Begin, instance_id: str
) -> None:
    """The SDK makes its ids from it."""
    first = begin()
    worker.decide(first, complete(0, pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, "1"))
    second = worker.take()
    worker.decide(second, completed(0, "done"))
    hub.start(instance_id)
    third = worker.take()
    worker.decide(third, completed(0, "done"))
    ids = [item.workflowRequest.executionId.value for item in (first, second, third)]
    assert all(ids)
    assert len(set(ids)) == 3


def test_a_workflow_knows_its_application(worker: Worker, begin: Begin) -> None:
    item = begin()
    routers = [event.router.sourceAppID for event in item.workflowRequest.newEvents]
    assert APP_ID in routers
    worker.decide(item, completed(0, ""))

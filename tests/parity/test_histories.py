"""What the history of a workflow looks like to a client, event by event."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Refused
from tests.parity.flows import Context, all_of, decide
from tests.parity.hub import APP, Hub

BEGIN = ["workflowStarted", "executionStarted"]
STEP = ["taskScheduled", "workflowStarted", "taskCompleted"]
END = "executionCompleted"


@pytest.mark.parity("get/base")
async def test_workflow_that_does_nothing(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(lambda ctx: ctx.input):
        await sidecar.client.start("Flow", "a", "x")
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    opening, started, completed = events
    assert opening.WhichOneof("eventType") == "workflowStarted"
    assert not opening.HasField("router")
    assert (started.executionStarted.name, started.executionStarted.input.value) == ("Flow", "x")
    assert started.executionStarted.workflowInstance.instanceId == "a"
    assert completed.executionCompleted.workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED
    assert completed.executionCompleted.result.value == "x"
    assert [event.eventId for event in events] == [-1, -1, 0]
    assert [event.router.sourceAppID for event in events] == ["", APP, APP]


@pytest.mark.parity("get/activities")
@pytest.mark.parametrize("first_id", [0, 1])
async def test_three_activities(hub: Hub, first_id: int) -> None:
    def flow(ctx: Context):
        for number in range(3):
            yield ctx.activity(f"work{number}", str(number), execution_id=f"e{number}")

    async with hub.sidecar() as sidecar, sidecar.worker(flow, first_id=first_id):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    assert [event.WhichOneof("eventType") for event in events] == [*BEGIN, *STEP, *STEP, *STEP, END]
    for number in range(3):
        scheduled, turn, completed = events[2 + 3 * number : 5 + 3 * number]
        assert (scheduled.eventId, completed.eventId, turn.eventId) == (first_id + number, -1, -1)
        assert scheduled.taskScheduled.name == f"work{number}"
        assert scheduled.taskScheduled.input.value == str(number)
        assert completed.taskCompleted.result.value == str(number)
        assert completed.taskCompleted.taskScheduledId == first_id + number
        assert (
            scheduled.taskScheduled.taskExecutionId
            == completed.taskCompleted.taskExecutionId
            == f"e{number}"
        )
        assert [event.router.sourceAppID for event in (scheduled, turn, completed)] == [
            APP,
            "",
            APP,
        ]
    assert events[-1].eventId == first_id + 3


@pytest.mark.parity("get/childwf")
async def test_parent_and_child(hub: Hub) -> None:
    def parent(ctx: Context):
        return (yield ctx.child("Child", "in"))

    def child(ctx: Context):
        return (yield ctx.activity("work", ctx.input))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": child}):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
        assert await sidecar.client.kinds("a:0000") == [*BEGIN, *STEP, END]
        below = await sidecar.client.history("a:0000")
    assert [event.WhichOneof("eventType") for event in events] == [
        *BEGIN,
        *["childWorkflowInstanceCreated", "workflowStarted", "childWorkflowInstanceCompleted"],
        END,
    ]
    created = events[2].childWorkflowInstanceCreated
    assert (created.instanceId, created.name, created.input.value) == ("a:0000", "Child", "in")
    completed = events[4].childWorkflowInstanceCompleted
    assert (completed.taskScheduledId, completed.result.value) == (0, "in")
    assert [event.router.sourceAppID for event in events[1:3] + events[4:]] == [APP] * 4
    link = below[1].executionStarted.parentInstance
    own = events[1].executionStarted.workflowInstance
    assert (link.taskScheduledId, link.name.value, link.appID) == (0, "Flow", APP)
    assert link.workflowInstance == own


@pytest.mark.parity("get/notfound")
async def test_unknown_id(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        with pytest.raises(Refused) as refused:
            await sidecar.client.history("nobody")
    assert str(refused.value) == "NOT_FOUND: workflow instance 'nobody' not found"


@pytest.mark.parity("get/duplicatetaskscheduled")
async def test_fan_out_is_scheduled_once_although_the_sdk_repeats_itself(hub: Hub) -> None:
    gates = [asyncio.Event() for _ in range(10)]

    def flow(ctx: Context):
        yield all_of(*[ctx.activity("work", str(number)) for number in range(len(gates))])

    async def forgetful(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        """Ask for everything again that has no result yet."""
        events = [*request.pastEvents, *request.newEvents]
        known = [event for event in events if not event.HasField("taskScheduled")]
        again = pb.WorkflowRequest(instanceId=request.instanceId, newEvents=known)
        response = decide(again, (), {"Flow": flow})
        done = {one.taskCompleted.taskScheduledId for one in known if one.HasField("taskCompleted")}
        kept = [action for action in response.actions if action.id not in done]
        del response.actions[:]
        response.actions.extend(kept)
        return response

    async def work(request: pb.ActivityRequest) -> str | None:
        number = int(request.input.value)
        await gates[number].wait()
        if number + 1 < len(gates):
            gates[number + 1].set()
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(None, work, raw=forgetful) as worker:
        await sidecar.client.start("Flow", "a")
        gates[0].set()
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    scheduled = [event.eventId for event in events if event.HasField("taskScheduled")]
    assert scheduled == list(range(len(gates)))
    assert Counter(task.taskId for task in worker.tasks) == Counter(range(len(gates)))
    assert len(worker.requests) > 2

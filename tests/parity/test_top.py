"""What any workflow can do, with activities and children."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub


@pytest.mark.parity("top/agentloop")
async def test_hundred_activities_one_after_the_other(hub: Hub) -> None:
    def flow(ctx: Context):
        thoughts = ""
        for number in range(100):
            thoughts += yield ctx.activity("think", f"{number},")
        return thoughts

    async with hub.sidecar() as sidecar, sidecar.worker(flow, stateful=True) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "".join(f"{number}," for number in range(100))
        assert [task.taskId for task in worker.tasks] == list(range(100))
        assert len(await sidecar.client.history("a")) == 3 + 3 * 100


@pytest.mark.parity("top/childcompletions")
async def test_children_that_end_at_once_all_reach_the_parent(hub: Hub) -> None:
    children = 12
    everybody = asyncio.Barrier(children)

    def parent(ctx: Context):
        results = yield all_of(*[ctx.child("Child", str(number)) for number in range(children)])
        return ",".join(results)

    def child(ctx: Context):
        return (yield ctx.activity("meet", ctx.input))

    async def meet(request: pb.ActivityRequest) -> str:
        await everybody.wait()
        return request.input.value

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": child}, meet):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == ",".join(map(str, range(children)))
        events = await sidecar.client.history("a")
    resolved = [
        event.childWorkflowInstanceCompleted.taskScheduledId
        for event in events
        if event.HasField("childWorkflowInstanceCompleted")
    ]
    assert sorted(resolved) == list(range(children))


@pytest.mark.parity("top/delstate")
async def test_activity_of_a_removed_workflow_is_done_once_and_means_nothing(hub: Hub) -> None:
    go = asyncio.Event()

    async def work(request: pb.ActivityRequest) -> str | None:
        if request.input.value == "old":
            await go.wait()
        return request.input.value

    def flow(ctx: Context):
        return (yield ctx.activity("work", ctx.input))

    async with hub.sidecar() as sidecar, sidecar.worker(flow, work) as worker:
        await sidecar.client.start("Flow", "a", "old")
        await until(lambda: len(worker.tasks) == 1, ANSWER_S)
        assert await sidecar.client.purge("a", force=True) == 1
        go.set()
        await until(lambda: worker.active == 0, ANSWER_S)
        assert not (await sidecar.client.get("a")).exists
        await sidecar.client.start("Flow", "a", "new")
        assert await sidecar.client.output("a") == "new"
        assert [task.input.value for task in worker.tasks] == ["old", "new"]


@pytest.mark.parity("top/failureoutput")
async def test_failed_workflow_has_failure_details_and_no_output(hub: Hub) -> None:
    async def charge(_: pb.ActivityRequest) -> str | None:
        raise ValueError("no money")

    def flow(ctx: Context):
        return (yield ctx.activity("charge"))

    async with hub.sidecar() as sidecar, sidecar.worker(flow, charge):
        await sidecar.client.start("Flow", "a", "10")
        state = await sidecar.client.finished("a")
        bare = (await sidecar.client.get("a", payloads=False)).workflowState
    assert state.workflowStatus == bare.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
    assert not state.HasField("output")
    assert state.failureDetails.errorType == "TaskFailed"
    assert state.failureDetails.errorMessage == "no money"
    assert state.failureDetails.stackTrace.value == "somewhere"
    assert not bare.HasField("failureDetails")


@pytest.mark.parity("top/failureoutput")
async def test_failed_workflow_whose_sdk_sent_an_output_shows_both(hub: Hub) -> None:
    async def answer(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        ending = pb.CompleteWorkflowAction(
            workflowStatus=pb.ORCHESTRATION_STATUS_FAILED,
            failureDetails=pb.TaskFailureDetails(errorType="E", errorMessage="broken"),
        )
        ending.result.value = "broken"
        action = pb.WorkflowAction(id=0, completeWorkflow=ending)
        return pb.WorkflowResponse(instanceId=request.instanceId, actions=[action])

    async with hub.sidecar() as sidecar, sidecar.worker(raw=answer):
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.finished("a")
    assert (state.output.value, state.failureDetails.errorMessage) == ("broken", "broken")


def in_parallel(ctx: Context):
    results = yield all_of(*[ctx.activity("echo", f"{ctx.id}{number}") for number in range(3)])
    return ",".join(results)


@pytest.mark.parity("top/fanoutthree")
async def test_three_results_are_in_the_order_of_the_calls(hub: Hub) -> None:
    order = {"a0": 2, "a1": 1, "a2": 0}
    ready = asyncio.Condition()
    done = 0

    async def reversed_echo(request: pb.ActivityRequest) -> str:
        nonlocal done
        async with ready:
            await ready.wait_for(lambda: done == order[request.input.value])
            done += 1
            ready.notify_all()
        return request.input.value

    async with hub.sidecar() as sidecar, sidecar.worker(in_parallel, reversed_echo):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "a0,a1,a2"
    assert done == 3


@pytest.mark.parity("top/parallel")
async def test_several_workflows_run_side_by_side(hub: Hub) -> None:
    ids = [f"w{number}-" for number in range(5)]
    everybody = asyncio.Barrier(3 * len(ids))

    async def meet(request: pb.ActivityRequest) -> str:
        await everybody.wait()
        return request.input.value

    async with hub.sidecar() as sidecar, sidecar.worker(in_parallel, meet) as worker:
        async with asyncio.TaskGroup() as group:
            for instance_id in ids:
                group.create_task(sidecar.client.start("Flow", instance_id))
        for instance_id in ids:
            expected = ",".join(f"{instance_id}{number}" for number in range(3))
            assert await sidecar.client.output(instance_id) == expected
    assert worker.most_active == 3 * len(ids)


@pytest.mark.parity("top/largeactivityresult")
async def test_result_of_five_megabytes_arrives(hub: Hub) -> None:
    size = 5 * 1024 * 1024

    async def large(_: pb.ActivityRequest) -> str:
        return "x" * size

    def flow(ctx: Context):
        result = yield ctx.activity("large")
        return str(len(result))

    async with (
        hub.sidecar(max_message_bytes=10 * 1024 * 1024) as sidecar,
        sidecar.worker(flow, large),
    ):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == str(size)
        events = await sidecar.client.history("a")
    assert len(events[4].taskCompleted.result.value) == size


@pytest.mark.parity("top/noawait")
async def test_activities_that_nobody_waits_for_all_run(hub: Hub) -> None:
    def flow(ctx: Context):
        for number in range(30):
            ctx.activity("work", str(number))
        return "done"

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "done"
        await until(lambda: len(worker.tasks) == 30 and worker.active == 0, ANSWER_S)
        assert {task.input.value for task in worker.tasks} == set(map(str, range(30)))
        assert len(await sidecar.client.history("a")) == 2 + 30 + 1
        assert await sidecar.client.status("a") == "COMPLETED"


@pytest.mark.parity("top/nonexist")
async def test_workflow_that_no_worker_knows_fails(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker():
        await sidecar.client.start("Nobody", "a")
        state = await sidecar.client.finished("a")
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
    assert state.failureDetails.errorMessage == "A 'Nobody' orchestrator was not registered."

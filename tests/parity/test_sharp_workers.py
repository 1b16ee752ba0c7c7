"""What workers rely on."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import grpc.aio
import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.flows import Context, all_of, decide, text
from tests.parity.hub import Hub


def two_steps(ctx: Context):
    first = yield ctx.activity("one", "1")
    second = yield ctx.activity("two", first)
    return second


def waiting(ctx: Context):
    return (yield ctx.event("go"))


@pytest.mark.parametrize("go", [False, True])
@pytest.mark.parity("sharp/08")
async def test_turns_are_answered_under_both_names(hub: Hub, go: bool) -> None:  # noqa: FBT001
    async with hub.sidecar() as sidecar, sidecar.worker(two_steps, go=go):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "1"


@pytest.mark.parity("sharp/09")
async def test_workers_without_tokens_are_served(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(two_steps, tokens=False):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "1"


@pytest.mark.parity("sharp/09", "sharp/10")
async def test_wrong_tokens_and_late_answers_are_accepted_and_ignored(hub: Hub) -> None:
    release = asyncio.Event()

    async def slow(_: pb.ActivityRequest) -> str:
        await release.wait()
        return "right"

    def flow(ctx: Context):
        return (yield ctx.activity("slow"))

    async with hub.sidecar() as sidecar, sidecar.worker(flow, slow) as worker:
        await sidecar.client.start("Flow", "a")
        await until(lambda: worker.tasks)
        wrong = pb.ActivityResponse(
            instanceId="a", taskId=0, result=text("wrong"), completionToken="stale"
        )
        await worker.complete("CompleteActivityTask", wrong)
        release.set()
        assert await sidecar.client.output("a") == "right"
        await worker.complete("CompleteActivityTask", wrong)
        unknown = pb.WorkflowResponse(instanceId="nobody", completionToken="stale")
        for method in ("CompleteOrchestratorTask", "CompleteWorkflowTask"):
            await worker.complete(method, unknown)
        assert (await sidecar.client.state("a")).output.value == "right"


@pytest.mark.parity("sharp/11")
async def test_what_a_worker_left_goes_to_the_next_at_once(hub: Hub) -> None:
    async def nothing(_: pb.WorkflowRequest) -> None:
        return None

    async with hub.sidecar(session_time_to_live=timedelta(minutes=1)) as sidecar:
        async with asyncio.TaskGroup() as group:
            async with sidecar.worker(raw=nothing) as silent:
                begun = group.create_task(sidecar.client.start("Flow", "a"))
                await until(lambda: silent.requests)
            async with sidecar.worker(two_steps):
                async with asyncio.timeout(5):
                    await begun
                    assert await sidecar.client.output("a") == "1"


@pytest.mark.parity("sharp/12")
async def test_long_activity_runs_once(hub: Hub) -> None:
    async def slow(_: pb.ActivityRequest) -> str:
        await asyncio.sleep(1.5)
        return "done"

    def flow(ctx: Context):
        return (yield ctx.activity("slow"))

    short = timedelta(milliseconds=500)
    async with hub.sidecar(session_time_to_live=short) as sidecar:
        async with sidecar.worker(flow, slow) as worker:
            await sidecar.client.start("Flow", "a")
            assert await sidecar.client.output("a") == "done"
    assert len(worker.tasks) == 1


@pytest.mark.parity("sharp/13")
async def test_history_is_readable_during_a_turn(hub: Hub) -> None:
    seen: list[tuple[list[bytes], list[bytes]]] = []

    async with hub.sidecar() as sidecar, sidecar.worker() as worker:
        plain = worker.workflows | {"Flow": two_steps}

        async def answer(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
            committed = await sidecar.client.history("a") if request.pastEvents else []
            sent = [event.SerializeToString() for event in request.pastEvents]
            seen.append((sent, [event.SerializeToString() for event in committed]))
            return decide(request, request.pastEvents, plain)

        worker.raw = answer
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "1"
    assert len(seen) == 3
    for sent, committed in seen[1:]:
        assert committed == sent
        assert sent


@pytest.mark.parity("sharp/14")
async def test_deltas_go_to_those_who_asked(hub: Hub) -> None:
    def flow(ctx: Context):
        for number in range(4):
            yield ctx.activity("step", str(number))
        if ctx.input == "again":
            ctx.continue_as_new("last")
        return "done"

    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow) as plain:
            await sidecar.client.start("Flow", "a")
            await sidecar.client.output("a")
        async with sidecar.worker(flow, stateful=True) as keen:
            await sidecar.client.start("Flow", "b", "again")
            await sidecar.client.output("b")
    assert not any(request.HasField("cachedHistory") for request in plain.requests)
    runs = [request.executionId.value for request in keen.requests]
    for run in set(runs):
        turns = [one for one in keen.requests if one.executionId.value == run]
        assert [one.HasField("cachedHistory") for one in turns] == [False, False, True, True, True]
    assert len(set(runs)) == 2


@pytest.mark.parity("sharp/34")
async def test_execution_ids_change_with_runs_and_generations(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("step", execution_id="of the code")
        yield ctx.activity("step")
        if ctx.input == "again":
            ctx.continue_as_new("last")

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        for _ in range(2):
            await sidecar.client.start("Flow", "a", "again")
            await sidecar.client.output("a")
    runs = dict.fromkeys(request.executionId.value for request in worker.requests)
    assert len(runs) == 4
    assert "" not in runs
    assert [task.taskExecutionId for task in worker.tasks[::2]] == ["of the code"] * 4


@pytest.mark.parity("sharp/46")
async def test_javascript_worker_is_given_what_it_runs_at_once(hub: Hub) -> None:
    release = asyncio.Event()

    async def slow(request: pb.ActivityRequest) -> str:
        await release.wait()
        return request.input.value

    def flow(ctx: Context):
        results = yield all_of(*[ctx.activity("work", str(number)) for number in range(150)])
        return str(len(set(results)))

    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(flow, slow, user_agent="dapr-js-sdk/workflow") as worker,
    ):
        await sidecar.client.start("Flow", "a")
        await until(lambda: worker.active >= 10)
        await sidecar.client.hello()
        assert worker.most_active == 10
        release.set()
        assert await sidecar.client.output("a") == "150"
        assert len(worker.tasks) == 150


@pytest.mark.parity("sharp/47")
async def test_streams_end_with_a_status(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        channel = sidecar._connect()
        listen = channel.unary_stream(
            "/TaskHubSidecarService/GetWorkItems",
            request_serializer=pb.GetWorkItemsRequest.SerializeToString,
            response_deserializer=pb.WorkItem.FromString,
        )
        stream = listen(pb.GetWorkItemsRequest())
        await until(lambda: sidecar.engine.connected_workers == 1)
        async with asyncio.TaskGroup() as group:
            end = group.create_task(_end_of(stream))
            await sidecar.stop()
        await channel.close()
    assert end.result() == ("CANCELLED", "shutting down")


async def _end_of(stream: grpc.aio.UnaryStreamCall) -> tuple[str, str]:
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await stream.read()
    return (await stream.code()).name, await stream.details()

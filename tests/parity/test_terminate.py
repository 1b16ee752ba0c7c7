"""Workflows that clients end."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S, Client
from tests.parity.flows import FOREVER, Context, all_of
from tests.parity.hub import Hub


def terminated(state: pb.WorkflowState, output: str = "enough") -> bool:
    return (
        state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED and state.output.value == output
    )


async def unchanged_by(client: Client, instance_id: str = "a", **fields: bool) -> bool:
    """Return whether another terminate leaves everything as it is."""
    before = (await client.state(instance_id), await client.history(instance_id))
    await client.terminate(instance_id, "once more", **fields)
    return before == (await client.state(instance_id), await client.history(instance_id))


@pytest.mark.parity("terminate/basic")
async def test_workflow_ends_while_its_activity_runs(hub: Hub) -> None:
    gate = asyncio.Event()

    async def work(_: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return "late"

    def flow(ctx: Context):
        return (yield ctx.activity("work"))

    async with hub.sidecar() as sidecar, sidecar.worker(flow, work) as worker:
        await sidecar.client.start("Flow", "a")
        await until(lambda: worker.active == 1, ANSWER_S)
        await sidecar.client.terminate("a", "enough")
        assert terminated(await sidecar.client.state("a"))
        before = await sidecar.client.history("a")
        gate.set()
        await until(lambda: worker.active == 0, ANSWER_S)
        # When another workflow has had its result, the late one has been dealt with.
        await sidecar.client.start("Flow", "b")
        assert await sidecar.client.output("b") == "late"
        assert await sidecar.client.history("a") == before
    assert [event.WhichOneof("eventType") for event in before] == [
        *["workflowStarted", "executionStarted", "taskScheduled"],
        *["workflowStarted", "executionTerminated", "executionCompleted"],
    ]


@pytest.mark.parity("terminate/completed")
@pytest.mark.parametrize("recursive", [False, True])
async def test_terminate_of_an_ended_workflow_changes_nothing(hub: Hub, *, recursive: bool) -> None:
    def failing(_: Context) -> None:
        raise ValueError("broken")

    flows = {"Flow": lambda ctx: ctx.input, "Failing": failing}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        for name in flows:
            await sidecar.client.start(name, name, "done")
            await sidecar.client.finished(name)
            assert await unchanged_by(sidecar.client, name, recursive=recursive)


@pytest.mark.parity("terminate/continueasnew")
async def test_endless_loop_of_generations_ends(hub: Hub) -> None:
    def endless(ctx: Context) -> None:
        ctx.continue_as_new(ctx.input, keep=True)

    async with hub.sidecar() as sidecar, sidecar.worker(endless) as worker:
        await sidecar.client.start("Flow", "a", "x")
        await until(lambda: len(worker.requests) > 20, ANSWER_S)
        await sidecar.client.terminate("a", "enough")
        assert terminated(await sidecar.client.state("a"))
        turns = len(worker.requests)
        assert await unchanged_by(sidecar.client)
        assert len(worker.requests) == turns


@pytest.mark.parity("terminate/fanout")
async def test_all_children_of_a_fan_out_end(hub: Hub) -> None:
    ids = [f"child{number}" for number in range(10)]

    def parent(ctx: Context):
        yield all_of(*[ctx.child("Child", instance_id=one) for one in ids])

    def child(ctx: Context):
        yield ctx.event("never")

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": child}):
        client = sidecar.client
        await client.start("Flow", "a")
        for instance_id in ids:
            await client.until_status(instance_id, "RUNNING")
        await client.terminate("a", "enough", recursive=True)
        assert terminated(await client.state("a"))
        for instance_id in ids:
            assert terminated(await client.finished(instance_id))
        assert await unchanged_by(client, recursive=True)
        assert await unchanged_by(client, ids[0])


@pytest.mark.parity("terminate/waitforevent")
@pytest.mark.parametrize("timeout_s", [None, FOREVER, 3600])
async def test_wait_for_an_event_ends(hub: Hub, timeout_s: float | None) -> None:
    def flow(ctx: Context):
        return (yield ctx.event("go", timeout_s))

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.terminate("a", "enough")
        before = (await sidecar.client.state("a"), await sidecar.client.history("a"))
        assert terminated(before[0])
        await sidecar.client.send("a", "go")
        assert before == (await sidecar.client.state("a"), await sidecar.client.history("a"))


@pytest.mark.parity("terminate/waittimer")
async def test_wait_for_a_timer_ends(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(3600)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.next_due() is not None
        await sidecar.client.terminate("a", "enough")
        assert terminated(await sidecar.client.state("a"))
        assert await sidecar.next_due() is None


@pytest.mark.needs("multi_process")
@pytest.mark.parity("terminate/zombiechilddown")
async def test_child_without_a_sidecar_does_not_hold_its_parent_up(hub: Hub) -> None:
    def parent(ctx: Context):
        yield ctx.child("Child", instance_id="b", app="other")

    def child(ctx: Context):
        yield ctx.event("never")

    async with hub.sidecar() as sidecar, sidecar.worker(parent):
        async with hub.sidecar("other") as other, other.worker({"Child": child}):
            await sidecar.client.start("Flow", "a")
            await other.client.until_status("b", "RUNNING")
            await other.kill()
        await sidecar.client.terminate("a", "enough", recursive=True)
        assert terminated(await sidecar.client.state("a"))
        assert await sidecar.client.status("b", app="other") == "RUNNING"
        async with hub.sidecar("other") as other, other.worker({"Child": child}):
            assert terminated(await other.client.finished("b"))

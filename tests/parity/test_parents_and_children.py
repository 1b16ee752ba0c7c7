"""One workflow, its children, and theirs."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Refused
from tests.parity.flows import Context, decide
from tests.parity.hub import Hub, Sidecar

NOT_FOUND = "failed to purge workflow state: no such instance exists"
NOT_ENDED = "failed to purge workflow state: orchestration has not yet completed"


@pytest.mark.parity("basic/single")
async def test_workflow_without_a_wait_completes_in_its_first_turn(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(lambda ctx: f"hello {ctx.input}") as worker:
        await sidecar.client.start("Flow", "a", "you")
        assert await sidecar.client.status("a") == "COMPLETED"
        assert await sidecar.client.output("a") == "hello you"
        assert len(worker.requests) == 1


def tree(ctx: Context):
    """Two levels of children below; the last wait for an event."""
    if ctx.input == "0":
        return (yield ctx.event("go"))
    depth = str(int(ctx.input) - 1)
    return (yield ctx.child("Tree", depth, instance_id=f"{ctx.id}-{depth}"))


TREE = ["a", "a-1", "a-1-0"]


@pytest.mark.parity("basic/child", "basic/purge")
async def test_output_of_a_child_reaches_the_parent_and_both_can_be_purged(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker({"Tree": tree}):
        client = sidecar.client
        await client.start("Tree", "a", "2")
        await client.until_status("a-1-0", "RUNNING")
        with pytest.raises(Refused) as refused:
            await client.purge("a", recursive=True)
        assert str(refused.value) == f"UNKNOWN: {NOT_ENDED}"
        await client.send("a-1-0", "go", "deep")
        assert await client.output("a") == "deep"
        assert sorted(await client.ids()) == TREE
        assert await client.purge("a", recursive=True) == 3
        assert await client.ids() == []
        for instance_id in TREE:
            assert not (await client.get(instance_id)).exists
            with pytest.raises(Refused) as refused:
                await client.purge(instance_id)
            assert str(refused.value) == f"UNKNOWN: {NOT_FOUND}"


@pytest.mark.parity("basic/terminate-recursive")
async def test_recursive_terminate_ends_the_tree(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker({"Tree": tree}):
        client = sidecar.client
        await client.start("Tree", "a", "2")
        await client.until_status("a-1-0", "RUNNING")
        await client.terminate("a", "enough", recursive=True)
        assert await client.status("a") == "TERMINATED"
        for instance_id in TREE:
            state = await client.finished(instance_id)
            assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
            assert state.output.value == "enough"
        assert await client.purge("a", recursive=True) == 3


@pytest.mark.parity("basic/terminate-single")
async def test_single_terminate_leaves_the_children(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker({"Tree": tree}):
        client = sidecar.client
        await client.start("Tree", "a", "2")
        await client.until_status("a-1-0", "RUNNING")
        await client.terminate("a", "enough")
        assert await client.status("a") == "TERMINATED"
        before = await client.history("a")
        assert [await client.status(instance_id) for instance_id in TREE[1:]] == ["RUNNING"] * 2
        await client.send("a-1-0", "go", "deep")
        assert await client.output("a-1") == "deep"
        assert await client.status("a") == "TERMINATED"
        assert await client.history("a") == before


def parent(ctx: Context):
    return (yield ctx.child("Child", "x"))


def child(ctx: Context):
    return (yield ctx.activity("work", ctx.input))


FLOWS = {"Flow": parent, "Child": child}


@pytest.mark.parity("basic/childidempotent")
@pytest.mark.parametrize("last_id", ["a", "a:0000"], ids=["before", "after"])
async def test_child_runs_once_whenever_its_parents_turn_is_cut_short(
    hub: Hub, last_id: str
) -> None:
    reached = asyncio.Event()

    async def until_the_crash(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        if request.instanceId == last_id:
            reached.set()
            return None
        return decide(request, request.pastEvents, FLOWS)

    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(raw=until_the_crash),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start_or_be_cut_off(sidecar))
        await reached.wait()
        await sidecar.kill()
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS) as worker:
        assert await sidecar.client.output("a") == "x"
        assert sorted(await sidecar.client.ids()) == ["a", "a:0000"]
        assert (await sidecar.client.kinds("a")).count("childWorkflowInstanceCreated") == 1
        assert len(await sidecar.client.history("a:0000")) == 6
        assert worker.task_names() == ["work"]


async def start_or_be_cut_off(sidecar: Sidecar) -> None:
    with suppress(Refused):
        await sidecar.client.start("Flow", "a")


@pytest.mark.parity("basic/specialchars")
@pytest.mark.parametrize(
    "instance_id", ["a|b", "a@b", "||", "%_", "a/../b", " a ", "\u00e4\n\U0001f600"]
)
async def test_ids_with_special_characters_work_everywhere(hub: Hub, instance_id: str) -> None:
    def flow(ctx: Context):
        yield ctx.event("go")
        yield ctx.sleep(0)
        one = yield ctx.child("Child", "1")
        other = yield ctx.child("Child", "2", instance_id=f"{instance_id}'")
        return one + other

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}):
        client = sidecar.client
        assert await client.start("Flow", instance_id) == instance_id
        await client.suspend(instance_id)
        await client.resume(instance_id)
        await client.send(instance_id, "go")
        assert await client.output(instance_id) == "12"
        ids = [instance_id, f"{instance_id}:0001", f"{instance_id}'"]
        assert await client.ids() == ids
        assert len(await client.history(ids[1])) == 6
        assert await client.purge(instance_id, recursive=True) == 3

"""Ids that are used a second time."""

from __future__ import annotations

import pytest

from tests.parity.client import Client, Refused
from tests.parity.flows import Context
from tests.parity.hub import Hub


def ending(ctx: Context):
    """End as the input says."""
    ctx.custom_status = ctx.input
    if ctx.input == "FAILED":
        raise ValueError("broken")
    if ctx.input == "TERMINATED":
        yield ctx.event("never")
    yield ctx.activity("work", ctx.input)
    return ctx.input


def tree(ctx: Context):
    """Start a child with one letter less, without waiting for it; the last one waits for an event."""
    rest = (ctx.input or "")[1:]
    if rest:
        ctx.child("Flow", rest, instance_id=rest[0])
        return "over"
    return (yield ctx.event("go"))


async def refused(client: Client, instance_id: str, details: str) -> None:
    with pytest.raises(Refused) as found:
        await client.start("Flow", instance_id, instance_id)
    assert found.value.code == "ALREADY_EXISTS"
    assert found.value.details == f"failed to create workflow instance: {details}"


@pytest.mark.parity("reuseid/workflow")
@pytest.mark.parametrize("first", ["COMPLETED", "FAILED", "TERMINATED"])
async def test_id_of_an_ended_workflow_is_free(hub: Hub, first: str) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(ending) as worker:
        client = sidecar.client
        await client.start("Flow", "a", first)
        if first == "TERMINATED":
            await client.terminate("a", "old output")
        await client.finished("a")
        old = await client.state("a")
        del worker.requests[:]
        await client.start("Flow", "a", "COMPLETED")
        assert await client.output("a") == "COMPLETED"
        new = await client.state("a")
        assert (new.input.value, new.customStatus.value) == ("COMPLETED", "COMPLETED")
        assert not new.HasField("failureDetails")
        assert new.executionId.value != old.executionId.value
        assert new.createdTimestamp.ToNanoseconds() > old.createdTimestamp.ToNanoseconds()
        assert len(await client.history("a")) == 6
        assert await client.ids() == ["a"]
        with pytest.raises(Refused, match="enforces instance ID uniqueness"):
            await client.start("Flow", "a", enforceUniqueInstanceId=True)


@pytest.mark.parity("reuseid/purgedchild")
async def test_purged_child_is_no_obstacle(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(tree):
        await sidecar.client.start("Flow", "a", "ab")
        await sidecar.client.output("a")
        assert await sidecar.client.purge("b", force=True) == 1
        await sidecar.client.start("Flow", "a", "ab")
        assert await sidecar.client.output("a") == "over"
        await sidecar.client.until_status("b", "RUNNING")


@pytest.mark.parametrize(
    ("letters", "path"),
    [
        pytest.param(
            "ab",
            "child workflow 'b': ",
            id="child",
            marks=pytest.mark.parity("reuseid/childrunning", "field/18"),
        ),
        pytest.param(
            "abc",
            "child workflow 'b': child workflow 'c': ",
            id="grandchild",
            marks=pytest.mark.parity("reuseid/grandchild"),
        ),
    ],
)
async def test_descendant_that_has_not_ended_is_an_obstacle(
    hub: Hub, letters: str, path: str
) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(tree):
        client = sidecar.client
        await client.start("Flow", "a", letters)
        for ended in letters[:-1]:
            await client.until_status(ended, "COMPLETED")
        await client.until_status(letters[-1], "RUNNING")
        text = f"cannot recreate workflow with ID 'a': {path}orchestration has not yet completed"
        await refused(client, "a", text)
        assert (await client.state("a")).input.value == letters
        await client.send(letters[-1], "go")
        await client.output(letters[-1])
        await client.start("Flow", "a", "a")
        assert await client.status("a") == "RUNNING"


@pytest.mark.parity("reuseid/terminated")
async def test_child_of_a_terminated_workflow_is_an_obstacle(hub: Hub) -> None:
    def parent(ctx: Context):
        return (yield ctx.child("Child", instance_id="b"))

    def child(ctx: Context):
        return (yield ctx.event("go"))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": child}):
        client = sidecar.client
        await client.start("Flow", "a")
        await client.terminate("a")
        text = "cannot recreate workflow with ID 'a': child workflow 'b': "
        await refused(client, "a", f"{text}orchestration has not yet completed")
        await client.terminate("b")
        await client.start("Flow", "a")
        await client.send("b", "go", "new")
        assert await client.output("a") == "new"

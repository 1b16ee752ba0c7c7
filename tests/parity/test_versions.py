"""Which code an instance runs: patches that it has taken, the version that it began with."""

from __future__ import annotations

import pytest

from tests.parity.client import Client
from tests.parity.flows import Context, Versioned
from tests.parity.hub import Hub


async def recorded(client: Client, instance_id: str = "a") -> list[list[str]]:
    """Return the patches that each turn recorded."""
    return [
        list(event.workflowStarted.version.patches)
        for event in await client.history(instance_id)
        if event.HasField("workflowStarted")
    ]


async def version_names(client: Client, instance_id: str) -> list[str]:
    """Return the version that each turn recorded."""
    return [
        event.workflowStarted.version.name
        for event in await client.history(instance_id)
        if event.HasField("workflowStarted")
    ]


def old(ctx: Context):
    way = yield ctx.activity("work", "old")
    return f"{way} {(yield ctx.event('go'))}"


def new(ctx: Context):
    way = yield ctx.activity("work", "new" if ctx.patched("p") else "old")
    return f"{way} {(yield ctx.event('go'))}"


@pytest.mark.parity("patching/default")
async def test_new_instance_takes_the_patch(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(new):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go", "x")
        assert await sidecar.client.output("a") == "new x"
        assert set(map(tuple, await recorded(sidecar.client))) == {("p",)}


@pytest.mark.parity("patching/unpatched")
async def test_instance_past_the_point_stays_on_the_old_way(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(old):
            await sidecar.client.start("Flow", "a")
            await sidecar.client.until_event("a", "taskCompleted")
        async with sidecar.worker(new) as worker:
            await sidecar.client.send("a", "go", "x")
            assert await sidecar.client.output("a") == "old x"
            assert worker.tasks == []
            assert await recorded(sidecar.client) == [[], [], []]


@pytest.mark.parity("patching/multiple")
async def test_second_patch_is_taken_after_an_await(hub: Hub) -> None:
    def one_patch(ctx: Context):
        first = ctx.patched("p1")
        return f"{first} {(yield ctx.event('go'))}"

    def two_patches(ctx: Context):
        first = ctx.patched("p1")
        data = yield ctx.event("go")
        second = ctx.patched("p2")
        return f"{first} {data} {second} {(yield ctx.event('go'))}"

    async with hub.sidecar() as sidecar:
        async with sidecar.worker(one_patch):
            await sidecar.client.start("Flow", "a")
        async with sidecar.worker(two_patches):
            await sidecar.client.send("a", "go", "x")
            await sidecar.client.until_event("a", "eventRaised")
            await sidecar.client.send("a", "go", "y")
            assert await sidecar.client.output("a") == "True x True y"
            assert await recorded(sidecar.client) == [["p1"], ["p1", "p2"], ["p1", "p2"]]


@pytest.mark.parity("patching/continueasnew")
async def test_next_generation_takes_the_patch(hub: Hub) -> None:
    def before(ctx: Context):
        yield ctx.event("go")
        ctx.continue_as_new("old")

    def after(ctx: Context):
        way = "new" if ctx.patched("p") else "old"
        yield ctx.event("go")
        return f"{ctx.input} {way}" if ctx.input else ctx.continue_as_new(way)

    async with hub.sidecar() as sidecar:
        async with sidecar.worker(before):
            await sidecar.client.start("Flow", "a")
        async with sidecar.worker(after):
            await sidecar.client.send("a", "go")
            await sidecar.client.until_state("a", lambda state: state.input.value == "old")
            await sidecar.client.send("a", "go")
            assert await sidecar.client.output("a") == "old new"
            assert await recorded(sidecar.client) == [["p"], ["p"]]


def version(name: str):
    def flow(ctx: Context):
        return f"{name} {(yield ctx.event('go'))}"

    return flow


@pytest.mark.parity("versioning/default")
async def test_new_instance_runs_the_latest_version(hub: Hub) -> None:
    both = Versioned({"v1": version("one"), "v2": version("two")}, latest="v2")
    async with hub.sidecar() as sidecar, sidecar.worker(both):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go", "x")
        assert await sidecar.client.output("a") == "two x"
        assert await version_names(sidecar.client, "a") == ["v2", "v2"]


@pytest.mark.parity("versioning/rerun")
async def test_replay_keeps_the_version(hub: Hub) -> None:
    only_old = Versioned({"v1": version("one")}, latest="v1")
    both = Versioned({"v1": version("one"), "v2": version("two")}, latest="v2")
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(only_old):
            await sidecar.client.start("Flow", "a")
        async with sidecar.worker(both):
            await sidecar.client.start("Flow", "b")
            for instance_id, output, name in (("a", "one x", "v1"), ("b", "two x", "v2")):
                await sidecar.client.send(instance_id, "go", "x")
                assert await sidecar.client.output(instance_id) == output
                assert await version_names(sidecar.client, instance_id) == [name, name]

"""Workflows that stall in one sidecar and go on in another one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from durahub.protocol import messages as pb

from tests.parity.apps import apps, until_shows
from tests.parity.flows import Context, Versioned
from tests.parity.hub import APP, Hub, Sidecar


def waiting(version: str):
    def flow(ctx: Context):
        ctx.custom_status = "begun"
        return f"{version} {(yield ctx.event('go'))}"

    return flow


OLD = Versioned({"v1": waiting("v1")}, latest="v1")
NEW = Versioned({"v1": waiting("v1"), "v2": waiting("v2")}, latest="v2")


async def begin(sidecar: Sidecar) -> None:
    """Start a workflow that only new code can go on with."""
    async with sidecar.worker(NEW):
        await sidecar.client.start("Flow", "a")
        await until_shows(sidecar.client, "a", "begun")


async def check_stalled(*sidecars: Sidecar) -> None:
    for sidecar in sidecars:
        await sidecar.client.until_status("a", "STALLED")
        state = await sidecar.client.state("a")
        assert state.failureDetails.errorMessage == "Version not available: v2"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/stalled-base")
async def test_stalled_workflow_goes_on_when_the_right_worker_connects_elsewhere(hub: Hub) -> None:
    async with apps(hub, APP, APP) as (one, two):
        await begin(one)
        async with one.worker(OLD):
            await one.client.send("a", "go", "on")
            await check_stalled(one, two)
            async with two.worker(NEW):
                assert await one.client.output("a") == "v2 on"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/stalled-workermigrate")
async def test_stalled_workflow_goes_on_when_its_worker_moves_with_new_code(hub: Hub) -> None:
    async with apps(hub, APP, APP) as (one, two):
        await begin(one)
        async with one.worker(OLD):
            await one.client.send("a", "go", "on")
            await check_stalled(one, two)
        async with two.worker(OLD):
            await check_stalled(one, two)
        async with two.worker(NEW):
            assert await one.client.output("a") == "v2 on"
        kinds = await one.client.kinds("a")
        assert kinds.count("executionStalled") == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/stalled-manyclients")
async def test_all_who_wait_for_a_stalled_workflow_learn_of_its_end(hub: Hub) -> None:
    async with apps(hub, APP, APP) as sidecars, asyncio.TaskGroup() as group:
        await begin(sidecars[0])
        waits = [
            group.create_task(sidecar.client.output("a")) for sidecar in sidecars for _ in range(10)
        ]
        async with sidecars[0].worker(OLD):
            await sidecars[0].client.send("a", "go", "on")
            await check_stalled(*sidecars)
            assert not any(wait.done() for wait in waits)
            async with sidecars[1].worker(NEW):
                assert await asyncio.gather(*waits) == ["v2 on"] * len(waits)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/stalled-maxbodysize")
async def test_workflow_too_large_for_one_sidecar_goes_on_in_one_that_takes_more(hub: Hub) -> None:
    def flow(ctx: Context):
        return str(len((yield ctx.event("go"))))

    async with (
        apps(hub, APP, max_message_bytes=10_000) as (small,),
        apps(hub, APP) as (large,),
        small.worker(flow),
    ):
        await small.client.start("Flow", "a")
        await large.client.send("a", "go", "x" * 20_000)
        await small.client.until_status("a", "STALLED")
        last = (await large.client.history("a"))[-1].executionStalled
        assert last.reason == pb.PAYLOAD_SIZE_EXCEEDED
        async with large.worker(flow):
            assert await large.client.output("a") == "20000"


@pytest.mark.parity("replicas/stalled-workersubset")
async def test_workflow_runs_on_whichever_of_many_workers_has_its_version(hub: Hub) -> None:
    async with AsyncExitStack() as stack:
        (shop,) = await stack.enter_async_context(apps(hub, APP))
        await begin(shop)
        crowd = [OLD, OLD, NEW, OLD, OLD]
        for code in crowd:
            await stack.enter_async_context(shop.worker(code, stateful=True))
        await shop.client.send("a", "go", "on")
        assert await shop.client.output("a") == "v2 on"
        assert "executionStalled" not in await shop.client.kinds("a")


@pytest.mark.parity("replicas/stalled-workersubset")
async def test_workflow_that_none_of_many_workers_can_run_waits_for_one_that_can(hub: Hub) -> None:
    async with AsyncExitStack() as stack:
        (shop,) = await stack.enter_async_context(apps(hub, APP))
        await begin(shop)
        for _ in range(3):
            await stack.enter_async_context(shop.worker(OLD))
        await shop.client.send("a", "go", "on")
        await check_stalled(shop)
        await stack.enter_async_context(shop.worker(NEW))
        assert await shop.client.output("a") == "v2 on"

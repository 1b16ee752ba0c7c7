"""Bugs that others shipped: several sidecars, and many workflows."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from datetime import timedelta

import pytest
from durahub.backend import Backend

from tests.parity.disturbed import DisturbedBackend
from tests.parity.flows import Context
from tests.parity.hub import Hub, Sidecar


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def two_steps(ctx: Context):
    first = yield ctx.activity("one", ctx.id)
    return (yield ctx.activity("two", first))


@pytest.mark.needs("multi_process")
@pytest.mark.parity("field/02")
async def test_sidecar_that_was_declared_dead_writes_nothing(hub: Hub) -> None:
    """Its calls to the store hang beyond the life of its session, and go through later."""
    thaw = asyncio.Event()
    disturbed: list[DisturbedBackend] = []

    def wrap(backend: Backend) -> Backend:
        disturbed.append(DisturbedBackend(backend))
        return disturbed[0]

    async def freeze(_: str) -> None:
        await thaw.wait()

    short = timedelta(milliseconds=500)
    async with hub.sidecar(wrap=wrap, session_time_to_live=short) as zombie:
        async with zombie.worker(two_steps) as old:
            await zombie.client.start("Flow", "before")
            await zombie.client.output("before")
            disturbed[0].before = freeze
            with pytest.raises(Exception, match="DEADLINE_EXCEEDED"):
                await zombie.client.start("Flow", "lost", within_s=0.3)
            async with (
                hub.sidecar(session_time_to_live=short) as heir,
                heir.worker(two_steps) as new,
            ):
                await heir.client.start("Flow", "a")
                assert await heir.client.output("a") == "a"
                await asyncio.sleep(2 * short.total_seconds())
                history = await heir.client.history("before")
                thaw.set()
                await zombie.client.until_status("a", "COMPLETED")
                assert await heir.client.history("before") == history
    assert "a" not in {request.instanceId for request in old.requests}
    assert {task.workflowInstance.instanceId for task in new.tasks} >= {"a"}


@pytest.mark.needs("multi_process")
@pytest.mark.parity("field/11")
async def test_slow_sidecar_slows_nobody_else_down(hub: Hub) -> None:
    async def drag(_: str) -> None:
        await asyncio.sleep(0.5)

    def wrap(backend: Backend) -> Backend:
        disturbed = DisturbedBackend(backend)
        disturbed.before = drag
        return disturbed

    async with (
        hub.sidecar(wrap=wrap, session_time_to_live=timedelta(seconds=30)),
        hub.sidecar() as quick,
        quick.worker(two_steps),
    ):
        began = time.monotonic()
        for number in range(10):
            await quick.client.start("Flow", f"a{number}")
            await quick.client.output(f"a{number}")
        assert time.monotonic() - began < 5


@pytest.mark.needs("multi_process")
@pytest.mark.parity("field/25")
async def test_timers_of_a_dead_sidecar_fire_in_another(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.6)
        return "fired"

    async with hub.sidecar() as heir, heir.worker(flow):
        async with hub.sidecar(session_time_to_live=timedelta(milliseconds=500)) as dead:
            async with dead.worker(flow):
                await dead.client.start("Flow", "a")
                await dead.kill()
        assert await heir.client.output("a") == "fired"


async def _run(sidecar: Sidecar, numbers: range) -> None:
    """Run workflows, twenty at a time."""
    gate = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with gate:
            await sidecar.client.start("Flow", f"a{number}", "x" * 2000)
            await sidecar.client.output(f"a{number}")

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))


@pytest.mark.parity("field/26", "field/27")
async def test_many_workflows_cost_neither_time_nor_memory(hub: Hub) -> None:
    """What a store in memory keeps is purged on the way; the sidecar itself must keep nothing.

    Time is that of the processor, and memory is counted in blocks, so that neither depends on what
    else runs on the machine.
    """
    batch = 70
    took_s, blocks = [], []
    async with hub.sidecar() as sidecar, sidecar.worker(two_steps) as worker:
        for start in range(0, 6 * batch, batch):
            began_s = time.process_time()
            await _run(sidecar, range(start, start + batch))
            took_s.append(time.process_time() - began_s)
            for number in range(start, start + batch):
                await sidecar.client.purge(f"a{number}")
            worker.items.clear()
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    assert min(took_s[3:]) < 2 * min(took_s[:3])
    workflows = 4 * batch
    assert blocks[-1] - blocks[1] < 4 * workflows, blocks

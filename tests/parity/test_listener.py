"""Workers that come, share the work, and go."""

from __future__ import annotations

import asyncio

import pytest

from tests.parity.flows import Context, all_of
from tests.parity.holding import Held
from tests.parity.hub import Hub


def flow(ctx: Context):
    return ",".join((yield all_of(*[ctx.activity("work", str(number)) for number in range(10)])))


TEN = "0,1,2,3,4,5,6,7,8,9"


@pytest.mark.parity("listener/single")
async def test_one_worker_does_everything(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.hello()
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == TEN
    assert len(worker.tasks) == 10
    assert {request.instanceId for request in worker.requests} == {"a"}


@pytest.mark.parity("listener/multi")
@pytest.mark.parametrize("stateful", [False, True])
async def test_workers_share_the_work(hub: Hub, *, stateful: bool) -> None:
    held = Held()
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(flow, held, stateful=stateful) as one,
        sidecar.worker(flow, held, stateful=stateful) as two,
        sidecar.worker(flow, held, stateful=stateful) as three,
    ):
        workers = (one, two, three)
        names = [f"flow-{number}" for number in range(30)]
        await asyncio.gather(*(sidecar.client.start("Flow", name) for name in names))
        await held.until_begun(300)
        held.release()
        for name in names:
            assert await sidecar.client.output(name) == TEN
        keys = [(t.workflowInstance.instanceId, t.taskId) for w in workers for t in w.tasks]
        assert len(keys) == len(set(keys)) == 300
        assert all(len(worker.tasks) >= 50 for worker in workers)
        assert all(worker.requests for worker in workers)


@pytest.mark.parity("listener/crud")
async def test_workers_come_and_go_and_the_work_goes_on(hub: Hub) -> None:
    def three_events(ctx: Context):
        return ",".join((yield all_of(*[ctx.event("go") for _ in range(3)])))

    async with hub.sidecar() as sidecar:
        async with sidecar.worker(three_events):
            async with sidecar.worker(three_events):
                assert sidecar.engine.connected_workers == 2
                await sidecar.client.start("Flow", "a")
            assert sidecar.engine.connected_workers == 1
            await sidecar.client.send("a", "go", "1")
            await sidecar.client.until_event("a", "eventRaised", 1)
        assert sidecar.engine.connected_workers == 0
        await sidecar.client.send("a", "go", "2")
        assert (await sidecar.client.kinds("a")).count("eventRaised") == 1
        async with sidecar.worker(three_events):
            await sidecar.client.until_event("a", "eventRaised", 2)
        async with sidecar.worker(three_events):
            await sidecar.client.send("a", "go", "3")
            assert await sidecar.client.output("a") == "1,2,3"

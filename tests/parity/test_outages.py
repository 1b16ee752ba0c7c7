"""Activities go on while the store is away, and while other sidecars come and go."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.faults import Outage, outage
from tests.parity.flows import Context, all_of
from tests.parity.holding import Held
from tests.parity.hub import Hub, Sidecar
from tests.parity.worker import Worker, echo

IMPATIENT = {
    "safety_poll": timedelta(milliseconds=100),
    "session_time_to_live": timedelta(seconds=20),
}


def one(ctx: Context):
    return (yield ctx.activity("held", ctx.id))


def thirty(ctx: Context):
    calls = [ctx.activity("held", str(number)) for number in range(20)]
    calls += [ctx.activity("quick", str(number)) for number in range(20, 30)]
    return ",".join((yield all_of(*calls)))


async def felt(out: Outage, calls: int = 5) -> None:
    """Return when the sidecars have noticed that the store is away."""
    await until(lambda: out.refused >= calls, ANSWER_S)


@pytest.mark.parity("dedup/schedulerrestart-base")
async def test_activity_outlives_an_outage(hub: Hub) -> None:
    held = Held()
    async with hub.sidecar(**IMPATIENT) as sidecar, sidecar.worker(one, held) as worker:
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        with outage(sidecar) as out:
            held.release()
            await felt(out)
        assert await sidecar.client.output("a") == "a"
        assert worker.task_names() == ["held"]


@pytest.mark.parity("dedup/schedulerrestart-manyactivities")
async def test_many_activities_outlive_an_outage(hub: Hub) -> None:
    held, quick = Held(), Held()
    activities = {"held": held, "quick": quick}
    async with hub.sidecar(**IMPATIENT) as sidecar, sidecar.worker(thirty, activities) as worker:
        await sidecar.client.start("Flow", "a")
        await held.until_begun(20)
        await quick.until_begun(10)
        with outage(sidecar) as out:
            quick.release()
            await felt(out)
        held.release()
        assert await sidecar.client.output("a") == ",".join(map(str, range(30)))
        assert len(worker.tasks) == 30


async def run_in_turn(
    hub: Hub, stack: AsyncExitStack, held: Held, count: int
) -> tuple[list[Sidecar], list[Worker]]:
    """Start sidecars with a worker each, of which each has begun an activity of its own."""
    sidecars, workers = [], []
    for number in range(count):
        sidecar = await stack.enter_async_context(hub.sidecar(**IMPATIENT))
        worker = await stack.enter_async_context(sidecar.worker(one, held))
        sidecars.append(sidecar)
        workers.append(worker)
        await sidecar.client.start("Flow", str(number))
        await held.until_begun(number + 1)
    return sidecars, workers


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize(
    ("count", "away"),
    [
        pytest.param(2, 1, marks=pytest.mark.parity("dedup/schedulerrestart-multidaprd")),
        pytest.param(3, 3, marks=pytest.mark.parity("dedup/schedulerrestart-cluster")),
    ],
)
async def test_activities_of_several_sidecars_outlive_an_outage(
    hub: Hub, count: int, away: int
) -> None:
    held = Held()
    async with AsyncExitStack() as stack:
        sidecars, workers = await run_in_turn(hub, stack, held, count)
        with outage(*sidecars[:away]) as out:
            await felt(out, 5 * away)
            held.release()
        for number in range(count):
            assert await sidecars[0].client.output(str(number)) == str(number)
        assert sum(len(worker.tasks) for worker in workers) == count


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(1, marks=pytest.mark.parity("dedup/dissemination")),
        pytest.param(3, marks=pytest.mark.parity("dedup/disseminationcluster")),
    ],
)
async def test_activities_run_once_while_sidecars_come_and_go(hub: Hub, count: int) -> None:
    held = Held()
    async with AsyncExitStack() as stack:
        sidecars, workers = await run_in_turn(hub, stack, held, count)
        for _ in range(2):
            async with hub.sidecar(**IMPATIENT) as guest, guest.worker(one, echo):
                await guest.client.start("Flow", "guest")
                assert await guest.client.output("guest") == "guest"
        held.release()
        for number in range(count):
            assert await sidecars[0].client.output(str(number)) == str(number)
        ran = [task.input.value for worker in workers for task in worker.tasks]
        assert sorted(ran) == [str(number) for number in range(count)]

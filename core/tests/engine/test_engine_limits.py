"""Limits over all sidecars of an application: never exceeded, fully used, and in nobody's way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from durahub.backend import ClaimLimit, ClaimLimits
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from . import making
from .hub import FOR_EVER, WatchedBackend, finished, jitter, settled, start, terminate, until
from .limiting import (
    NAMES,
    Gauge,
    activities,
    all_finished,
    calling,
    sidecars,
    start_all,
    workflows,
)
from .worker import Worker, fan_out, nothing_to_do, sequence, waiting_for, working


@pytest.mark.parametrize("count", [1, 3])
async def test_total_of_activities_is_never_exceeded_and_fully_used(count: int) -> None:
    gauge = Gauge()
    async with (
        AsyncExitStack() as stack,
        sidecars(MemoryStore(), count, activities(4)) as engines,
    ):
        for engine in engines:
            await stack.enter_async_context(working(engine, fan_out(4), gauge))
        await start_all(engines, NAMES)
        await all_finished(engines[0], NAMES)
        await stack.aclose()
    assert gauge.most[""] == 4


async def test_without_limits_as_many_run_as_there_are() -> None:
    gauge = Gauge(hold=frozenset({"charge"}))
    async with (
        sidecars(MemoryStore(), 2, ClaimLimits()) as (one, two),
        working(one, fan_out(10), gauge),
        working(two, fan_out(10), gauge),
    ):
        await start_all([one, two], NAMES[:4])
        await until(lambda: gauge.running[""] == 40)
        gauge.open.set()
        await all_finished(one, NAMES[:4])


async def test_limit_of_an_activity_holds_back_no_other() -> None:
    gauge = Gauge(hold=frozenset({"slow"}))
    flows = {"Slow": calling(*["slow"] * 5), "Fast": calling(*["fast"] * 5)}
    async with (
        sidecars(MemoryStore(), 2, activities(slow=2)) as (one, two),
        working(one, flows, gauge),
        working(two, flows, gauge),
    ):
        await start_all([one, two], ["s1", "s2"], "Slow")
        await until(lambda: gauge.running["slow"] == 2)
        await start_all([one, two], NAMES, "Fast")
        await all_finished(two, NAMES)
        assert gauge.running["slow"] == 2
        gauge.open.set()
        await all_finished(one, ["s1", "s2"])
    assert gauge.most["slow"] == 2
    assert gauge.most["fast"] > 2


async def test_limits_of_activities_combine() -> None:
    gauge = Gauge()
    flow = calling(*["a"] * 4, *["b"] * 4)
    async with (
        sidecars(MemoryStore(), 2, activities(3, a=1)) as (one, two),
        working(one, flow, gauge),
        working(two, flow, gauge),
    ):
        await start_all([one, two], NAMES[:10])
        await all_finished(one, NAMES[:10])
    assert (gauge.most[""], gauge.most["a"]) == (3, 1)


async def test_limits_of_the_sidecar_and_of_all_sidecars_combine() -> None:
    gauges = [Gauge(), Gauge()]
    async with (
        sidecars(MemoryStore(), 2, activities(3), max_concurrent_activities=2) as (one, two),
        working(one, fan_out(4), gauges[0]),
        working(two, fan_out(4), gauges[1]),
    ):
        await start_all([one, two], NAMES)
        await all_finished(one, NAMES)
    most = [gauge.most[""] for gauge in gauges]
    assert max(most) == 2
    assert sum(most) > 2


def unanswered(*workers: Worker) -> list[tuple[Worker, pb.WorkItem]]:
    """Return what silent workers have got and `answer` has not answered."""
    return [(worker, item) for worker in workers for item in worker.items]


async def answer(worker: Worker, item: pb.WorkItem) -> None:
    worker.items.remove(item)
    await worker.answer(item)


async def test_total_of_workflows_counts_turns_that_wait_for_their_worker() -> None:
    store = MemoryStore()
    async with (
        sidecars(store, 2, workflows(3)) as (one, two),
        working(one, nothing_to_do, silent=True) as mine,
        working(two, nothing_to_do, silent=True) as theirs,
        asyncio.TaskGroup() as group,
    ):
        for place, name in enumerate(NAMES):
            group.create_task(start((one, two)[place % 2], name))
        for left in range(len(NAMES), 0, -1):
            await until(lambda left=left: len(unanswered(mine, theirs)) == min(3, left))
            await settled()
            assert len(unanswered(mine, theirs)) == min(3, left)
            await answer(*unanswered(mine, theirs)[0])


async def test_limit_of_a_workflow_holds_back_no_other() -> None:
    flows = {"Slow": nothing_to_do, "Fast": sequence(2)}
    async with (
        sidecars(MemoryStore(), 2, workflows(Slow=2)) as (one, two),
        working(one, flows, silent=True) as mine,
        asyncio.TaskGroup() as group,
    ):
        for name in NAMES[:6]:
            group.create_task(start(one, f"slow {name}", "Slow"))
        await until(lambda: len(mine.requests) == 2)
        async with working(two, flows) as theirs:
            mine.engine._workbench.close()
            await start_all([two], NAMES, "Fast")
            await all_finished(two, NAMES)
            assert {request.instanceId.split()[0] for request in theirs.requests} == set(NAMES)
            for item in list(mine.items):
                await answer(mine, item)
            await all_finished(two, [f"slow {name}" for name in NAMES[:6]])
            assert mine.items == []


async def test_limits_of_workflows_and_activities_combine() -> None:
    gauge = Gauge()
    limits = ClaimLimits(
        instances=ClaimLimit(total=2, by_name={"Slow": 1}),
        activities=ClaimLimit(total=2, by_name={"a": 1}),
    )
    flows = {"Slow": calling("a", "b"), "Fast": calling("a", "b", "c")}
    names = [f"slow {name}" for name in NAMES[:8]]
    async with (
        sidecars(MemoryStore(), 2, limits) as (one, two),
        working(one, flows, gauge) as mine,
        working(two, flows, gauge) as theirs,
    ):
        await start_all([one, two], names, "Slow")
        await start_all([one, two], NAMES, "Fast")
        await all_finished(one, [*names, *NAMES])
    assert (gauge.most[""], gauge.most["a"]) == (2, 1)
    assert max(mine.most_turns, theirs.most_turns) <= 2


async def test_limits_hold_for_what_is_claimed_in_a_hurry_without_a_worker() -> None:
    store = MemoryStore()
    async with sidecars(store, 1, workflows(2), worker_grace=FOR_EVER) as (engine,):
        async with working(engine, waiting_for(1)):
            await start_all([engine], NAMES)
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(terminate(engine, name))
            await until(lambda: any(row.owner for row in store.instances.values()))
            await settled()
            assert sum(row.owner is not None for row in store.instances.values()) == 2
            context = working(engine, waiting_for(1))
            worker = await context.__aenter__()
        await context.__aexit__(None, None, None)
    assert worker.most_turns == 2


async def test_endless_loop_leaves_places_for_others() -> None:
    flows = {"Loop": lambda _: [making.continue_as_new()], "Flow": sequence(2)}
    limits = ClaimLimits(instances=ClaimLimit(total=1), activities=ClaimLimit(total=1))
    async with (
        sidecars(MemoryStore(), 2, limits) as (one, two),
        working(one, flows),
        working(two, flows),
    ):
        await start(one, "loop", "Loop")
        for name in NAMES[:5]:
            await start(two, name)
            await finished(one, name)
        await terminate(one, "loop")


async def test_waiting_for_a_place_asks_the_store_hardly_anything() -> None:
    store = MemoryStore()
    async with (
        sidecars(store, 2, workflows(1), session_time_to_live=timedelta(hours=1)) as (one, two),
        working(one, nothing_to_do, silent=True) as mine,
        working(two, nothing_to_do),
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(start(one, name)) for name in NAMES]
        await until(lambda: len(store.instances) == len(NAMES) and bool(mine.items))
        backends = [one._backend, two._backend]
        await settled()
        for backend in backends:
            assert isinstance(backend, WatchedBackend)
            backend.calls.clear()
        await asyncio.sleep(0.2)
        assert sum(backend.calls.total() for backend in backends) <= 2  # type: ignore[attr-defined]
        for call in calls:
            call.cancel()


@pytest.mark.parametrize("seed", range(4))
async def test_three_sidecars_on_a_slow_store_exceed_nothing_at_any_time(seed: int) -> None:
    source = random.Random(seed)
    store = MemoryStore()
    limits = ClaimLimits(
        instances=ClaimLimit(total=source.randrange(2, 6), by_name={"Wide": 1, "Line": 2}),
        activities=ClaimLimit(total=source.choice([None, 4]), by_name={"a": 1}),
    )
    flows = {"Wide": calling("a", "b", "a"), "Line": sequence(3), "Free": calling("a", "b")}

    async def check(step: str) -> None:
        names = Counter(row.record.name for row in store.instances.values() if row.owner)
        tasks = Counter(row.task.name for row in store.tasks.values() if row.owner)
        for limit, owned in ((limits.instances, names), (limits.activities, tasks)):
            assert limit.total is None or owned.total() <= limit.total
            assert all(owned[name] <= most for name, most in limit.by_name.items())
        await jitter(source)(step)

    gauge = Gauge()
    async with AsyncExitStack() as stack, sidecars(store, 3, limits) as engines:
        for engine in engines:
            assert isinstance(engine._backend, WatchedBackend)
            engine._backend.before = engine._backend.after = check
            await stack.enter_async_context(working(engine, flows, gauge))
        names = {f"{kind} {number}": kind for kind in flows for number in range(10)}
        async with asyncio.TaskGroup() as group:
            for name, kind in names.items():
                group.create_task(start(source.choice(engines), name, kind))
        await all_finished(engines[0], list(names))
        await stack.aclose()
    assert gauge.most["a"] == 1

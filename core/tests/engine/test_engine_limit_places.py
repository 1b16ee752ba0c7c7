"""A place that one sidecar gives back is another one's at once: nobody waits for a poll."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from durahub.backend import ClaimLimit, ClaimLimits
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.errors import InstanceNotFoundError
from durahub.testing import MemoryStore
from durahub.testing.memory_rows import InstanceRow, TaskRow

from . import making
from .hub import WatchedBackend, kill, options, purge, settled, start, store_of, until
from .limiting import NAMES, SHORT, Gauge, activities, all_finished, sidecars, start_all, workflows
from .worker import Activity, Worker, Workflow, echo, fan_out, nothing_to_do, working


async def start_unless_purged(engine: Engine, name: str) -> None:
    with suppress(InstanceNotFoundError):
        await start(engine, name)


@asynccontextmanager
async def handover(
    limits: ClaimLimits, flow: Workflow, activity: Activity = echo, *, silent: bool = True
) -> AsyncIterator[tuple[Worker, Worker]]:
    """Yield two workers, the first one with the only place, whose sidecar claims nothing more."""
    async with (
        sidecars(MemoryStore(), 2, limits) as (one, two),
        working(one, flow, activity, silent=silent) as mine,
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(start_unless_purged(one, name)) for name in ("1st", "2nd")]
        await until(lambda: sum(row.owner is not None for row in owned_by_limit(one, limits)) == 1)
        await settled()
        one._workbench.close()
        async with working(two, flow, activity, silent=silent) as theirs:
            await settled()
            assert theirs.items == []
            yield mine, theirs
            for call in calls:
                call.cancel()


def owned_by_limit(engine: Engine, limits: ClaimLimits) -> list[InstanceRow] | list[TaskRow]:
    store = store_of(engine)
    return list(store.instances.values() if limits.instances else store.tasks.values())


async def taken_over(theirs: Worker) -> None:
    """Return when the other sidecar has got the place; no poll could help it."""
    await until(lambda: len(theirs.items) == 1)


async def test_turn_that_ends_lets_the_other_sidecar_go_on_at_once() -> None:
    async with handover(workflows(1), nothing_to_do) as (mine, theirs):
        await mine.answer(mine.items[0])
        await taken_over(theirs)


async def test_worker_that_leaves_lets_the_other_sidecar_go_on() -> None:
    async with handover(workflows(1), nothing_to_do) as (mine, theirs):
        mine.leave()
        await taken_over(theirs)
        assert theirs.requests[0].instanceId == mine.requests[0].instanceId


async def test_parked_instance_lets_the_other_sidecar_go_on() -> None:
    async with handover(workflows(1), nothing_to_do) as (mine, theirs):
        answer = making.response(making.lack_version())
        answer.instanceId = mine.requests[0].instanceId
        answer.completionToken = mine.items[0].completionToken
        await mine.engine.complete_workflow(answer)
        await taken_over(theirs)


async def test_purged_instance_lets_the_other_sidecar_go_on() -> None:
    async with handover(workflows(1), nothing_to_do) as (mine, theirs):
        await purge(mine.engine, mine.requests[0].instanceId, force=True)
        await taken_over(theirs)


@pytest.mark.parametrize("leaves", [False, True])
async def test_activity_that_ends_lets_the_other_sidecar_go_on(*, leaves: bool) -> None:
    gauge = Gauge(hold=frozenset({"charge"}))
    async with handover(activities(1), fan_out(1), gauge, silent=False) as (mine, theirs):
        if leaves:
            mine.leave()
            await until(lambda: len(theirs.tasks) == 1)
        gauge.open.set()
        await until(lambda: len(theirs.tasks) == 1 + leaves)


async def test_killed_sidecars_places_are_free_after_fencing() -> None:
    store = MemoryStore()
    gauge = Gauge()
    limits = ClaimLimits(instances=ClaimLimit(total=2), activities=ClaimLimit(total=2))
    one = Engine(
        WatchedBackend(store), options(session_time_to_live=SHORT, limits=limits), SystemClock()
    )
    await one.start()
    async with sidecars(store, 1, limits, session_time_to_live=SHORT) as (two,):
        async with working(one, fan_out(3), silent=True) as mine, asyncio.TaskGroup() as group:
            calls = [group.create_task(start(one, name)) for name in NAMES[:5]]
            await until(lambda: len(mine.items) == 2)
            await until(lambda: len(store.instances) == 5)
            await kill(one)
            for call in calls:
                call.cancel()
        async with working(two, fan_out(3), gauge):
            await settled()
            assert gauge.most[""] == 0
            await all_finished(two, NAMES[:5])
    assert gauge.most[""] == 2


async def test_restart_goes_on_within_the_limits() -> None:
    store, gauge = MemoryStore(), Gauge()
    limits = activities(2)
    async with (
        sidecars(store, 1, limits) as (engine,),
        working(engine, fan_out(4), Gauge(hold=frozenset({"charge"}))),
    ):
        await start_all([engine], NAMES[:5])
        await until(lambda: sum(row.owner is not None for row in store.tasks.values()) == 2)
    async with sidecars(store, 1, limits) as (engine,), working(engine, fan_out(4), gauge):
        await all_finished(engine, NAMES[:5])
    assert gauge.most[""] == 2


async def test_sidecar_without_workers_keeps_no_place() -> None:
    store = MemoryStore()
    async with (
        sidecars(store, 2, workflows(1)) as (one, two),
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(start(one, name)) for name in NAMES[:3]]
        async with working(one, nothing_to_do, silent=True) as mine:
            await until(lambda: len(mine.items) == 1)
        async with working(two, nothing_to_do):
            await asyncio.wait(calls)
        await settled()
        assert [row.owner for row in store.instances.values()] == [None] * 3


async def test_fenced_sidecar_comes_back_with_its_limits() -> None:
    store, gauge = MemoryStore(), Gauge()
    limits = activities(2)
    async with (
        sidecars(store, 2, limits, session_time_to_live=SHORT) as (one, two),
        working(one, fan_out(4), gauge),
        working(two, fan_out(4), gauge),
    ):
        await start_all([one, two], NAMES)
        for _ in range(4):
            await asyncio.sleep(0.01)
            for engine in (one, two):
                assert engine._session is not None
                store.end(engine._session.session_id)
        await all_finished(one, NAMES)
    alive = [row.session.limits for row in store.sessions.values() if row.session.limits]
    assert len(alive) == len(store.sessions) > 2

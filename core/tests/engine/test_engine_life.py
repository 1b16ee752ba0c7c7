"""The engine's own life: start, stop, what it gives back and what it refuses to start with."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.errors import BackendUnavailableError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from .hub import (
    FOR_EVER,
    WatchedBackend,
    finished,
    options,
    running,
    settled,
    start,
    status,
    tell,
    until,
)
from .making import APP
from .worker import Turn, nothing_to_do, sequence, waiting_for, working


async def test_stop_gives_back_and_unregisters_at_once() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as engine,
        working(engine, sequence(1), silent=True) as worker,
    ):
        call = asyncio.ensure_future(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        assert all(row.owner is not None for row in store.instances.values())
    call.cancel()
    assert store.users == 0
    assert all(row.owner is None for row in store.instances.values())
    assert not any(session.alive for session in store.sessions.values())


async def test_stop_with_answers_on_the_way_makes_them_durable() -> None:
    store = MemoryStore()
    backend = WatchedBackend(store)
    async with running(backend) as engine, working(engine, nothing_to_do):
        calls = [asyncio.ensure_future(start(engine, str(number))) for number in range(20)]
        await until(lambda: len(store.instances) == 20)
        await asyncio.gather(*calls)
    found = {row.record.status.name for row in store.instances.values()}
    assert found == {"COMPLETED"}


async def test_stop_while_the_store_is_down_ends_in_time() -> None:
    backend = WatchedBackend()

    async def down(name: str) -> None:
        raise BackendUnavailableError(f"{name}: down")

    async with asyncio.timeout(10), running(backend) as engine, working(engine, nothing_to_do):
        await start(engine, "a")
        backend.before = down
        call = asyncio.ensure_future(tell(engine, "a", "go"))
        await until(lambda: not engine.is_ready)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert backend.store.users == 0


async def test_stop_of_a_client_that_waits_leaves_no_task_behind() -> None:
    before = len(asyncio.all_tasks())
    async with running() as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        waiting = asyncio.ensure_future(finished(engine, "a"))
        await settled()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await settled()
    assert len(asyncio.all_tasks()) == before


async def test_start_on_a_hub_with_waiting_work_goes_on_with_it() -> None:
    store = MemoryStore()
    async with running(WatchedBackend(store)) as engine, working(engine, waiting_for(2)):
        await start(engine, "a")
        await tell(engine, "a", "go", "1")
    async with running(WatchedBackend(store)) as engine, working(engine, waiting_for(2)):
        await tell(engine, "a", "go", "2")
        assert (await finished(engine, "a")).output.value == "1,2"


async def test_start_when_the_store_fails_closes_it_again() -> None:
    backend = WatchedBackend()

    async def down(name: str) -> None:
        raise BackendUnavailableError(f"{name}: down")

    backend.before = down
    engine = Engine(backend, options(), SystemClock())
    with pytest.raises(BackendUnavailableError):
        await engine.start()
    assert backend.store.users == 0
    assert not engine.is_ready


async def test_ready_follows_the_store() -> None:
    backend = WatchedBackend()
    broken = True

    async def flaky(_: str) -> None:
        if broken:
            raise BackendUnavailableError("down")

    engine = Engine(backend, options(), SystemClock())
    assert not engine.is_ready
    async with running(backend) as engine:
        await settled()
        assert engine.is_ready
        backend.before = flaky
        async with working(engine, nothing_to_do):
            await until(lambda: not engine.is_ready)
            broken = False
            await until(lambda: engine.is_ready)
            await start(engine, "a")
            assert await status(engine, "a") == "COMPLETED"
    assert not engine.is_ready


async def test_idle_engine_asks_the_store_hardly_anything() -> None:
    backend = WatchedBackend()
    async with (
        running(
            backend,
            safety_poll=FOR_EVER,
            session_time_to_live=timedelta(hours=1),
        ) as engine,
        working(engine, waiting_for(1)),
    ):
        for number in range(100):
            await start(engine, str(number))
        await settled()
        backend.calls.clear()
        await asyncio.sleep(0.2)
        assert backend.calls.total() <= 1


async def test_instances_of_another_application_are_left_alone() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), app_id=APP) as mine,
        running(WatchedBackend(store), app_id="other") as other,
        working(mine, nothing_to_do) as worker,
    ):
        request = pb.CreateInstanceRequest(instanceId="a", name="Flow")
        call = asyncio.ensure_future(other.client.start(request))
        await settled()
        assert worker.items == []
        async with working(other, nothing_to_do):
            await call
        routed = pb.CreateInstanceRequest(instanceId="b", name="Flow")
        routed.router.targetAppID = "other"
        async with working(other, nothing_to_do) as others_worker:
            await mine.client.start(routed)
            assert len(others_worker.items) == 1
        assert worker.items == []


async def test_activity_of_another_application_runs_there() -> None:
    store = MemoryStore()

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        actions = list(sequence(1)(turn))
        for action in actions:
            action.router.targetAppID = "other"
        return actions

    async with (
        running(WatchedBackend(store)) as mine,
        running(WatchedBackend(store), app_id="other") as other,
        working(mine, flow) as worker,
        working(other, flow) as others_worker,
    ):
        await start(mine, "a")
        assert (await finished(mine, "a")).output.value == "0"
        assert worker.tasks == []
        assert len(others_worker.tasks) == 1


async def test_stop_with_a_store_that_hangs_ends_the_calls_that_wait_for_it() -> None:
    backend = WatchedBackend()

    async def hang(name: str) -> None:
        if name == "apply":
            await asyncio.Event().wait()

    async with running(backend) as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        backend.before = hang
        calls = [asyncio.ensure_future(tell(engine, "a", "go")) for _ in range(2)]
        await settled()
    _, waiting = await asyncio.wait(calls, timeout=0.2)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert not waiting

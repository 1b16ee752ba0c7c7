"""Several sidecars on one store: some stop, some die, some are declared dead. Everything finishes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from durahub.backend import BackendServices, CommitActivity, Session
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.testing import ManualClock, MemoryStore
from durahub.types import SessionId

from . import making
from .hub import (
    FOR_EVER,
    WatchedBackend,
    finished,
    get,
    history,
    jitter,
    kill,
    options,
    running,
    settled,
    start,
    store_of,
    tell,
    terminate,
    until,
)
from .worker import echo, fan_out, nothing_to_do, sequence, waiting_for, working

SHORT = timedelta(seconds=0.15)


def watched(store: MemoryStore, seed: int = 1) -> WatchedBackend:
    backend = WatchedBackend(store)
    backend.before = backend.after = jitter(random.Random(seed))
    return backend


async def slow_echo(request: pb.ActivityRequest) -> str | None:
    await asyncio.sleep(0.002)
    return await echo(request)


async def check_all(engine: Engine, names: Sequence[str], width: int) -> None:
    """Every instance has finished, with each result exactly once in its history."""
    for name in names:
        state = await finished(engine, name)
        assert state.output.value == ",".join(map(str, range(width)))
        events = await history(engine, name)
        tasks = Counter(
            event.taskCompleted.taskScheduledId
            for event in events
            if event.HasField("taskCompleted")
        )
        assert tasks == dict.fromkeys(range(width), 1)
        assert making.kinds(events).count("executionCompleted") == 1
    store = store_of(engine)
    assert store.tasks == {}
    assert all(row.owner is None for row in store.instances.values())


async def test_two_sidecars_share_the_work_and_apply_nothing_twice() -> None:
    store = MemoryStore()
    backends = [watched(store, 1), watched(store, 2)]
    names = [str(number) for number in range(30)]
    async with (
        running(backends[0]) as one,
        running(backends[1]) as two,
        working(one, fan_out(4), slow_echo) as mine,
        working(two, fan_out(4), slow_echo) as theirs,
    ):
        async with asyncio.TaskGroup() as group:
            for place, name in enumerate(names):
                group.create_task(start((one, two)[place % 2], name))
        await check_all(one, names, 4)
        assert mine.requests
        assert theirs.requests
    results = Counter(
        operation.task
        for backend in backends
        for batch in backend.batches
        for operation in batch
        if isinstance(operation, CommitActivity)
    )
    assert len(results) == len(mine.tasks) + len(theirs.tasks) == 120
    assert set(results.values()) == {1}


async def test_one_of_two_sidecars_stops_and_the_other_finishes_everything() -> None:
    store = MemoryStore()
    names = [str(number) for number in range(20)]
    async with running(watched(store, 3)) as two:
        async with (
            running(watched(store, 4)) as one,
            working(one, fan_out(5), slow_echo),
            asyncio.TaskGroup() as group,
        ):
            for name in names:
                group.create_task(start(one, name))
        assert any(row.record.completed_at is None for row in store.instances.values())
        assert all(row.owner is None for row in store.instances.values())
        async with working(two, fan_out(5), slow_echo):
            await check_all(two, names, 5)


async def test_one_of_two_sidecars_is_killed_and_the_other_takes_over() -> None:
    # Long enough that a busy machine does not make the living look dead.
    life = timedelta(seconds=1)
    store = MemoryStore()
    names = [str(number) for number in range(20)]
    one = Engine(watched(store, 5), options(session_time_to_live=life), SystemClock())
    await one.start()
    async with running(watched(store, 6), session_time_to_live=life) as two:
        async with working(one, fan_out(5), slow_echo) as mine, asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(start(two, name))
            await until(lambda: len(mine.tasks) > 10)
            await kill(one)
            owned = [row for row in store.instances.values() if row.owner]
            owned_tasks = [row for row in store.tasks.values() if row.owner]
            assert owned or owned_tasks
            context = working(two, fan_out(5), slow_echo)
            await context.__aenter__()
        await check_all(two, names, 5)
        await context.__aexit__(None, None, None)


async def test_fence_happens_by_the_stores_clock_and_not_before() -> None:
    store, clock = MemoryStore(), ManualClock()
    one = Engine(WatchedBackend(store), options(), clock)
    await one.start()
    async with running(WatchedBackend(store), clock=clock, session_time_to_live=SHORT) as two:
        async with working(one, nothing_to_do, silent=True) as worker:
            task = asyncio.ensure_future(start(one, "a"))
            await until(lambda: len(worker.items) == 1)
            await kill(one)
            task.cancel()
        async with working(two, nothing_to_do):
            clock.advance(timedelta(seconds=10))
            await asyncio.sleep(0.1)
            assert (await get(two, "a")).workflowState.workflowStatus == (
                pb.ORCHESTRATION_STATUS_PENDING
            )
            clock.advance(timedelta(microseconds=1))
            await finished(two, "a")


async def fence(engine: Engine) -> None:
    """Declare an engine's session dead behind its back."""
    assert engine._session is not None
    store_of(engine).end(engine._session.session_id)


async def test_fenced_sidecar_comes_back_with_a_new_session_and_goes_on() -> None:
    backend = WatchedBackend()
    names = [str(number) for number in range(10)]
    async with (
        running(backend) as engine,
        working(engine, fan_out(5), slow_echo, stateful=True),
        asyncio.TaskGroup() as group,
    ):
        for name in names:
            group.create_task(start(engine, name))
        for _ in range(5):
            await asyncio.sleep(0.004)
            await fence(engine)
        await check_all(engine, names, 5)
        assert backend.calls["register"] > 1


async def test_fenced_sidecar_without_work_notices_and_still_takes_calls() -> None:
    backend = WatchedBackend()
    async with running(
        backend, session_time_to_live=timedelta(seconds=0.06), safety_poll=FOR_EVER
    ) as engine:
        await fence(engine)
        async with working(engine, nothing_to_do):
            await start(engine, "a")
            assert backend.calls["register"] == 2
            await fence(engine)
            await until(lambda: backend.calls["register"] == 3)


async def test_zombies_answers_after_the_takeover_are_refused() -> None:
    """The old owner was only asleep: what it writes when it wakes up must not count."""
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as one,
        running(WatchedBackend(store)) as two,
        working(one, sequence(1), silent=True) as sleeper,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(one, "a"))
        await until(lambda: len(sleeper.items) == 1)
        await sleeper.answer(sleeper.items[0])
        await until(lambda: len(sleeper.items) == 2)
        await fence(one)
        two._lane.look()
        async with working(two, sequence(1)):
            state = await finished(two, "a")
            assert state.output.value == "0"
        await sleeper.answer(sleeper.items[1])
        await settled()
        assert making.kinds(await history(two, "a")).count("taskCompleted") == 1


async def test_wait_in_one_sidecar_for_what_the_other_does_is_pushed() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), safety_poll=FOR_EVER) as one,
        running(WatchedBackend(store), safety_poll=FOR_EVER) as two,
        working(two, waiting_for(1)),
    ):
        await settled()
        await start(one, "a")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(finished(one, "a"))
            await settled()
            await tell(one, "a", "go", "x")
            assert (await waiting).output.value == "x"
        await start(one, "b")
        await terminate(one, "b")


async def test_three_sidecars_coming_and_going_lose_nothing() -> None:
    store = MemoryStore()
    names = [str(number) for number in range(15)]
    async with running(watched(store, 9), session_time_to_live=SHORT) as client:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(start(client, name))
            for generation in range(6):
                engine = Engine(
                    watched(store, generation),
                    options(session_time_to_live=SHORT),
                    SystemClock(),
                )
                await engine.start()
                async with working(engine, sequence(4), slow_echo, stateful=generation % 2 == 0):
                    await asyncio.sleep(0.02)
                    await (kill(engine) if generation % 2 else engine.stop(1))
            context = working(client, sequence(4))
            await context.__aenter__()
        await check_all(client, names, 4)
        await context.__aexit__(None, None, None)


class ShortLived(WatchedBackend):
    """A backend whose sessions may be silent for a short time only."""

    @property
    def session_time_to_live(self) -> timedelta:
        return SHORT


@pytest.mark.parametrize(
    ("backend", "wanted", "lives"),
    [
        (WatchedBackend, None, timedelta(seconds=30)),
        (ShortLived, None, SHORT),
        (ShortLived, FOR_EVER, FOR_EVER),
    ],
)
async def test_session_lives_as_long_as_the_backend_says_unless_the_options_do(
    backend: type[WatchedBackend], wanted: timedelta | None, lives: timedelta
) -> None:
    async with running(backend(), session_time_to_live=wanted) as engine:
        (row,) = store_of(engine).sessions.values()
        assert row.session.time_to_live == lives


async def test_heartbeats_are_frequent_enough_for_the_backends_time_to_live() -> None:
    backend = ShortLived()
    async with running(backend, session_time_to_live=None, safety_poll=FOR_EVER):
        await until(lambda: backend.calls["heartbeat"] >= 3)


async def test_silent_session_is_fenced_when_it_is_overdue_and_not_a_heartbeat_later() -> None:
    silent = Session(
        session_id=SessionId("silent"),
        app_id=making.APP,
        time_to_live=timedelta(seconds=1),
        holder="nobody",
    )
    store = MemoryStore()
    backend, other = WatchedBackend(store), WatchedBackend(store)
    await other.open(BackendServices(clock=SystemClock()))
    await other.create_hub()
    await other.register(silent)
    # A third of an hour passes between two heartbeats.
    async with running(backend, session_time_to_live=FOR_EVER):
        await until(lambda: not store.sessions[silent.session_id].alive)
        assert backend.calls["heartbeat"] < 10
    await other.close()

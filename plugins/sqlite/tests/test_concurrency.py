"""Cancelled calls, reading while others write, and closing in the middle."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from durahub.backend import BackendServices
from durahub.errors import BackendError, BackendLockedError
from durahub_sqlite import SqliteBackend


@contextmanager
def stopped(connection: Any) -> Iterator[Callable[[], None]]:
    """Keep a connection's thread busy until the returned function is called, or for a while at most."""
    gate = threading.Event()
    connection._tx.put_nowait((None, lambda: gate.wait(10)))
    try:
        yield gate.set
    finally:
        gate.set()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def in_background(call: Awaitable[Any]) -> AsyncIterator[asyncio.Task[Any]]:
    async with asyncio.TaskGroup() as group:

        async def run() -> Any:
            return await call

        task = group.create_task(run())
        await settle()
        yield task


CLAIMS: list[Callable[[Any, Any], Awaitable[Any]]] = [
    lambda hub, make: hub.backend.claim_instances(make.session, 10),
    lambda hub, make: hub.apply(make.delivery("a", b"more")),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=["claim", "apply"])
async def test_cancelled_claim_gives_back_before_the_next_one_runs(
    hub: Any, make: Any, claim: Callable[[Any, Any], Awaitable[Any]]
) -> None:
    await hub.backend.apply(make.session, [make.creation("a")])
    with stopped(hub.backend._store._writer) as go_on:
        async with (
            in_background(claim(hub, make)) as first,
            in_background(hub.backend.claim_instances(make.session, 10)) as second,
        ):
            first.cancel()
            await settle()
            go_on()
    assert first.cancelled()
    assert [one.record.key for one in second.result().instances] == [make.key("a")]


async def test_cancelling_again_still_gives_back(hub: Any, make: Any) -> None:
    await hub.backend.apply(make.session, [make.creation("a")])
    with stopped(hub.backend._store._writer) as go_on:
        async with in_background(hub.backend.claim_instances(make.session, 10)) as claim:
            for _ in range(3):
                claim.cancel()
                await settle()
            assert claim.cancelled()
            go_on()
    claims = await hub.backend.claim_instances(make.session, 10)
    assert len(claims.instances) == 1


async def test_claim_cancelled_at_every_moment_never_keeps_anything(hub: Any, make: Any) -> None:
    await hub.backend.apply(make.session, [make.creation("a")])
    (claimed,) = (await hub.backend.claim_instances(make.session, 1)).instances
    tasks = tuple(make.task(claimed, number) for number in range(3))
    await hub.backend.apply(make.session, [make.turn(claimed, consumed=(), activities=tasks)])
    outcomes = set()
    for step in range(40):
        async with in_background(hub.backend.claim_activities(make.session, 10)) as claim:
            await asyncio.sleep(step * 50e-6)
            claim.cancel()
        outcomes.add(claim.cancelled())
        if not claim.cancelled():
            assert len(claim.result()) == 3
            await hub.backend.release_except(make.session, {make.key("a")}, set())
        async with in_background(hub.backend.claim_activities(make.session, 10)) as claim:
            pass
        assert len(claim.result()) == 3
        await hub.backend.release_except(make.session, {make.key("a")}, set())
    assert True in outcomes


async def test_cancelled_claim_of_activities_gives_back(hub: Any, make: Any) -> None:
    (claimed,) = await hub.start(make.creation("a"))
    tasks = tuple(make.task(claimed, number) for number in range(3))
    with stopped(hub.backend._store._writer) as go_on:
        async with in_background(hub.apply(make.turn(claimed, activities=tasks))) as turn:
            turn.cancel()
            await settle()
            go_on()
    assert len(await hub.backend.claim_activities(make.session, 10)) == 3


async def test_apply_cancelled_while_it_waits_has_no_effect(hub: Any, make: Any) -> None:
    with stopped(hub.backend._store._writer) as go_on:
        async with (
            in_background(hub.apply(make.creation("first"))),
            in_background(hub.apply(make.creation("second"))) as second,
        ):
            second.cancel()
            await settle()
            go_on()
    views = await hub.backend.get([make.key("first"), make.key("second")])
    assert [view is not None for view in views] == [True, False]


async def test_close_waits_for_calls_in_progress(
    hub: Any, make: Any, services: BackendServices, new_backend: Callable[[], SqliteBackend]
) -> None:
    with stopped(hub.backend._store._writer) as go_on:
        async with (
            in_background(hub.apply(make.creation("a"))) as running,
            in_background(hub.apply(make.creation("b"))) as cancelled,
            in_background(hub.apply(make.creation("c"))) as waiting,
            in_background(hub.backend.close()) as closing,
        ):
            cancelled.cancel()
            await asyncio.sleep(0.01)
            assert not closing.done()
            with pytest.raises(BackendLockedError):
                await new_backend().open(services)
            go_on()
    assert len(running.result().results) == len(waiting.result().results) == 1
    reopened = new_backend()
    await reopened.open(services)
    views = await reopened.get([make.key("a"), make.key("b"), make.key("c")])
    assert [view is not None for view in views] == [True, False, True]


async def test_calls_behind_a_close_are_refused(hub: Any, make: Any) -> None:
    with stopped(hub.backend._store._writer) as go_on:
        async with in_background(hub.backend.close()):
            behind = asyncio.gather(
                hub.apply(make.creation("a")),
                hub.backend.get([make.key("a")]),
                return_exceptions=True,
            )
            await settle()
            go_on()
    assert [type(outcome) for outcome in await behind] == [BackendError, BackendError]


async def test_cancelled_open_leaves_nothing_locked(
    new_backend: Callable[[], SqliteBackend], services: BackendServices
) -> None:
    for step in range(10):
        backend = new_backend()
        async with in_background(backend.open(services)) as opening:
            await asyncio.sleep(step * 1e-3)
            opening.cancel()
        await backend.close()
        async with asyncio.timeout(5):
            while not await is_free(new_backend(), services):
                await settle()


async def is_free(backend: SqliteBackend, services: BackendServices) -> bool:
    try:
        await backend.open(services)
    except BackendLockedError:
        return False
    await backend.close()
    return True


async def test_readers_see_one_snapshot_and_do_not_wait_for_the_writer(hub: Any, make: Any) -> None:
    """Two instances are always changed together, so every reading shows them at one revision."""
    first, second = await hub.start(make.creation("a"), make.creation("b"))
    keys = [make.key("a"), make.key("b")]
    done = asyncio.Event()
    seen: set[int] = set()

    async def write() -> None:
        claimed = (first, second)
        for _ in range(60):
            turns = [make.turn(one) for one in claimed]
            claimed = await hub.start(*turns, make.delivery("a", b"go"), make.delivery("b", b"go"))
        done.set()

    async def read() -> None:
        while not done.is_set():
            views = await hub.backend.get(keys)
            assert len({view.record.revision for view in views}) == 1
            seen.add(views[0].record.revision)
            for history in await hub.backend.history(keys):
                assert len(history.events) == history.record.history_length

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())
        group.create_task(read())
    assert len(seen) > 5

    with stopped(hub.backend._store._writer):
        async with asyncio.timeout(5):
            assert await hub.backend.get(keys)


async def test_debug_log_holds_no_payload(
    hub: Any, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="aiosqlite"):
        await hub.apply(make.creation("name-of-a", input="secret"))
        await hub.backend.get([make.key("name-of-a")], payloads=True)
    assert "executing" in caplog.text
    assert "secret" not in caplog.text
    assert "name-of-a" not in caplog.text


async def test_wakeups_wait_without_yielding(hub: Any, make: Any) -> None:
    hints = hub.backend.wakeups(make.session)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(hints), 0.02)


async def test_idle_calls_write_nothing(hub: Any, make: Any) -> None:
    wal = hub.path.with_name(hub.path.name + "-wal")
    await hub.apply(make.creation("a"))
    size = wal.stat().st_size
    for _ in range(3):
        await hub.backend.heartbeat(make.session)
        await hub.backend.claim_instances(make.session, 10)
        await hub.backend.claim_activities(make.session, 10)
        await hub.apply()
    assert wal.stat().st_size == size

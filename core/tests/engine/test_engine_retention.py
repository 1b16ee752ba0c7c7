"""The state retention policy: what is removed, when, and what stays."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

import pytest
from durahub.clock import SystemClock
from durahub.protocol import messages as pb
from durahub.testing import ManualClock, MemoryStore

from . import making
from .hub import (
    FOR_EVER,
    SOON_S,
    WatchedBackend,
    finished,
    get,
    nothing,
    purge,
    row,
    running,
    settled,
    start,
    status,
    suspend,
    tell,
    terminate,
    until,
)
from .purging import left
from .retaining import AT_ONCE, HOUR, MICROSECOND, keep, logged, purges_of, seed
from .worker import Turn, waiting_for, working

SOON = timedelta(seconds=SOON_S)


def ending(turn: Turn) -> list[pb.WorkflowAction]:
    """Fail if told so, complete otherwise."""
    if turn.input == "fail":
        return [making.complete(status=pb.ORCHESTRATION_STATUS_FAILED)]
    return [making.complete("done")]


FLOWS = {"Flow": waiting_for(1), "Ending": ending}


async def some_sweeps(backend: WatchedBackend) -> None:
    """Wait until the store has been asked a few more times what has ended."""
    calls = backend.calls["list_ended"] + 6
    await until(lambda: backend.calls["list_ended"] > calls)
    await settled()


async def test_each_status_is_kept_for_its_own_period() -> None:
    clock, backend = ManualClock(), WatchedBackend()
    policy = keep(4 * HOUR, completed=HOUR, failed=2 * HOUR)
    async with (
        running(backend, clock=clock, retention=policy, retention_sweep=SOON) as engine,
        working(engine, FLOWS),
    ):
        await start(engine, "completed", "Ending")
        await start(engine, "failed", "Ending", "fail")
        await start(engine, "terminated")
        await terminate(engine, "terminated")
        for gone in ("completed", "failed", None, "terminated"):
            before = left(engine)
            clock.advance(HOUR - MICROSECOND)
            await some_sweeps(backend)
            assert left(engine) == before
            clock.advance(MICROSECOND)
            await until(lambda gone=gone: gone not in left(engine))
            await some_sweeps(backend)
            assert left(engine) == before - {gone}


async def test_status_without_a_period_is_kept_for_ever() -> None:
    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention=keep(failed=HOUR), retention_sweep=SOON) as engine,
        working(engine, FLOWS),
    ):
        await start(engine, "completed", "Ending")
        await start(engine, "failed", "Ending", "fail")
        clock.advance(1000 * HOUR)
        await until(lambda: left(engine) == {"completed"})
        await some_sweeps(backend)
        assert left(engine) == {"completed"}


async def test_without_a_policy_nothing_is_removed_and_nothing_asked() -> None:
    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention_sweep=SOON) as engine,
        working(engine, ending),
    ):
        await start(engine, "a")
        clock.advance(1000 * HOUR)
        await asyncio.sleep(5 * SOON_S)
        assert left(engine) == {"a"}
        assert backend.calls["list_ended"] == 0


async def test_what_has_not_ended_stays() -> None:
    def stalling(_: Turn) -> list[pb.WorkflowAction]:
        return [making.lack_version()]

    def again(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.continue_as_new()] if turn.raised() else []

    clock, backend = ManualClock(), WatchedBackend()
    flows = {**FLOWS, "Stalling": stalling, "Again": again}
    async with (
        running(backend, clock=clock, retention=keep(AT_ONCE), retention_sweep=SOON) as engine,
        working(engine, flows),
    ):
        await start(engine, "running")
        await start(engine, "suspended")
        await suspend(engine, "suspended")
        await start(engine, "again", "Again")
        await tell(engine, "again", "go")
        stalled = asyncio.ensure_future(start(engine, "stalled", "Stalling"))
        await until(lambda: "stalled" in left(engine) and row(engine, "stalled").record.status == 8)
        await start(engine, "later", at=clock.now() + 5000 * HOUR)
        clock.advance(1000 * HOUR)
        await some_sweeps(backend)
        assert left(engine) == {"running", "suspended", "again", "stalled", "later"}
        assert row(engine, "again").record.generation == 2
        assert purges_of(engine) == []
        stalled.cancel()


async def test_run_that_took_over_the_id_outlives_the_moment_of_the_first() -> None:
    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine,
        working(engine, FLOWS),
    ):
        await start(engine, "a", "Ending")
        clock.advance(HOUR / 2)
        await start(engine, "a")
        clock.advance(HOUR)
        await some_sweeps(backend)
        assert await status(engine, "a") == "RUNNING"
        await tell(engine, "a", "go", "second")
        assert (await finished(engine, "a")).output.value == "second"
        clock.advance(HOUR - MICROSECOND)
        await some_sweeps(backend)
        assert left(engine) == {"a"}
        clock.advance(MICROSECOND)
        await until(lambda: not left(engine))


@pytest.mark.parametrize("name", ["Flow", "Ending"])
async def test_run_that_takes_over_the_id_before_the_purge_stays(name: str) -> None:
    """Also if that one ends as well, because its own time has not come."""
    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine,
        working(engine, FLOWS),
    ):
        await start(engine, "a", "Ending")
        clock.advance(HOUR)
        replaced = asyncio.Event()

        async def replace(step: str) -> None:
            if step == "list_ended" and not replaced.is_set():
                replaced.set()
                await start(engine, "a", name)

        backend.after = replace
        await replaced.wait()
        await until(lambda: bool(purges_of(engine)))
        await some_sweeps(backend)
        assert row(engine, "a").record.generation == 2


async def test_parent_and_child_are_removed_each_in_its_own_time() -> None:
    def parent(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.raised():
            return [making.complete("parent")]
        return [making.child(0, "early"), making.child(1, "late")]

    def child(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete()] if turn.id == "early" or turn.raised() else []

    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine,
        working(engine, {"Parent": parent, "Child": child}),
    ):
        await start(engine, "p", "Parent")
        await finished(engine, "early")
        clock.advance(HOUR)
        await until(lambda: left(engine) == {"p", "late"})
        await tell(engine, "p", "go")
        assert (await finished(engine, "p")).output.value == "parent"
        clock.advance(HOUR)
        await until(lambda: left(engine) == {"late"})
        await some_sweeps(backend)
        assert await status(engine, "late") == "RUNNING"


async def test_what_ended_before_the_policy_or_the_start_is_removed() -> None:
    clock, store = ManualClock(), MemoryStore()
    async with running(WatchedBackend(store), clock=clock) as engine, working(engine, ending):
        await start(engine, "overdue")
        clock.advance(HOUR)
        await start(engine, "not yet")
    backend = WatchedBackend(store)
    async with running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine:
        await until(lambda: left(engine) == {"not yet"})
        await some_sweeps(backend)
        assert left(engine) == {"not yet"}


async def test_instances_of_other_applications_stay() -> None:
    clock, store = ManualClock(), MemoryStore()
    async with (
        running(WatchedBackend(store), clock=clock, app_id="other") as other,
        working(other, ending),
    ):
        await start(other, "theirs")
    await seed(store, "mine", ended_at=clock.now())
    clock.advance(HOUR)
    backend = WatchedBackend(store)
    async with running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine:
        await until(lambda: left(engine) == {"theirs"})
        await some_sweeps(backend)
        assert left(engine) == {"theirs"}


# When


async def test_own_ends_are_removed_in_time_without_looking_for_them() -> None:
    period = timedelta(seconds=0.7)
    backend = WatchedBackend()
    async with (
        running(backend, retention=keep(period), retention_sweep=FOR_EVER) as engine,
        working(engine, ending),
    ):
        await until(lambda: backend.calls["list_ended"] == len(keep(period).periods))
        backend.calls.clear()
        await start(engine, "a")
        ended_at = row(engine, "a").record.completed_at
        await until(lambda: not left(engine))
        assert_in_time(ended_at, period)
        await settled()
        assert backend.calls["list_ended"] <= 2


async def test_what_ended_before_the_start_is_removed_in_time_without_looking_for_it() -> None:
    period, now = timedelta(seconds=0.7), SystemClock().now()
    store = MemoryStore()
    await seed(store, "first", ended_at=now)
    await seed(store, "second", ended_at=now + timedelta(seconds=0.1))
    backend = WatchedBackend(store)
    async with running(
        backend, retention=keep(completed=period), retention_sweep=FOR_EVER
    ) as engine:
        await until(lambda: not left(engine))
        assert_in_time(now, period)
        assert backend.calls["list_ended"] <= 4


def assert_in_time(ended_at: datetime | None, period: timedelta) -> None:
    assert ended_at is not None
    age = SystemClock().now() - ended_at
    assert period <= age < period + timedelta(seconds=1)


async def test_policy_without_anything_due_asks_hardly_anything() -> None:
    backend = WatchedBackend()
    async with (
        running(
            backend,
            retention=keep(HOUR),
            retention_sweep=FOR_EVER,
            safety_poll=FOR_EVER,
            session_time_to_live=FOR_EVER,
        ) as engine,
        working(engine, ending),
    ):
        for number in range(50):
            await start(engine, str(number))
        await settled()
        backend.calls.clear()
        await asyncio.sleep(0.7)
        assert backend.calls.total() <= 1
        assert len(left(engine)) == 50


async def test_many_ends_are_removed_together(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "durahub.engine.retention")
    backend = WatchedBackend()
    async with (
        running(backend, retention=keep(AT_ONCE), retention_sweep=FOR_EVER) as engine,
        working(engine, ending),
    ):
        for number in range(60):
            await start(engine, str(number))
        await until(lambda: logged(caplog) == 60)
        assert left(engine) == set()
        assert sum(map(len, purges_of(engine))) == 60
        assert len(purges_of(engine)) < 20
        assert backend.calls["list_ended"] < 20
    assert len(caplog.records) < 20
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_instance_that_a_client_has_purged_is_no_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "durahub.engine.retention")
    clock, backend = ManualClock(), WatchedBackend()
    async with (
        running(backend, clock=clock, retention=keep(HOUR), retention_sweep=SOON) as engine,
        working(engine, ending),
    ):
        for name in ("a", "b"):
            await start(engine, name)
        clock.advance(HOUR)

        async def be_faster(name: str) -> None:
            if name == "list_ended":
                backend.after = nothing
                await purge(engine, "a")

        backend.after = be_faster
        await until(lambda: not left(engine))
        await some_sweeps(backend)
        assert not (await get(engine, "a")).exists
    assert [record.levelname for record in caplog.records] == ["INFO"]

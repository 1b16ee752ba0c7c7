"""Retention against everything else: waiting calls, other sidecars, load, faults, the stop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import Applied, Capabilities, Operation, PurgeInstance
from durahub.clock import SystemClock
from durahub.engine import Engine, retention
from durahub.errors import BackendError, BackendUnavailableError, InstanceNotFoundError
from durahub.testing import ManualClock, MemoryStore
from durahub.testing.memory import EXCLUSIVE
from durahub.types import RuntimeStatus

from .faults import READS, STEPS, failing, no_long_waits
from .hub import (
    FOR_EVER,
    SOON_S,
    WatchedBackend,
    finished,
    jitter,
    nothing,
    running,
    settled,
    start,
    store_of,
    tell,
    terminate,
    until,
)
from .purging import left
from .retaining import AT_ONCE, HOUR, keep, logged, purges_of, seed
from .worker import sequence, waiting_for, working

SOON = timedelta(seconds=SOON_S)
MANY = 5000


class OwnFile(WatchedBackend):
    """A store that only this sidecar uses: nobody else can wait for an end."""

    @property
    def capabilities(self) -> Capabilities:
        return EXCLUSIVE


def numbered(count: int) -> list[str]:
    return [f"{number:05d}" for number in range(count)]


def ended_long_ago() -> Any:
    return SystemClock().now() - HOUR


# Calls that wait


@pytest.mark.parametrize("seed_", range(5))
async def test_calls_that_wait_get_the_whole_answer(seed_: int) -> None:
    backend = OwnFile()
    backend.before = backend.after = jitter(random.Random(seed_))

    async def live(number: int) -> None:
        name = str(number)
        await start(engine, name)
        waiting = asyncio.ensure_future(finished(engine, name))
        await settled(number % 5)
        if number % 2:
            await terminate(engine, name, "stopped")
        else:
            await tell(engine, name, "go", "told")
        state = await waiting
        assert state.output.value == ("stopped" if number % 2 else "told")

    async with (
        running(backend, retention=keep(AT_ONCE), retention_sweep=SOON) as engine,
        working(engine, waiting_for(1)),
    ):
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(live(number))
        await until(lambda: not left(engine))


async def test_what_is_waited_for_is_removed_when_the_answer_is_out() -> None:
    backend = OwnFile()
    async with (
        running(backend, retention=keep(AT_ONCE), retention_sweep=FOR_EVER) as engine,
        working(engine, waiting_for(1)),
    ):
        await start(engine, "a")
        reading = asyncio.Event()

        async def slowly(name: str) -> None:
            if name == "get" and engine._watchers._waiting and is_ended(engine):
                reading.set()
                await asyncio.sleep(0.7)

        waiting = asyncio.ensure_future(finished(engine, "a"))
        await settled()
        backend.before = slowly
        await tell(engine, "a", "go", "x")
        await reading.wait()
        await until(lambda: backend.calls["list_ended"] > len(keep(AT_ONCE).periods))
        assert left(engine) == {"a"}
        assert (await waiting).output.value == "x"
        await until(lambda: not left(engine))


def is_ended(engine: Engine) -> bool:
    return all(row.record.status.is_terminal for row in store_of(engine).instances.values())


async def test_call_that_comes_too_late_gets_no_half_answer() -> None:
    backend = OwnFile()
    await seed(backend.store, "a", ended_at=ended_long_ago())
    purging, told = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        if name == "apply" and purges_of(engine):
            purging.set()
            await told.wait()
        elif name == "get" and backend.calls["get"] == 2:
            told.set()
            await until(lambda: not left(engine))

    backend.before = hold
    async with running(backend, retention=keep(AT_ONCE), retention_sweep=FOR_EVER) as engine:
        await purging.wait()
        with pytest.raises(InstanceNotFoundError):
            await finished(engine, "a")
        assert left(engine) == set()


async def test_calls_in_another_sidecar_get_the_whole_answer() -> None:
    store = MemoryStore()
    fields: dict[str, Any] = {"retention": keep(AT_ONCE), "retention_sweep": SOON}
    far_away = WatchedBackend(store)

    async def take_time(name: str) -> None:
        if name == "get":
            await asyncio.sleep(0.01)

    far_away.before = take_time
    async with (
        running(far_away, **fields, safety_poll=FOR_EVER) as mine,
        running(WatchedBackend(store), **fields) as other,
        working(other, waiting_for(1)),
    ):
        for number in range(10):
            await start(mine, str(number))
        waiting = [asyncio.ensure_future(finished(mine, str(number))) for number in range(10)]
        await settled()
        for number in range(10):
            await tell(other, str(number), "go", str(number))
        states = await asyncio.gather(*waiting)
        assert [state.output.value for state in states] == list(map(str, range(10)))
        await until(lambda: not left(mine))


# Several sidecars


async def test_two_sidecars_remove_each_instance_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "durahub.engine.retention")
    store = MemoryStore()
    await seed(store, *numbered(1000), ended_at=ended_long_ago())
    backends = [WatchedBackend(store) for _ in range(2)]
    for number, backend in enumerate(backends):
        backend.before = backend.after = jitter(random.Random(number))
    fields: dict[str, Any] = {"retention": keep(HOUR), "retention_sweep": SOON}
    async with running(backends[0], **fields) as one, running(backends[1], **fields) as other:
        await until(lambda: logged(caplog) == 1000)
        assert left(one) == set()
        assert purges_of(one)
        assert purges_of(other)
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_ends_in_a_sidecar_without_the_policy_are_found() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with (
        running(WatchedBackend(store), clock=clock) as other,
        running(
            WatchedBackend(store), clock=clock, retention=keep(HOUR), retention_sweep=SOON
        ) as engine,
        working(other, sequence(1)),
    ):
        await start(other, "a")
        await finished(other, "a")
        clock.advance(HOUR)
        await until(lambda: not left(engine))


# Load


async def test_many_are_removed_in_batches_while_others_work() -> None:
    """Every purge takes its time in the store, and no call behind it waits for more than one batch."""
    backend = WatchedBackend()
    await seed(backend.store, *numbered(MANY), ended_at=ended_long_ago())

    async def take_time(name: str) -> None:
        if name == "apply":
            purges = sum(isinstance(op, PurgeInstance) for op in backend.batches[-1])
            await asyncio.sleep(purges * 0.0001)

    backend.before = take_time
    async with (
        running(backend, retention=keep(HOUR), retention_sweep=FOR_EVER) as engine,
        working(engine, sequence(3)),
    ):
        remaining = []
        for number in range(5):
            name = f"new {number}"
            await start(engine, name)
            assert (await finished(engine, name)).output.value == "0,1,2"
            remaining.append(len(left(engine)) - number - 1)
        assert remaining[-1] > MANY / 10
        await until(lambda: len(left(engine)) == 5, within_s=10)
        sizes = list(map(len, purges_of(engine)))
        assert sum(sizes) == MANY
        assert max(sizes) == 200
        mixed = [batch for batch in backend.batches if is_mixed(batch)]
        assert len(mixed) < len(sizes)


def is_mixed(batch: Sequence[Operation]) -> bool:
    return len({isinstance(op, PurgeInstance) for op in batch}) == 2


async def test_one_status_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "PURGED_PER_SWEEP", 400)
    backend = WatchedBackend()
    await seed(backend.store, *numbered(1000), ended_at=ended_long_ago())
    failed = RuntimeStatus.FAILED
    await seed(backend.store, "failed", ended_at=ended_long_ago(), status=failed)
    async with running(backend, retention=keep(HOUR), retention_sweep=FOR_EVER) as engine:
        await until(lambda: "failed" not in left(engine))
        assert len(left(engine)) == 600
        await until(lambda: not left(engine))


async def test_long_histories_are_removed_few_at_a_time() -> None:
    backend = WatchedBackend()
    history = (b"",) * 3000
    await seed(backend.store, *numbered(10), ended_at=ended_long_ago(), history=history)
    async with running(backend, retention=keep(HOUR), retention_sweep=FOR_EVER) as engine:
        await until(lambda: not left(engine))
        assert list(map(len, purges_of(engine))) == [3, 3, 3, 1]


# Faults


@pytest.mark.parametrize("when", ["before", "after"])
async def test_failing_store_delays_and_loses_nothing(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_long_waits(monkeypatch)
    backend = WatchedBackend()
    await seed(backend.store, *numbered(1000), ended_at=ended_long_ago())
    setattr(backend, when, failing(random.Random(1), STEPS + READS, 0.5))
    async with running(backend, retention=keep(HOUR), retention_sweep=SOON) as engine:
        await until(lambda: not left(engine))
        setattr(backend, when, nothing)


async def test_after_an_outage_purges_go_on_at_once() -> None:
    clock, backend = ManualClock(), WatchedBackend()
    await seed(backend.store, *numbered(500), ended_at=clock.now() - HOUR)

    async def last(name: str) -> None:
        if name == "apply" and purges_of(engine):
            clock.advance(HOUR)

    backend.before = last
    async with running(
        backend, clock=clock, retention=keep(HOUR), retention_sweep=FOR_EVER
    ) as engine:
        await until(lambda: not left(engine))


async def test_store_that_is_down_is_asked_less_and_less(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, bound: bound)
    caplog.set_level(logging.INFO, "durahub.engine.retention")
    backend = WatchedBackend()
    await seed(backend.store, "a", ended_at=ended_long_ago())

    async def down(name: str) -> None:
        if name == "list_ended":
            raise BackendUnavailableError("down")

    backend.before = down
    policy = keep(completed=HOUR)
    async with running(backend, retention=policy, retention_sweep=FOR_EVER) as engine:
        await asyncio.sleep(0.5)
        assert 3 <= backend.calls["list_ended"] <= 5
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        backend.before = nothing
        await until(lambda: not left(engine))


class Stubborn(WatchedBackend):
    """A store that can't remove some instances, and refuses any batch that asks for it."""

    asked: Counter[str]

    async def apply(self, session_id: Any, operations: Any, *args: Any) -> Applied:
        for op in operations:
            if isinstance(op, PurgeInstance) and op.key.instance_id.endswith("bad"):
                self.asked[op.key.instance_id] += len(operations) == 1
                raise BackendError("this row is damaged")
        return await super().apply(session_id, operations, *args)


async def test_instance_that_the_store_cannot_remove_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "durahub.engine.retention")
    backend = Stubborn()
    backend.asked = Counter()
    bad = [f"{number} bad" for number in range(210)]
    await seed(backend.store, *bad, ended_at=ended_long_ago() - HOUR)
    await seed(backend.store, *numbered(300), ended_at=ended_long_ago())
    async with running(backend, retention=keep(HOUR), retention_sweep=SOON) as engine:
        await until(lambda: left(engine) == set(bad))
        calls = backend.calls["list_ended"]
        await asyncio.sleep(0.3)
        assert backend.calls["list_ended"] - calls < 100
    assert set(backend.asked.values()) == {1}
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert sum(record.count for record in warnings) == 210  # type: ignore[attr-defined]
    assert len(warnings) <= 3
    assert "damaged" in warnings[0].error  # type: ignore[attr-defined]


# The stop


async def test_stop_does_not_wait_for_all_that_is_due() -> None:
    tasks = len(asyncio.all_tasks())
    backend = WatchedBackend()
    await seed(backend.store, *numbered(MANY), ended_at=ended_long_ago())

    async def take_time(name: str) -> None:
        if name == "apply":
            await asyncio.sleep(0.02)

    backend.before = take_time
    async with running(backend, retention=keep(HOUR), retention_sweep=SOON) as engine:
        await until(lambda: len(purges_of(engine)) > 1)
    removed = MANY - len(backend.store.instances)
    assert 200 <= removed <= 1000
    assert removed % 200 == 0
    assert len(asyncio.all_tasks()) == tasks
    assert not any(session.alive for session in backend.store.sessions.values())


async def test_stop_while_the_store_is_down_ends_in_time() -> None:
    backend = WatchedBackend()
    await seed(backend.store, "a", ended_at=ended_long_ago())

    async def down(name: str) -> None:
        if name not in {"register", "heartbeat"}:
            raise BackendUnavailableError("down")

    backend.before = down
    async with asyncio.timeout(10), running(backend, retention=keep(HOUR), retention_sweep=SOON):
        await until(lambda: backend.calls["list_ended"] > 0)

"""Reruns that are interrupted between the creation of the new instance and its first commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from durahub.backend import CommitTurn, CreateInstance, Operation
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.errors import BackendUnavailableError, InstanceNotFoundError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.types import InstanceKey, RuntimeStatus

from . import making
from .faults import no_long_waits
from .hub import (
    WatchedBackend,
    finished,
    history,
    kill,
    options,
    purge,
    rerun,
    row,
    running,
    start,
    status,
    store_of,
    suspend,
    tell,
    terminate,
    until,
)
from .making import APP
from .worker import Turn, sequence, working

SHORT = timedelta(seconds=0.3)
NEW = InstanceKey(APP, "new")


def then_waiting(turn: Turn) -> list[pb.WorkflowAction]:
    """Do one activity and complete with what was raised."""
    heard = turn.raised("go")
    return [making.complete(",".join(heard))] if heard and turn.resolved else [making.schedule(0)]


@asynccontextmanager
async def ended_source(store: MemoryStore) -> AsyncIterator[None]:
    """Leave an instance `old` that has run three activities, and no sidecar."""
    async with running(WatchedBackend(store)) as engine, working(engine, sequence(3)):
        await start(engine, "old")
        await finished(engine, "old")
    yield


async def check(engine: Engine, store: MemoryStore) -> None:
    """The new instance has done the last two activities again, each once."""
    assert (await finished(engine, "new")).output.value == "0,1,2"
    events = await history(engine, "new")
    assert store.instances[NEW].record.history_length == len(events)
    numbered = [event.eventId for event in events if event.eventId >= 0]
    assert numbered == [0, 1, 2, 3]
    assert making.kinds(events).count("taskCompleted") == 3
    assert not store.tasks


def touches_new(operations: object, kind: type[Operation]) -> bool:
    assert isinstance(operations, list | tuple)
    return any(isinstance(op, kind) and op.key == NEW for op in operations)


async def test_crash_before_any_worker_came_leaves_it_to_the_next_sidecar() -> None:
    store = MemoryStore()
    async with ended_source(store):
        engine = Engine(WatchedBackend(store), options(), SystemClock())
        await engine.start()
        call = asyncio.ensure_future(rerun(engine, "old", 1, "new"))
        await until(lambda: NEW in store.instances)
        assert store.instances[NEW].record.status is RuntimeStatus.PENDING
        await kill(engine)
        call.cancel()
        async with running(WatchedBackend(store)) as next_engine:
            async with working(next_engine, sequence(3)) as worker:
                await check(next_engine, store)
            assert sorted(task.taskId for task in worker.tasks) == [1, 2]


async def test_crash_with_the_new_instance_in_hand_leaves_it_to_the_next_sidecar() -> None:
    """The sidecar dies before its first commit reaches the store."""
    store = MemoryStore()
    async with ended_source(store):
        backend = WatchedBackend(store)
        engine = Engine(backend, options(session_time_to_live=SHORT), SystemClock())
        await engine.start()

        async def hang_on_adoption(name: str) -> None:
            if name == "apply" and touches_new(backend.batches[-1], CommitTurn):
                await asyncio.sleep(60)

        backend.before = hang_on_adoption
        async with working(engine, sequence(3)) as worker:
            call = asyncio.ensure_future(rerun(engine, "old", 1, "new"))
            await until(lambda: any(touches_new(b, CommitTurn) for b in backend.batches))
            assert store.instances[NEW].owner is not None
            assert store.instances[NEW].history == []
            await kill(engine)
            call.cancel()
        assert worker.items == []
        async with running(WatchedBackend(store), session_time_to_live=SHORT) as next_engine:
            async with working(next_engine, sequence(3)) as worker:
                await check(next_engine, store)
            assert sorted(task.taskId for task in worker.tasks) == [1, 2]


@pytest.mark.parametrize("kind", [CreateInstance, CommitTurn])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_calls_and_answers_create_and_adopt_once(
    monkeypatch: pytest.MonkeyPatch, kind: type[Operation], when: str
) -> None:
    no_long_waits(monkeypatch)
    store = MemoryStore()
    async with ended_source(store):
        backend = WatchedBackend(store)
        failures = 0

        async def fail_once(name: str) -> None:
            nonlocal failures
            if name == "apply" and not failures and touches_new(backend.batches[-1], kind):
                failures += 1
                raise BackendUnavailableError("injected")

        async with running(backend) as engine, working(engine, sequence(3)) as worker:
            setattr(backend, when, fail_once)
            assert await rerun(engine, "old", 1, "new") == "new"
            await check(engine, store)
            assert failures == 1
            assert {task.taskId for task in worker.tasks} == {1, 2}


async def test_event_raised_before_the_adoption_waits_for_the_first_turn() -> None:
    async with running() as engine:
        async with working(engine, then_waiting):
            await start(engine, "old")
            await until(lambda: "taskCompleted" in making.kinds(decoded(engine, "old")))
            await terminate(engine, "old")
        async with asyncio.TaskGroup() as group:
            group.create_task(rerun(engine, "old", 0, "new"))
            await until(lambda: NEW in store_of(engine).instances)
            await tell(engine, "new", "go", "early")
            assert len(row(engine, "new").inbox) == 2
            async with working(engine, then_waiting) as worker:
                assert (await finished(engine, "new")).output.value == "early"
        events = await history(engine, "new")
    forked = ["workflowStarted", "executionStarted", "taskScheduled"]
    assert making.kinds(events)[:5] == [*forked, "workflowStarted", "eventRaised"]
    assert making.kinds(worker.requests[0].pastEvents) == forked


def decoded(engine: Engine, instance_id: str) -> list[pb.HistoryEvent]:
    return [pb.HistoryEvent.FromString(raw) for raw in row(engine, instance_id).history]


@pytest.mark.parametrize("call", [terminate, suspend])
async def test_request_before_the_adoption_is_obeyed_after_it(call: object) -> None:
    assert callable(call)
    async with running() as engine:
        async with working(engine, sequence(1)):
            await start(engine, "old")
            await finished(engine, "old")
        async with asyncio.TaskGroup() as group:
            group.create_task(rerun(engine, "old", 0, "new"))
            await until(lambda: NEW in store_of(engine).instances)
            group.create_task(call(engine, "new"))
            await until(
                lambda: len(row(engine, "new").inbox) == 2 or bool(row(engine, "new").history)
            )
            worker = working(engine, sequence(1))
            await worker.__aenter__()
        assert await status(engine, "new") == {terminate: "TERMINATED", suspend: "SUSPENDED"}[call]
        assert making.kinds(await history(engine, "new"))[2] == "taskScheduled"
        await worker.__aexit__(None, None, None)


async def test_purge_before_the_adoption_ends_the_call() -> None:
    async with running() as engine:
        async with working(engine, sequence(1)):
            await start(engine, "old")
            await finished(engine, "old")
        call = asyncio.ensure_future(rerun(engine, "old", 0, "new"))
        await until(lambda: NEW in store_of(engine).instances)
        assert await purge(engine, "new", force=True) == 1
        with pytest.raises(InstanceNotFoundError):
            await call

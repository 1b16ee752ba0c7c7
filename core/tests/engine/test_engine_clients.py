"""Raise, terminate, suspend, resume, purge: on instances in every state, and against each other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from durahub.engine import Engine
from durahub.errors import (
    InstanceNotCompletedError,
    InstanceNotFoundError,
    InstanceStalledError,
    RequestError,
)
from durahub.protocol import messages as pb
from durahub.testing import ManualClock, MemoryStore
from durahub.types import RuntimeStatus

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    history,
    nothing,
    purge,
    resume,
    row,
    running,
    settled,
    start,
    status,
    store_of,
    suspend,
    tell,
    terminate,
    until,
)
from .worker import Turn, nothing_to_do, waiting_for, working

Call = Callable[[Engine, str], Awaitable[object]]


async def tell_go(engine: Engine, instance_id: str) -> None:
    await tell(engine, instance_id, "go", "x")


CHANGES: list[Call] = [tell_go, terminate, suspend, resume, purge]


@pytest.mark.parametrize("call", CHANGES)
async def test_change_of_a_missing_instance_is_refused(call: Call) -> None:
    async with running() as engine:
        with pytest.raises(InstanceNotFoundError, match="no such instance exists"):
            await call(engine, "a")
        assert store_of(engine).instances == {}


@pytest.mark.parametrize("call", CHANGES)
async def test_change_of_a_purged_instance_is_refused(call: Call) -> None:
    async with running() as engine, working(engine, nothing_to_do):
        await start(engine, "a")
        assert await purge(engine, "a") == 1
        with pytest.raises(InstanceNotFoundError):
            await call(engine, "a")


@pytest.mark.parametrize("call", [tell_go, terminate, suspend, resume])
async def test_change_of_an_ended_instance_is_accepted_and_changes_nothing(call: Call) -> None:
    async with running() as engine, working(engine, nothing_to_do):
        await start(engine, "a")
        before = (await get(engine, "a"), await history(engine, "a"))
        async with asyncio.timeout(10):
            await call(engine, "a")
        assert (await get(engine, "a"), await history(engine, "a")) == before
        assert row(engine, "a").inbox == {}


@pytest.mark.parametrize("call", CHANGES)
async def test_change_of_a_parked_instance_is_refused(call: Call) -> None:
    async with running() as engine, working(engine, lambda _: [making.lack_version()]):
        await start(engine, "a")
        with pytest.raises(InstanceStalledError, match="stalled"):
            await call(engine, "a")
        assert await status(engine, "a") == "STALLED"
        assert await purge(engine, "a", force=True) == 1


async def test_raise_delivers_each_event_once_and_in_order() -> None:
    async with running() as engine, working(engine, waiting_for(300)):
        await start(engine, "a")
        for number in range(300):
            await tell(engine, "a", "go", str(number))
        state = await finished(engine, "a")
        assert state.output.value == ",".join(map(str, range(300)))


async def test_raise_of_equal_events_at_one_moment_delivers_them_all() -> None:
    """The clock stands still; every event is one of its own all the same."""
    async with running(clock=ManualClock()) as engine, working(engine, waiting_for(50)):
        await start(engine, "a")
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(tell(engine, "a", "go", "1"))
        assert (await finished(engine, "a")).output.value == ",".join("1" * 50)


async def test_raise_through_two_sidecars_at_one_moment_delivers_both() -> None:
    store, clock = MemoryStore(), ManualClock()
    async with (
        running(WatchedBackend(store), clock=clock) as one,
        running(WatchedBackend(store), clock=clock) as two,
        working(one, waiting_for(20)),
    ):
        await start(one, "a")
        for _ in range(10):
            await tell(one, "a", "go", "1")
            await tell(two, "a", "go", "2")
        state = await finished(one, "a")
        assert sorted(state.output.value.split(",")) == ["1"] * 10 + ["2"] * 10


async def test_raise_before_and_after_the_first_turn_keeps_names_and_texts_verbatim() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete()] if turn.count("eventRaised") == 3 else []

    async with running() as engine, asyncio.TaskGroup() as group:
        group.create_task(start(engine, "a"))
        await until(lambda: bool(store_of(engine).instances))
        await tell(engine, "a", "Straße", None)
        await tell(engine, "a", "PAID", "")
        async with working(engine, flow):
            await tell(engine, "a", "", "null")
            await finished(engine, "a")
        raised = [e.eventRaised for e in await history(engine, "a") if e.HasField("eventRaised")]
    assert [event.name for event in raised] == ["Straße", "PAID", ""]
    assert [event.HasField("input") for event in raised] == [False, True, True]


async def test_terminate_returns_when_the_instance_has_ended() -> None:
    async with running() as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        await terminate(engine, "a", "")
        state = (await get(engine, "a")).workflowState
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
        assert (state.HasField("output"), state.output.value) == (True, "")
        assert await purge(engine, "a") == 1


async def test_terminate_that_the_worker_ignores_is_enforced() -> None:
    def stubborn(_: Turn) -> pb.WorkflowResponse:
        return making.response(making.continue_as_new("again"))

    async with running() as engine, working(engine, stubborn, silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            ending = group.create_task(terminate(engine, "a", "bye"))
            await settled()
            first = making.response()
            first.instanceId = "a"
            await engine.complete_workflow(first)
            await until(lambda: len(worker.items) == 2)
            again = making.response(making.continue_as_new("again"))
            again.instanceId = "a"
            await engine.complete_workflow(again)
            await ending
        assert (await get(engine, "a")).workflowState.output.value == "bye"


async def test_suspend_and_resume_return_when_it_shows() -> None:
    async with running() as engine, working(engine, waiting_for(2)) as worker:
        await start(engine, "a")
        for _ in range(2):
            await suspend(engine, "a")
            assert await status(engine, "a") == "SUSPENDED"
        await tell(engine, "a", "go", "1")
        await tell(engine, "a", "go", "2")
        await settled()
        assert await status(engine, "a") == "SUSPENDED"
        for _ in range(2):
            await resume(engine, "a")
        assert (await finished(engine, "a")).output.value == "1,2"
        kinds = making.kinds(worker.requests[-1].pastEvents)
        kinds += making.kinds(worker.requests[-1].newEvents)
        assert kinds.count("executionSuspended") == kinds.count("executionResumed") == 1


async def test_resume_of_a_running_instance_leaves_no_event() -> None:
    async with running() as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        await resume(engine, "a")
        await settled()
        assert len(await history(engine, "a")) == 2


async def test_purge_of_a_running_instance_needs_force() -> None:
    async with running() as engine, working(engine, waiting_for(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        with pytest.raises(InstanceNotCompletedError, match="has not yet completed"):
            await purge(engine, "a")
        await tell(engine, "a", "go")
        await until(lambda: len(worker.items) == 2)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(gone(engine, "a"))
            await settled()
            assert await purge(engine, "a", force=True) == 1
            await waiting
        await worker.answer(worker.items[1])
        await settled()
        assert store_of(engine).instances == {}


async def gone(engine: Engine, instance_id: str) -> None:
    with pytest.raises(InstanceNotFoundError):
        await finished(engine, instance_id)


async def complete_it(engine: Engine, instance_id: str) -> None:
    await tell(engine, instance_id, "go")


@pytest.mark.parametrize(
    ("one", "two"),
    list(itertools.combinations([complete_it, terminate, suspend, resume, purge], 2)),
)
async def test_changes_at_once_end_in_a_legal_state(one: Call, two: Call) -> None:
    async with running() as engine, working(engine, waiting_for(1)), asyncio.timeout(5):
        for number in range(10):
            name = str(number)
            await start(engine, name)
            calls = (one, two) if number % 2 else (two, one)
            tasks = [asyncio.ensure_future(call(engine, name)) for call in calls]
            _, waiting = await asyncio.wait(tasks, timeout=0.5)
            assert not waiting, (await status(engine, name), calls)
            for task in tasks:
                error = task.exception()
                assert error is None or isinstance(error, RequestError)
            if not (await get(engine, name)).exists:
                continue
            expected = {"COMPLETED"} if complete_it in calls and suspend not in calls else set()
            assert await status(engine, name) in expected | {
                "RUNNING",
                "SUSPENDED",
                "TERMINATED",
                "COMPLETED",
            }
            check_history(await history(engine, name))


def check_history(events: list[pb.HistoryEvent]) -> None:
    found = making.kinds(events)
    assert found[:2] == ["workflowStarted", "executionStarted"]
    assert found.count("executionStarted") == 1
    assert found.count("executionCompleted") <= 1
    if "executionCompleted" in found:
        assert found[-1] == "executionCompleted"


async def test_suspend_and_resume_racing_hang_nobody() -> None:
    """Each waits for its own status, which may be gone again when it looks."""
    async with running() as engine, working(engine, waiting_for(1)), asyncio.timeout(10):
        await start(engine, "a")
        calls = [call(engine, "a") for _ in range(10) for call in (suspend, resume)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        _, waiting = await asyncio.wait(tasks, timeout=1)
        for task in waiting:
            task.cancel()
        assert not waiting


async def test_suspend_and_resume_through_two_sidecars_hang_nobody() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as one,
        running(WatchedBackend(store)) as two,
        working(two, waiting_for(1)),
    ):
        await start(one, "a")
        calls = [
            call(engine, "a") for _ in range(5) for call, engine in ((suspend, one), (resume, two))
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        _, waiting = await asyncio.wait(tasks, timeout=1)
        for task in waiting:
            task.cancel()
        assert not waiting


async def test_suspend_that_was_over_before_anybody_looked_returns() -> None:
    """The other sidecar has dealt with it, and with a resume, before this one's delivery returns."""
    store = MemoryStore()
    slow = WatchedBackend(store)
    async with (
        running(slow) as one,
        running(WatchedBackend(store)) as two,
        working(two, waiting_for(1)),
    ):
        await start(two, "a")

        async def until_it_is_over(name: str) -> None:
            if name == "apply":
                slow.after = nothing
                await resume(two, "a")
                await until(lambda: not row(two, "a").inbox and row(two, "a").owner is None)

        slow.after = until_it_is_over
        async with asyncio.timeout(10):
            await suspend(one, "a")
        assert await status(one, "a") == "RUNNING"


async def test_suspend_before_the_start_returns_and_holds_from_the_start_on() -> None:
    clock = ManualClock()
    async with running(clock=clock) as engine, working(engine, waiting_for(1)):
        await start(engine, "a", at=clock.now() + timedelta(hours=1))
        async with asyncio.timeout(10):
            await suspend(engine, "a")
        assert await status(engine, "a") == "PENDING"
        clock.advance(timedelta(hours=2))
        engine._lane.look()
        await until(lambda: row(engine, "a").record.status is RuntimeStatus.SUSPENDED)

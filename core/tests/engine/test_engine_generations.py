"""Continue-as-new in a living engine: no event lost, none doubled, none out of order."""

from __future__ import annotations

import asyncio
import random

import pytest
from durahub.engine import Engine
from durahub.errors import BackendUnavailableError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    history,
    jitter,
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
from .worker import Turn, adding_up, sequence, working


@pytest.mark.parametrize("at_once", [1, 7])
async def test_events_racing_continue_as_new_arrive_once_and_in_order(at_once: int) -> None:
    backend = WatchedBackend()
    backend.before = backend.after = jitter(random.Random(5))
    async with running(backend) as engine, working(engine, adding_up(150, at_once)):
        await start(engine, "a")
        async with asyncio.TaskGroup() as group:
            for sender in range(3):
                group.create_task(sending(engine, sender))
        state = await finished(engine, "a")
    seen = state.output.value.split(",")
    assert len(seen) == len(set(seen)) == 150
    for sender in range(3):
        mine = [one for one in seen if one.startswith(f"{sender}-")]
        assert mine == [f"{sender}-{number}" for number in range(50)]


async def sending(engine: Engine, sender: int) -> None:
    for number in range(50):
        await tell(engine, "a", "go", f"{sender}-{number}")


async def test_more_events_than_a_claim_takes_survive_continue_as_new() -> None:
    """Thousands wait while a turn is in flight that ends its generation."""
    count = 2500
    async with (
        running() as engine,
        working(engine, adding_up(count, 10_000), silent=True) as worker,
    ):
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        await tell(engine, "a", "go", "0")
        await until(lambda: len(worker.items) == 2)
        async with asyncio.TaskGroup() as group:
            for number in range(1, count):
                group.create_task(tell(engine, "a", "go", str(number)))
        worker.silent = False
        await worker.answer(worker.items[1])
        state = await finished(engine, "a")
        assert state.output.value == ",".join(map(str, range(count)))


async def test_equal_events_carried_without_their_times_are_all_kept() -> None:
    """The Python SDK makes the events that it carries over anew: only name and data are left."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        data = turn.raised("go")
        if turn.input == "next":
            return [making.complete(",".join(data))] if len(data) == 5 else []
        bare = [
            pb.HistoryEvent(
                eventId=-1, eventRaised=pb.EventRaisedEvent(name="go", input=making.text(one))
            )
            for one in data
        ]
        return [making.continue_as_new("next", bare)] if len(data) == 4 else []

    async with running() as engine, working(engine, flow):
        await start(engine, "a")
        for data in ("1", "1", "2", "1", "1"):
            await tell(engine, "a", "go", data)
        async with asyncio.timeout(10):
            assert (await finished(engine, "a")).output.value == "1,1,2,1,1"


async def test_event_delivered_twice_around_continue_as_new_counts_once() -> None:
    """The client's sidecar never learned that its delivery arrived, and repeated it."""
    store = MemoryStore()
    theirs = WatchedBackend(store)
    async with (
        running(theirs) as client,
        running(WatchedBackend(store)) as engine,
        working(engine, adding_up(2, 1)),
    ):
        await start(engine, "a")
        generation = row(engine, "a").record.generation
        lost = iter([BackendUnavailableError("answer lost")])

        async def lose_the_answer(name: str) -> None:
            error = next(lost, None) if name == "apply" else None
            if error is not None:
                await until(lambda: row(engine, "a").record.generation > generation)
                raise error

        theirs.after = lose_the_answer
        await tell(client, "a", "go", "1")
        await until(lambda: not row(engine, "a").inbox)
        await tell(client, "a", "go", "2")
        assert (await finished(engine, "a")).output.value == "1,2"


async def test_continue_as_new_while_suspended_stays_suspended_until_resumed() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input == "next":
            return [making.complete("over")]
        return [making.continue_as_new("next")] if turn.raised() else []

    async with running() as engine, working(engine, flow, silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        async with asyncio.TaskGroup() as group:
            await tell(engine, "a", "go")
            await until(lambda: len(worker.items) == 2)
            group.create_task(suspend(engine, "a"))
            await settled()
            await worker.answer(worker.items[1])
            await until(lambda: len(worker.items) == 3)
            await worker.answer(worker.items[2])
        assert await status(engine, "a") == "SUSPENDED"
        worker.silent = False
        await resume(engine, "a")
        assert (await finished(engine, "a")).output.value == "over"


async def test_continue_as_new_removes_the_timers_of_the_generation() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input == "next":
            return [making.sleep(5, making.FOREVER)]
        if turn.raised():
            return [making.continue_as_new("next")]
        return [making.sleep(1, making.FOREVER), making.sleep(2, making.FOREVER, "go")]

    async with running() as engine, working(engine, flow):
        await start(engine, "a")
        assert set(row(engine, "a").timers) == {1, 2}
        await tell(engine, "a", "other")
        await until(lambda: set(row(engine, "a").timers) == {5})
        assert row(engine, "a").record.generation == 2
        assert await status(engine, "a") == "RUNNING"


async def test_event_removes_the_timer_of_its_oldest_wait_only() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        waits = [making.sleep(number, making.FOREVER, "Go") for number in (1, 2, 3)]
        return [making.complete()] if len(turn.raised()) == 2 else waits

    async with running() as engine, working(engine, flow):
        await start(engine, "a")
        created = (await history(engine, "a"))[2].timerCreated
        assert created.fireAt == making.FOREVER
        await tell(engine, "a", "gO")
        await until(lambda: set(row(engine, "a").timers) == {2, 3})
        await tell(engine, "a", "GO")
        await finished(engine, "a")
        assert row(engine, "a").timers == {}


async def test_late_activity_of_an_earlier_generation_leaves_the_next_alone() -> None:
    gates = {"old": asyncio.Event(), "new": asyncio.Event()}

    async def gated(request: pb.ActivityRequest) -> str:
        await gates[request.input.value].wait()
        return request.input.value

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.resolved:
            return [making.complete(turn.resolved[0].taskCompleted.result.value)]
        if turn.input == "next":
            return [making.schedule(0, value="new")]
        go = [making.continue_as_new("next")]
        return go if turn.raised() else [making.schedule(0, value="old")]

    async with running() as engine, working(engine, flow, gated) as worker:
        await start(engine, "a")
        await tell(engine, "a", "go")
        await until(lambda: len(worker.tasks) == 2)
        gates["old"].set()
        await until(lambda: len(store_of(engine).tasks) == 1)
        await settled()
        assert await status(engine, "a") == "RUNNING"
        gates["new"].set()
        assert (await finished(engine, "a")).output.value == "new"


async def test_terminate_of_an_endless_loop_ends_it() -> None:
    def looping(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.continue_as_new(turn.input)]

    async with running() as engine, working(engine, looping):
        await start(engine, "a", value="x")
        await terminate(engine, "a", "enough")
        state = (await get(engine, "a")).workflowState
        assert (state.output.value, state.input.value) == ("enough", "x")


async def test_run_again_after_many_generations_counts_on() -> None:
    async with running() as engine, working(engine, {"Flow": sequence(1)}):
        for generation in range(1, 4):
            await start(engine, "a")
            await finished(engine, "a")
            assert row(engine, "a").record.generation == generation

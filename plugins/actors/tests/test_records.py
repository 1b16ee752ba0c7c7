"""What workflows leave in a state store, in rows; Dapr's own counts are beside ours, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub_actors.backend import ActorsBackend
from durahub_actors.backend.cluster import TOKEN_ACTOR
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import ActorId, MemoryState, MemoryStateStore, Save, SaveResult
from durahub_actors.stores.memory_state import MemoryActor

from core.tests.engine import making
from core.tests.engine.hub import finished, options, purge, start
from core.tests.engine.worker import Turn, Workflow, fan_out, nothing_to_do, sequence, working

SOON = datetime(2024, 1, 1, tzinfo=UTC)


class CountingStore(MemoryStateStore):
    """Counts what would be transactions, each of which takes a while."""

    commits = 0

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        self.commits += 1
        await asyncio.sleep(0.005)
        return await super().write(saves)


def none(_: Turn) -> list[pb.WorkflowAction]:
    return [making.complete("done")]


def timer(turn: Turn) -> list[pb.WorkflowAction]:
    return [making.complete("done")] if turn.resolved else [making.sleep(0, SOON)]


def child(turn: Turn) -> list[pb.WorkflowAction]:
    return [making.complete("done")] if turn.resolved else [making.child(0, "child", "none")]


FLOWS: dict[str, Workflow] = {
    "none": none,
    "one": sequence(1),
    "two": sequence(2),
    "timer": timer,
    "child": child,
    "three": fan_out(3),
    "nothing": nothing_to_do,
}


@asynccontextmanager
async def engine_on(state: MemoryState) -> AsyncIterator[tuple[Engine, CountingStore]]:
    store = CountingStore(state)
    engine = Engine(ActorsBackend(ActorsSettings(), store), options(), SystemClock())
    async with asyncio.timeout(30):
        await engine.start()
        try:
            async with working(engine, FLOWS):
                yield engine, store
        finally:
            await engine.stop(0.5)


def workflows_in(state: MemoryState) -> dict[ActorId, MemoryActor]:
    """What there is apart from the one actor of the hub itself: its token."""
    return {actor: found for actor, found in state.actors.items() if actor != TOKEN_ACTOR}


@pytest.mark.parametrize(
    ("name", "history", "dapr"),
    [("none", 3, 5), ("one", 6, 8), ("two", 9, 11), ("timer", 6, 8), ("child", 9, 13)],
)
async def test_rows_after_completion(name: str, history: int, dapr: int) -> None:
    """Dapr has a row `customStatus` for each instance, set or not; we have `output` if there is one."""
    state = MemoryState()
    async with engine_on(state) as (engine, _):
        await start(engine, "one", name)
        await finished(engine, "one")
    instances = 2 if name == "child" else 1
    actors = workflows_in(state)
    keys = [key for actor in actors.values() for key in actor.values]
    assert len(actors) == instances
    assert sum(key.startswith("history-") for key in keys) == history
    assert keys.count("metadata") == keys.count("output") == instances
    assert len(keys) == history + 2 * instances == dapr


async def test_purge_leaves_nothing() -> None:
    state = MemoryState()
    async with engine_on(state) as (engine, _):
        for name in FLOWS:
            await start(engine, name, name)
            if name != "nothing":
                await finished(engine, name)
        for name in FLOWS:
            await purge(engine, name, force=True, recursive=True)
        assert workflows_in(state) == {}
        assert not state.reminders._homes


async def test_many_workflows_share_commits() -> None:
    async with engine_on(MemoryState()) as (engine, store):
        names = [f"w{number}" for number in range(200)]
        gate = asyncio.Semaphore(50)

        async def one(name: str) -> None:
            async with gate:
                await start(engine, name, "three")
                await finished(engine, name)

        before = store.commits
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))
        assert (store.commits - before) / len(names) < 1

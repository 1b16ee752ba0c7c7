"""Purging by filter: everything that matches, once, and nothing else."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import PurgeInstance
from durahub.engine import Engine
from durahub.engine.client.purges import PURGED_AT_ONCE
from durahub.protocol import messages as pb
from durahub.testing import ManualClock, MemoryStore
from durahub.types import AppId

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    jitter,
    running,
    start,
    suspend,
    terminate,
)
from .purging import COMPLETED, FAILED, RUNNING, SUSPENDED, TERMINATED, left, purge_matching
from .worker import Turn, nothing_to_do, waiting_for, working

FLOWS = {
    "Flow": nothing_to_do,
    "Failing": lambda _: [making.complete(status=FAILED)],
    "Waiting": waiting_for(1),
    "Parked": lambda _: [making.lack_version()],
}


async def one_of_each(engine: Engine) -> None:
    """Start an instance for each status that lasts, named by it."""
    await start(engine, "completed")
    await start(engine, "failed", "Failing")
    await start(engine, "terminated", "Waiting")
    await terminate(engine, "terminated")
    await start(engine, "running", "Waiting")
    await start(engine, "suspended", "Waiting")
    await suspend(engine, "suspended")
    await start(engine, "stalled", "Parked")
    await start(engine, "pending", at=making.NOW + timedelta(days=365_000))


ENDED = {"completed", "failed", "terminated"}
ALL = ENDED | {"running", "suspended", "stalled", "pending"}


@pytest.mark.parametrize(
    ("statuses", "force", "removed"),
    [
        ([], False, ENDED),
        ([COMPLETED], False, {"completed"}),
        ([FAILED, TERMINATED], False, {"failed", "terminated"}),
        ([COMPLETED, RUNNING, SUSPENDED], False, {"completed"}),
        ([RUNNING], False, set()),
        ([99], False, set()),
        ([], True, ALL),
        ([RUNNING, SUSPENDED], True, {"running", "suspended"}),
        ([pb.ORCHESTRATION_STATUS_PENDING], True, {"pending"}),
        ([pb.ORCHESTRATION_STATUS_STALLED], True, {"stalled"}),
        ([99], True, set()),
    ],
)
async def test_purge_by_status_removes_what_has_it_and_may_be_removed(
    statuses: list[Any], removed: set[str], *, force: bool
) -> None:
    async with running() as engine, working(engine, FLOWS):
        await one_of_each(engine)
        assert await purge_matching(engine, *statuses, force=force) == len(removed)
        assert left(engine) == ALL - removed
        assert await purge_matching(engine, *statuses, force=force) == 0


async def test_purge_by_time_takes_from_the_first_moment_until_before_the_last() -> None:
    clock = ManualClock()
    begin = clock.now()
    async with running(clock=clock) as engine, working(engine, FLOWS):
        for number in range(5):
            await start(engine, str(number))
            clock.advance(timedelta(seconds=1))
        at = [begin + timedelta(seconds=number) for number in range(6)]
        assert await purge_matching(engine, since=at[5]) == 0
        assert await purge_matching(engine, until_at=at[0]) == 0
        assert await purge_matching(engine, since=at[1], until_at=at[3]) == 2
        assert left(engine) == {"0", "3", "4"}
        assert await purge_matching(engine, COMPLETED, since=at[4]) == 1
        assert await purge_matching(engine, until_at=at[3]) == 1
        assert left(engine) == {"3"}
        assert await purge_matching(engine) == 1


async def test_purge_of_many_pages_removes_all_with_few_calls_and_bounded_batches() -> None:
    many = 2 * PURGED_AT_ONCE + 7
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, FLOWS):
        async with asyncio.TaskGroup() as group:
            for number in range(many):
                group.create_task(start(engine, str(number), "Flow" if number % 3 else "Waiting"))
        kept = {str(number) for number in range(0, many, 3)}
        backend.batches.clear()
        backend.calls.clear()
        assert await purge_matching(engine) == many - len(kept)
        assert left(engine) == kept
        sizes = [sum(isinstance(op, PurgeInstance) for op in batch) for batch in backend.batches]
        assert sum(sizes) == many - len(kept)
        assert max(sizes) <= PURGED_AT_ONCE
        assert backend.calls["apply"] <= 10
        assert await purge_matching(engine, force=True) == len(kept)
        assert left(engine) == set()


def family(turn: Turn) -> list[pb.WorkflowAction]:
    """Start two children a generation down to names of three letters."""
    if len(turn.id) == 3 or len(turn.resolved) == 2:
        return [making.complete()]
    return [making.child(n, f"{turn.id}{n}", "Family") for n in range(2)]


@pytest.mark.parametrize("recursive", [False, True])
async def test_purge_of_parents_and_children_counts_each_once(*, recursive: bool) -> None:
    backend = WatchedBackend()
    backend.before = backend.after = jitter(random.Random(3))
    async with running(backend) as engine, working(engine, {"Family": family}):
        for root in "abc":
            await start(engine, root, "Family")
            await finished(engine, root)
        assert await purge_matching(engine, recursive=recursive) == 21
        assert left(engine) == set()


@pytest.mark.parametrize(("recursive", "kept"), [(False, {"x"}), (True, {"a", "x"})])
async def test_purge_of_a_parent_above_a_living_child_is_as_for_one(
    kept: set[str], *, recursive: bool
) -> None:
    """Without `recursive` the child is left alone; with it the parent is skipped, not the others."""

    def parent(_: Turn) -> list[pb.WorkflowAction]:
        return [making.child(0, "x", "Waiting"), making.complete()]

    async with running() as engine, working(engine, {**FLOWS, "Parent": parent}):
        await start(engine, "a", "Parent")
        await finished(engine, "a")
        await start(engine, "b")
        assert await purge_matching(engine, recursive=recursive) == 3 - len(kept)
        assert left(engine) == kept
        expected = len(kept)
        assert (
            await purge_matching(engine, RUNNING, COMPLETED, recursive=True, force=True) == expected
        )


async def test_purge_leaves_other_applications_alone_unless_routed_there() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as ours,
        running(WatchedBackend(store), app_id=AppId("stock")) as theirs,
        working(ours, FLOWS),
        working(theirs, FLOWS),
    ):
        await start(ours, "a")
        await start(theirs, "a")
        assert await purge_matching(ours) == 1
        assert (await get(theirs, "a")).exists
        router = pb.TaskRouter(targetAppID="stock")
        assert await purge_matching(ours, router=router) == 1
        assert store.instances == {}

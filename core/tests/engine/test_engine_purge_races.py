"""Purges while others change what they have found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from durahub.backend import CommitTurn
from durahub.errors import BackendUnavailableError
from durahub.protocol import messages as pb

from . import making
from .hub import (
    WatchedBackend,
    finished,
    jitter,
    purge,
    row,
    running,
    settled,
    start,
    status,
    tell,
    until,
)
from .purging import RUNNING, left, purge_matching
from .worker import Turn, nothing_to_do, working


async def test_purge_never_removes_the_run_that_followed_the_selected_one() -> None:
    """Between the selection and the removal the id is created anew, and that run ends too."""
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, nothing_to_do):
        await start(engine, "a")
        await start(engine, "b")

        async def recreate(name: str) -> None:
            if name == "list_instances":
                backend.after = jitter(random.Random(1))
                await start(engine, "a")
                await finished(engine, "a")

        backend.after = recreate
        assert await purge_matching(engine) == 1
        assert left(engine) == {"a"}
        assert await purge_matching(engine) == 1


async def test_forced_purge_leaves_a_generation_that_began_after_the_selection() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.continue_as_new("again")] if turn.raised() else []

    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, flow):
        await start(engine, "a")

        async def next_generation(name: str) -> None:
            if name == "list_instances":
                backend.after = jitter(random.Random(1))
                commits = len(commits_of(backend))
                await tell(engine, "a", "go")
                await until(lambda: len(commits_of(backend)) > commits)
                await settled()

        backend.after = next_generation
        assert await purge_matching(engine, RUNNING, force=True) == 0
        assert await status(engine, "a") == "RUNNING"
        assert await purge_matching(engine, RUNNING, force=True) == 1


def commits_of(backend: WatchedBackend) -> list[CommitTurn]:
    return [op for batch in backend.batches for op in batch if isinstance(op, CommitTurn)]


def with_child(turn: Turn) -> list[pb.WorkflowAction]:
    return [making.complete()] if turn.resolved else [making.child(0, "kid")]


def at_the_child(backend: WatchedBackend, change: Callable[[], Awaitable[None]]) -> None:
    """Let something change when a purge has found the child, and before it looks at it itself."""
    calls = 0

    async def after(name: str) -> None:
        nonlocal calls
        calls += name == "get"
        if name == "get" and calls == 2:
            await change()

    backend.after = after


async def test_purge_leaves_a_stranger_that_took_over_the_id_of_a_child() -> None:
    backend = WatchedBackend()
    flows = {"Flow": nothing_to_do, "Parent": with_child, "Child": nothing_to_do}
    async with running(backend) as engine, working(engine, flows):
        await start(engine, "a", "Parent")
        await finished(engine, "a")

        async def take_over() -> None:
            await start(engine, "kid")
            await finished(engine, "kid")

        at_the_child(backend, take_over)
        assert await purge(engine, "a", recursive=True) == 1
        assert left(engine) == {"kid"}


async def test_forced_purge_removes_a_child_that_went_on_to_its_next_generation() -> None:
    def endless(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.continue_as_new()] if turn.raised() else []

    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, {"Flow": with_child, "Child": endless}):
        await start(engine, "a")
        await until(lambda: left(engine) == {"a", "kid"} and bool(row(engine, "kid").history))

        async def go_on() -> None:
            execution_id = row(engine, "kid").record.execution_id
            await tell(engine, "kid", "go")
            await until(lambda: row(engine, "kid").record.execution_id != execution_id)

        at_the_child(backend, go_on)
        assert await purge(engine, "a", recursive=True, force=True) == 2
        assert left(engine) == set()


async def test_purges_at_once_remove_each_instance_once() -> None:
    backend = WatchedBackend()
    backend.before = backend.after = jitter(random.Random(5))
    async with running(backend) as engine, working(engine, nothing_to_do):
        for number in range(30):
            await start(engine, str(number))
        calls = [purge_matching(engine, recursive=bool(number % 2)) for number in range(4)]
        assert sum(await asyncio.gather(*calls)) == 30
        assert left(engine) == set()


async def test_purge_that_the_store_fails_reports_it_and_can_be_repeated() -> None:
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, nothing_to_do):
        for number in range(10):
            await start(engine, str(number))

        async def fail(name: str) -> None:
            if name == "get":
                raise BackendUnavailableError("injected")

        backend.before = fail
        with pytest.raises(BackendUnavailableError):
            await purge_matching(engine, recursive=True)
        backend.before = jitter(random.Random(1))
        assert await purge_matching(engine, recursive=True) == 10

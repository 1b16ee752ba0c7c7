"""Parked instances with several sidecars: tried by each, once, and never passed to and fro."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from durahub.backend import Deliver
from durahub.engine import Engine
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from . import making
from .hub import (
    FOR_EVER,
    SOON_S,
    WatchedBackend,
    finished,
    history,
    row,
    running,
    start,
    tell,
    until,
)
from .worker import Turn, Workflow, waiting_for, working


def patched(*patches: str) -> Workflow:
    """Return a workflow that waits for an event; its worker reports patches."""

    def flow(turn: Turn) -> pb.WorkflowResponse:
        answer = making.response(*waiting_for(1)(turn))
        answer.version.patches.extend(patches)
        return answer

    return flow


def without_version(_: Turn) -> list[pb.WorkflowAction]:
    return [making.lack_version()]


@asynccontextmanager
async def waiting_instance() -> AsyncIterator[tuple[Engine, Engine]]:
    """Run two engines on one store with an instance `a` that has recorded the patch `a`."""
    store = MemoryStore()
    async with running(WatchedBackend(store)) as one, running(WatchedBackend(store)) as two:
        async with working(one, patched("a")):
            await start(one, "a")
        yield one, two


async def parked(engine: Engine, stalls: int) -> None:
    found = row(engine, "a")
    await until(lambda: found.record.parked_reason is not None and found.owner is None)
    await until(lambda: found.record.history_length == 2 + stalls)


async def rest(engine: Engine) -> None:
    """Return when nothing has happened to the instance for several looks at it."""
    before = None
    async with asyncio.timeout(5):
        while before != row(engine, "a").record.revision:
            before = row(engine, "a").record.revision
            await asyncio.sleep(10 * SOON_S)


@pytest.mark.parametrize(
    ("unfit", "stalls"),
    [
        ((without_version, without_version), 1),
        ((patched("x"), patched("y")), 2),
        ((patched("x"), without_version), 2),
    ],
    ids=["one reason", "two patches", "patch and version"],
)
async def test_instance_that_nobody_can_run_comes_to_rest(
    unfit: tuple[Workflow, Workflow], stalls: int
) -> None:
    async with (
        waiting_instance() as (one, two),
        working(one, unfit[0]) as first,
        working(two, unfit[1]) as second,
    ):
        await tell(one, "a", "go", "x")
        await parked(one, stalls)
        await until(lambda: bool(first.requests and second.requests))
        await rest(one)
        tried = len(first.requests) + len(second.requests)
        assert tried < 15
        await asyncio.sleep(10 * SOON_S)
        assert len(first.requests) + len(second.requests) == tried
        assert making.kinds(await history(one, "a")).count("executionStalled") == stalls
        async with working(two, patched("a")):
            assert (await finished(one, "a")).output.value == "x"


async def test_instance_parked_by_one_sidecar_goes_on_at_another() -> None:
    async with (
        waiting_instance() as (one, two),
        working(one, without_version) as unfit,
        working(two, patched("a")),
    ):
        await tell(one, "a", "go", "x")
        assert (await finished(two, "a")).output.value == "x"
        assert len(unfit.requests) == 1


async def test_instance_that_is_tried_while_the_fitting_worker_connects_is_tried_there_too() -> (
    None
):
    async with (
        waiting_instance() as (one, two),
        working(one, without_version, silent=True) as unfit,
    ):
        await tell(one, "a", "go", "x")
        await until(lambda: len(unfit.items) == 1)
        async with working(two, patched("a")):
            await asyncio.sleep(5 * SOON_S)
            await unfit.answer(unfit.items[0])
            assert (await finished(one, "a")).output.value == "x"


async def test_sidecar_without_workers_tries_nothing() -> None:
    async with waiting_instance() as (one, two):
        async with working(one, without_version):
            await tell(one, "a", "go", "x")
            await parked(one, 1)
        await asyncio.sleep(5 * SOON_S)
        assert row(two, "a").owner is None
        assert row(two, "a").record.revision == 2
        async with working(two, patched("a")):
            assert (await finished(two, "a")).output.value == "x"


@pytest.mark.parametrize("where", ["list_instances", "apply"])
async def test_damage_met_on_the_way_stops_neither_the_engine_nor_others(where: str) -> None:
    backend = WatchedBackend()

    async def damaged(name: str) -> None:
        if name == where == "list_instances" and backend.calls[name] == met + 1:
            raise BackendCorruptionError("the test")
        if name == where == "apply" and any(
            isinstance(operation, Deliver) and operation.key.instance_id == "bad"
            for operation in backend.batches[-1]
        ):
            raise BackendCorruptionError("the test")

    async with running(backend, safety_poll=FOR_EVER) as engine:
        async with working(engine, waiting_for(1)):
            await start(engine, "bad")
            await start(engine, "good")
        async with working(engine, without_version):
            for name in ("bad", "good"):
                await tell(engine, name, "go", name)
                await until(lambda name=name: row(engine, name).record.parked_reason is not None)
        met = backend.calls["list_instances"]
        backend.before = damaged
        async with working(engine, without_version):
            await until(lambda: backend.calls["list_instances"] > met)
        async with working(engine, waiting_for(1)):
            assert (await finished(engine, "good")).output.value == "good"
            assert (row(engine, "bad").record.parked_reason is None) == (where != "apply")

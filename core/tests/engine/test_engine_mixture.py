"""Everything at once, on slow and failing stores, in one or several sidecars. Nothing hangs."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC, timedelta

import pytest
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from . import making
from .faults import STEPS, failing, insist, no_long_waits
from .hub import (
    FOR_EVER,
    SOON_S,
    WatchedBackend,
    history,
    nothing,
    row,
    running,
    start,
    tell,
    until,
)
from .worker import Turn, Workflow, adding_up, fan_out, sequence, working

EVENTS = 20


def family(turn: Turn) -> list[pb.WorkflowAction]:
    """Three children with three children each."""
    if turn.id.count(".") == 2:
        return [making.complete("leaf")]
    if len(turn.resolved) == 3:
        return [making.complete("family", number=9)]
    return [making.child(number, f"{turn.id}.{number}", "Family") for number in range(3)]


def naps(turn: Turn) -> list[pb.WorkflowAction]:
    count = len(turn.resolved)
    if count == 3:
        return [making.complete("rested", number=9)]
    now = turn.request.newEvents[0].timestamp.ToDatetime(UTC)
    return [making.sleep(count, now + timedelta(milliseconds=3 * count))]


FLOWS: dict[str, Workflow] = {
    "Wide": fan_out(5),
    "Line": sequence(4),
    "Family": family,
    "Adding": adding_up(EVENTS, 3),
    "Naps": naps,
}
OUTPUTS = {
    "Wide": "0,1,2,3,4",
    "Line": "0,1,2,3",
    "Family": "family",
    "Adding": ",".join(map(str, range(EVENTS))),
    "Naps": "rested",
}


async def run_everything(engines: list[Engine], source: random.Random) -> None:
    """Run four of each, started and fed through any of the sidecars, and look at the outcomes."""
    names = {f"{kind}-{number}": kind for kind in FLOWS for number in range(4)}
    async with asyncio.TaskGroup() as group:
        for name, kind in names.items():
            group.create_task(begin(source.choice(engines), name, kind))
    for name, kind in names.items():
        await until(lambda name=name: row(engines[0], name).record.status.is_terminal)
        assert row(engines[0], name).payloads.output == OUTPUTS[kind]


async def begin(engine: Engine, name: str, kind: str) -> None:
    await insist(lambda: start(engine, name, kind))
    if kind == "Adding":
        for number in range(EVENTS):
            await insist(lambda number=number: tell(engine, name, "go", str(number)))


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("sidecars", [1, 2])
async def test_mixture_on_a_slow_store_never_waits_for_the_safety_poll(
    limit: int | None, sidecars: int
) -> None:
    await mixture(sidecars, share=0, seed=sidecars, safety_poll=FOR_EVER, limit=limit)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sidecars", [1, 2])
async def test_mixture_on_a_failing_store_finishes(
    monkeypatch: pytest.MonkeyPatch, seed: int, sidecars: int
) -> None:
    no_long_waits(monkeypatch)
    soon = timedelta(seconds=SOON_S)
    await mixture(sidecars, share=0.15, seed=seed, safety_poll=soon, limit=[None, 3][seed % 2])


async def mixture(
    sidecars: int, *, share: float, seed: int, safety_poll: timedelta, limit: int | None
) -> None:
    source = random.Random(seed)
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        engines, backends = [], []
        for number in range(sidecars):
            backend = WatchedBackend(store)
            step = failing(random.Random(f"{seed} {number}"), STEPS, share)
            backend.before = backend.after = step
            context = running(
                backend,
                safety_poll=safety_poll,
                max_concurrent_workflows=limit,
                max_concurrent_activities=limit,
            )
            engine = await stack.enter_async_context(context)
            await stack.enter_async_context(working(engine, FLOWS, stateful=number % 2 == 0))
            engines.append(engine)
            backends.append(backend)
        await run_everything(engines, source)
        for backend in backends:
            backend.before = backend.after = nothing
        await until(lambda: not store.tasks)
        await until(lambda: all(one.owner is None for one in store.instances.values()))
        kinds = making.kinds(await history(engines[0], "Family-0"))
        assert kinds.count("childWorkflowInstanceCompleted") == 3

"""Sidecars with limits, and how much runs in all of them together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from durahub.backend import ClaimLimit, ClaimLimits
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore

from . import making
from .hub import FOR_EVER, WatchedBackend, finished, running, start
from .worker import Turn, Workflow

SHORT = timedelta(seconds=0.15)


def workflows(total: int | None = None, **by_name: int) -> ClaimLimits:
    return ClaimLimits(instances=ClaimLimit(total=total, by_name=by_name))


def activities(total: int | None = None, **by_name: int) -> ClaimLimits:
    return ClaimLimits(activities=ClaimLimit(total=total, by_name=by_name))


@dataclass
class Gauge:
    """An activity that knows how many run at the same time, in all workers that it is given to.

    Attributes:
        hold: Those with these names wait until they are let go.
        running: How many run, by name.
        most: How many ran at most, by name; under "" all together.
    """

    hold: frozenset[str] = frozenset()
    running: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: pb.ActivityRequest) -> str | None:
        for name in (request.name, ""):
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])
        try:
            if request.name in self.hold:
                await self.open.wait()
            await asyncio.sleep(0.002)
        finally:
            for name in (request.name, ""):
                self.running[name] -= 1
        return request.input.value


def calling(*names: str) -> Workflow:
    """Return a workflow that calls activities with these names at the same time."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == len(names):
            return [making.complete("done", number=len(names))]
        return [making.schedule(number, name) for number, name in enumerate(names)]

    return flow


@asynccontextmanager
async def sidecars(
    store: MemoryStore, count: int, limits: ClaimLimits, **changes: Any
) -> AsyncIterator[list[Engine]]:
    """Run engines on one store that never look by themselves."""
    async with AsyncExitStack() as stack:
        contexts = [
            running(WatchedBackend(store), limits=limits, **{"safety_poll": FOR_EVER, **changes})
            for _ in range(count)
        ]
        yield [await stack.enter_async_context(context) for context in contexts]


async def start_all(engines: Sequence[Engine], names: Sequence[str], flow: str = "Flow") -> None:
    async with asyncio.TaskGroup() as group:
        for place, name in enumerate(names):
            group.create_task(start(engines[place % len(engines)], name, flow))


async def all_finished(engine: Engine, names: Sequence[str]) -> None:
    for name in names:
        assert (await finished(engine, name)).workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED


NAMES = [str(number) for number in range(30)]

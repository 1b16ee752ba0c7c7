"""What an idle sidecar asks of its database, however many instances wait there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from plugins.postgres.tests.relay import relay
from tests.benchmarks.benchmark import Benchmark, Figure, Settings
from tests.benchmarks.scripted import serve
from tests.benchmarks.stand import connected, cpu_s, sidecar, until_workers
from tests.benchmarks.waiting import fill
from tests.e2e.postgres import postgres_store
from tests.e2e.sidecar import APP_ID
from tests.parity.client import Client

INSTANCES, MANY_INSTANCES = 20_000, 1_000_000
SECONDS = 20.0
MOST_PER_S = 2.0

_SETTLE_S = 5.0
"""So long after its start a sidecar is idle."""


async def measure(
    directory: Path, *, instances: int, seconds: float, seed: int
) -> Sequence[Figure]:
    """Count the statements that a sidecar with a worker sends while nothing is to be done.

    Args:
        directory: For files.
        instances: How many wait.
        seconds: How long to count.
        seed: Decides when the timers of those that wait are due.
    """
    async with AsyncExitStack() as stack:
        store = stack.enter_context(postgres_store())
        began_s = time.monotonic()
        await fill(store.url, APP_ID, instances, seed)
        filled_s = time.monotonic() - began_s
        way = await stack.enter_async_context(relay(store.url, directory))
        on_store = {"connectionString": way.url}
        process = await stack.enter_async_context(sidecar("postgres", directory, on_store))
        channel = await stack.enter_async_context(connected(process))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        serving = group.create_task(serve(channel))
        await until_workers(process, 1)
        await asyncio.sleep(_SETTLE_S)
        before, before_s = way.statements, cpu_s(process)
        await asyncio.sleep(seconds)
        sent, used_s = way.statements - before, cpu_s(process) - before_s
        # What was made past the backend is to it what it was meant to be.
        assert await Client(channel).status(f"waiting-{instances - 1}") == "RUNNING"
        serving.cancel()
    return [
        Figure(name="statements", value=sent / seconds, unit="/s", most=MOST_PER_S),
        Figure(name="CPU of the sidecar", value=used_s / seconds * 1000, unit="ms/s"),
        Figure(name="time to create the instances", value=filled_s, unit="s"),
    ]


def _instances(settings: Settings) -> int:
    return MANY_INSTANCES if settings.full else INSTANCES


async def _run(settings: Settings) -> Sequence[Figure]:
    return await measure(
        settings.directory, instances=_instances(settings), seconds=SECONDS, seed=settings.seed
    )


BENCHMARK = Benchmark(
    name="idle",
    question="How much does an idle sidecar ask of Postgres while many instances wait?",
    sizes=lambda settings: {"instances": _instances(settings), "seconds": SECONDS},
    run=_run,
)

"""How many workflows of three activities in sequence a sidecar runs, and what each costs it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.benchmark import Benchmark, Figure, Settings
from tests.benchmarks.numbers import median
from tests.benchmarks.scripted import STEPS, serve
from tests.benchmarks.stand import connected, cpu_s, sidecar, until_workers
from tests.e2e.postgres import postgres_store
from tests.e2e.sidecar import Sidecar
from tests.parity.client import Client

BACKENDS = ("memory", "sqlite", "postgres")
ROUNDS = 3
WORKFLOWS = 500
IN_FLIGHT = 50
_WAIT_S = 60.0


@dataclass(frozen=True)
class _Lane:
    """A sidecar, and a client of it."""

    sidecar: Sidecar
    client: Client

    async def run(self, prefix: str, workflows: int, in_flight: int) -> tuple[float, float]:
        """Run workflows; return how many a second, and the sidecar's CPU seconds for each."""
        numbers = iter(range(workflows))
        before_s, began_s = cpu_s(self.sidecar), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(self._customer(prefix, numbers))
        took_s = time.monotonic() - began_s
        return workflows / took_s, (cpu_s(self.sidecar) - before_s) / workflows

    async def _customer(self, prefix: str, numbers: Iterator[int]) -> None:
        for number in numbers:
            instance_id = f"{prefix}-{number}"
            await self.client.start("seq3", instance_id, "x", within_s=_WAIT_S)
            state = await self.client.finished(instance_id, within_s=_WAIT_S)
            assert state.output.value == "x" + "+" * STEPS, state


async def measure(
    directory: Path, *, workflows: int, rounds: int, in_flight: int = IN_FLIGHT
) -> Sequence[Figure]:
    """Run the workflows on each backend in turn, round after round, on fresh stores."""
    rates: defaultdict[str, list[float]] = defaultdict(list)
    costs: defaultdict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        lanes = await _lanes(stack, directory)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        serving = [
            group.create_task(serve(await stack.enter_async_context(connected(lane.sidecar))))
            for lane in lanes.values()
        ]
        for lane in lanes.values():
            await until_workers(lane.sidecar, 1)
            await lane.run("warm", in_flight, in_flight)
        for number, (backend, lane) in itertools.product(range(rounds), lanes.items()):
            rate, cost = await lane.run(f"round{number}", workflows, in_flight)
            rates[backend].append(rate)
            costs[backend].append(cost * 1000)
        for task in serving:
            task.cancel()
    return [
        figure
        for backend in BACKENDS
        for figure in (
            median(f"{backend}: workflows", rates[backend], "/s"),
            median(f"{backend}: CPU of the sidecar for each", costs[backend], "ms"),
        )
    ]


async def _lanes(stack: AsyncExitStack, directory: Path) -> Mapping[str, _Lane]:
    lanes = {}
    for backend in BACKENDS:
        (directory / backend).mkdir()
        store = None
        if backend == "postgres":
            store = {"connectionString": stack.enter_context(postgres_store()).url}
        process = await stack.enter_async_context(sidecar(backend, directory / backend, store))
        client = Client(await stack.enter_async_context(connected(process)))
        lanes[backend] = _Lane(process, client)
    return lanes


async def _run(settings: Settings) -> Sequence[Figure]:
    return await measure(settings.directory, workflows=WORKFLOWS, rounds=ROUNDS)


BENCHMARK = Benchmark(
    name="seq3",
    question="How many workflows of three activities in sequence, and at which cost?",
    sizes=lambda _: {"workflows": WORKFLOWS, "in flight": IN_FLIGHT, "rounds": ROUNDS},
    run=_run,
)

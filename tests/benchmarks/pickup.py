"""How soon a start that one replica accepted runs at another: both on one Postgres, the worker at B."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from durahub.protocol import messages as pb

from tests.benchmarks.benchmark import Benchmark, Figure, Settings
from tests.benchmarks.numbers import quantiles
from tests.benchmarks.stand import connected, sidecar, until_workers
from tests.e2e.postgres import postgres_store
from tests.parity.client import Client
from tests.parity.flows import Context
from tests.parity.worker import Worker

STARTS = 300
WARM_UP = 20
MOST_P50_MS = 10.0
"""Work that another replica has left is picked up within this, in the median, on an idle machine."""

_PAUSE_S = 0.02
"""Between two starts: each finds replicas that do nothing."""


async def measure(directory: Path, starts: int) -> Sequence[Figure]:
    """Start workflows at A one after the other, and see when B's worker gets them and A answers."""
    async with AsyncExitStack() as stack:
        store = stack.enter_context(postgres_store())
        on_store = {"connectionString": store.url}
        for name in ("a", "b"):
            (directory / name).mkdir()
        first = await stack.enter_async_context(sidecar("postgres", directory / "a", on_store))
        second = await stack.enter_async_context(sidecar("postgres", directory / "b", on_store))
        client = Client(await stack.enter_async_context(connected(first)))
        worker = _Watch(await stack.enter_async_context(connected(second)))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        serving = group.create_task(worker.run())
        await until_workers(second, 1)
        for number in range(WARM_UP):
            await client.start("at_once", f"warm-{number}")
        answered = [await _start(client, f"start-{number}") for number in range(starts)]
        picked_up = [worker.picked_up_s[f"start-{number}"] for number in range(starts)]
        serving.cancel()
    return [
        *quantiles("accepted by A to turn at B's worker", picked_up, most_p50=MOST_P50_MS),
        *quantiles("StartInstance at A, first turn committed by B", answered),
    ]


class _Watch(Worker):
    """Notes how long after its acceptance each start has come."""

    def __init__(self, channel: object) -> None:
        super().__init__(channel, {"at_once": _at_once})
        self.picked_up_s: dict[str, float] = {}

    async def _run_turn(self, request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        arrived_s = time.time()
        (start,) = (event for event in request.newEvents if event.HasField("executionStarted"))
        accepted_s = start.timestamp.seconds + start.timestamp.nanos / 1e9
        self.picked_up_s[request.instanceId] = arrived_s - accepted_s
        return await super()._run_turn(request)


def _at_once(_: Context) -> str:
    return "done"


async def _start(client: Client, instance_id: str) -> float:
    began_s = time.monotonic()
    await client.start("at_once", instance_id)
    took_s = time.monotonic() - began_s
    await asyncio.sleep(_PAUSE_S)
    return took_s


async def _run(settings: Settings) -> Sequence[Figure]:
    return await measure(settings.directory, STARTS)


BENCHMARK = Benchmark(
    name="pickup",
    question="How soon does a start that replica A accepted run at replica B? (Postgres, idle)",
    sizes=lambda _: {"starts": STARTS},
    run=_run,
)

"""Real sidecar processes for benchmarks, and connections to them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from tests.e2e.processes import LogBook
from tests.e2e.sidecar import Setup, Sidecar

READY_S = 60.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def sidecar(
    backend: str, directory: Path, store: Mapping[str, Any] | None = None
) -> AsyncIterator[Sidecar]:
    """Run a sidecar until the end.

    Args:
        backend: Type of its backend.
        directory: For its files.
        store: `storeConfiguration`; None: a file in `directory`, if the backend needs one.
    """
    selected = {} if store is None else {"storeConfiguration": dict(store)}
    process = Sidecar(Setup.of(backend, directory, **selected), LogBook(directory))
    process.launch()
    try:
        async with asyncio.timeout(READY_S):
            while not await asyncio.to_thread(process.is_ready):
                assert process.is_running, process.log.read_text()
                await asyncio.sleep(0.05)
        yield process
    finally:
        process.kill()


@asynccontextmanager
async def connected(process: Sidecar) -> AsyncIterator[grpc.aio.Channel]:
    """Connect to a sidecar, with a connection that no other channel uses."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{process.grpc_port}", options=options
    ) as channel:
        yield channel


async def until_workers(process: Sidecar, count: int) -> None:
    """Return when so many workers are connected to a sidecar."""
    async with asyncio.timeout(READY_S):
        while await asyncio.to_thread(lambda: process.connected_workers) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def cpu_s(process: Sidecar) -> float:
    """Return how many seconds of processors a sidecar has used since its start."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

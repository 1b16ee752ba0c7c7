"""Large payloads come and go, and memory stays as it is."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.parity.flows import Context
from tests.parity.hub import Hub, Sidecar
from tests.parity.worker import Worker

MEGABYTE = 1024 * 1024
PAGE_BYTES = 4096
WARM_UP, MEASURED = 10, 30


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def large(ctx: Context):
    """Have input, activity, history and output hold the payload."""
    return (yield ctx.activity("echo", ctx.input))


async def run_and_purge(sidecar: Sidecar, worker: Worker, count: int) -> None:
    payload = "x" * MEGABYTE
    for number in range(count):
        await sidecar.client.start("Flow", f"a{number}", payload)
        assert await sidecar.client.output(f"a{number}") == payload
        await sidecar.client.purge(f"a{number}")
        worker.items.clear()


@pytest.mark.parity("memory/payloads")
async def test_large_payloads_leave_nothing_behind(hub: Hub) -> None:
    """Client, worker and sidecar share this process: what any of them keeps counts."""
    async with (
        hub.sidecar(max_message_bytes=16 * MEGABYTE) as sidecar,
        sidecar.worker(large) as worker,
    ):
        await run_and_purge(sidecar, worker, WARM_UP)
        before = resident_bytes()
        await run_and_purge(sidecar, worker, MEASURED)
        grown = resident_bytes() - before
    # One copy of each payload that stayed would be more; the allocator's own ups and downs are less.
    assert grown < MEASURED * MEGABYTE * 0.8

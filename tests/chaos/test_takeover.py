"""How long work of a sidecar that was killed waits for another one."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.hosts import Hosts, component_store
from tests.chaos.replicas import Replica, setups
from tests.chaos.workload import Order
from tests.e2e.postgres import postgres_store
from tests.e2e.processes import LogBook
from tests.parity.client import Refused

TIME_TO_LIVE_S = 6.0
"""A heartbeat comes every two seconds."""
MARGIN_S = 1.5
"""For the work itself, and for a busy machine. Who only looked at heartbeats would take longer in most runs."""
INSTANCES = 20


@pytest.mark.timeout(120)
async def test_work_of_a_killed_sidecar_is_taken_over_when_its_session_ends(
    tmp_path: Path,
) -> None:
    with postgres_store() as store:
        configuration = {**store.configuration, "sessionTimeToLive": TIME_TO_LIVE_S}
        logs = LogBook(tmp_path)
        victim, heir = (
            Replica(number, setup, logs)
            for number, setup in enumerate(setups("postgres", configuration, tmp_path, 2))
        )
        await _check(victim, heir)


@pytest.mark.timeout(120)
async def test_work_of_a_killed_host_is_taken_over_when_its_session_ends(
    tmp_path: Path, logs: LogBook
) -> None:
    with component_store("redis") as store:
        hosts = Hosts(store, tmp_path, logs, count=2, time_to_live_s=TIME_TO_LIVE_S)
        async with hosts.network.running():
            await _check(*hosts.replicas)


async def _check(victim: Replica, heir: Replica) -> None:
    try:
        await asyncio.gather(victim.start(), heir.start())
        took_s = await _take_over(victim, heir)
    finally:
        victim.kill()
        heir.kill()
    print(f"\ntake-over after SIGKILL: {took_s:.2f} s, time to live {TIME_TO_LIVE_S} s")
    assert took_s < TIME_TO_LIVE_S + MARGIN_S


async def _take_over(victim: Replica, heir: Replica) -> float:
    """Kill a sidecar with turns at a worker that never answers; return until the heir has done them all."""
    orders = [Order(number) for number in range(0, 6 * INSTANCES, 6)]
    async with asyncio.TaskGroup() as group:
        silent = group.create_task(victim.hold())
        calls = [group.create_task(_start(victim, order)) for order in orders]
        async with asyncio.timeout(20):
            while victim.held < INSTANCES:
                await asyncio.sleep(0.01)
        serving = group.create_task(heir.serve())
        # The heir has seen the victim alive; from now on only its silence tells.
        await asyncio.sleep(1)
        victim.kill()
        began_s = time.monotonic()
        for order in orders:
            state = await heir.client.finished(order.instance_id)
            assert state.output.value == order.expected
        took_s = time.monotonic() - began_s
        for task in (silent, serving, *calls):
            task.cancel()
    return took_s


async def _start(victim: Replica, order: Order) -> None:
    # Its call ends with the sidecar.
    with suppress(Refused):
        await victim.client.start(order.name, order.instance_id, order.value)

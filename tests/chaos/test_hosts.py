"""Hosts of the actors backend are torn down, and torn apart; every workflow ends as it should all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.hosts import ComponentStore, Hosts, component_store
from tests.chaos.run import Chaos
from tests.chaos.scaling import Scaling
from tests.e2e.processes import LogBook

HOSTS = 3
TIME_TO_LIVE_S = 3.0

MOST_HOSTS = 4
PAUSE_S = 3.0
LONGEST_GAP_S = 2.0


@pytest.fixture(params=("redis", pytest.param("postgresql", marks=pytest.mark.long)))
def store(request: pytest.FixtureRequest) -> Iterator[ComponentStore]:
    with component_store(request.param) as store:
        yield store


async def _run(
    store: ComponentStore, directory: Path, logs: LogBook, workflows: int, each: int
) -> None:
    hosts = Hosts(store, directory, logs, count=HOSTS, time_to_live_s=TIME_TO_LIVE_S)
    faults = {**store.faults, **hosts.faults}
    chaos = Chaos(hosts.replicas, faults, TIME_TO_LIVE_S, seed=int(time.time()))
    async with hosts.network.running():
        try:
            await asyncio.gather(*(replica.start() for replica in hosts.replicas))
            await chaos.run(workflows, each=each)
        finally:
            for replica in hosts.replicas:
                replica.kill()
    print(f"  bytes between hosts: {sum(hosts.network.passed.values())}")


@pytest.mark.timeout(300)
async def test_chaos_between_hosts(store: ComponentStore, tmp_path: Path, logs: LogBook) -> None:
    await _run(store, tmp_path, logs, workflows=200, each=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_chaos_between_hosts_for_long(
    store: ComponentStore, tmp_path: Path, logs: LogBook
) -> None:
    await _run(store, tmp_path, logs, workflows=2_000, each=8)


async def _scale(store: ComponentStore, directory: Path, logs: LogBook, times: int) -> None:
    hosts = Hosts(store, directory, logs, count=MOST_HOSTS, time_to_live_s=TIME_TO_LIVE_S)
    scaling = Scaling(hosts.replicas, {}, TIME_TO_LIVE_S, seed=int(time.time()))
    async with hosts.network.running():
        try:
            await hosts.replicas[0].start()
            await scaling.run(100, each=times, pause_s=PAUSE_S)
        finally:
            for replica in hosts.replicas:
                replica.kill()
    print(f"  {scaling.per_s:.1f} workflows a second, longest gap {scaling.longest_gap_s:.2f} s")
    assert scaling.longest_gap_s < LONGEST_GAP_S


@pytest.mark.timeout(300)
async def test_hosts_come_and_go(store: ComponentStore, tmp_path: Path, logs: LogBook) -> None:
    await _scale(store, tmp_path, logs, times=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_hosts_come_and_go_for_long(
    store: ComponentStore, tmp_path: Path, logs: LogBook
) -> None:
    await _scale(store, tmp_path, logs, times=20)

"""Replicas and their store are torn down again and again; every workflow ends as it should all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.replicas import Replica, setups
from tests.chaos.run import Chaos
from tests.e2e.postgres import PostgresStore, postgres_store
from tests.e2e.processes import LogBook

REPLICAS = 3
TIME_TO_LIVE_S = 3.0


@pytest.fixture(scope="module")
def store() -> Iterator[PostgresStore]:
    with postgres_store() as store:
        yield store


@pytest.fixture
async def replicas(store: PostgresStore, tmp_path: Path) -> list[Replica]:
    configuration = {**store.configuration, "sessionTimeToLive": TIME_TO_LIVE_S}
    logs = LogBook(tmp_path)
    return [
        Replica(number, setup, logs)
        for number, setup in enumerate(setups("postgres", configuration, tmp_path, REPLICAS))
    ]


async def _run(
    store: PostgresStore, replicas: list[Replica], *, workflows: int, each: int, seed: int
) -> Chaos:
    chaos = Chaos(replicas, store.faults, TIME_TO_LIVE_S, seed)
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        await chaos.run(workflows, each=each)
    finally:
        for replica in replicas:
            replica.kill()
    return chaos


@pytest.mark.timeout(300)
async def test_chaos_on_postgres(store: PostgresStore, replicas: list[Replica]) -> None:
    await _run(store, replicas, workflows=200, each=1, seed=int(time.time()))


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_chaos_on_postgres_for_long(store: PostgresStore, replicas: list[Replica]) -> None:
    await _run(store, replicas, workflows=2_000, each=8, seed=int(time.time()))

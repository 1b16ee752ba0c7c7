"""The state store on Redis keeps the contract of state stores, on one server and on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from durahub.clock import SystemClock
from durahub_actors.stores import StateStore
from durahub_actors.stores.redis import RedisStateStore
from durahub_conformance.state_stores import StateStoreConformance, StateStoreHarness

from plugins.actors.tests.redis_hubs import redis_settings


class RedisHarness(StateStoreHarness):
    """A task hub of its own; the server's clock is real."""

    url: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.settings = redis_settings(self.url)

    def store(self) -> StateStore:
        return RedisStateStore(self.settings)

    async def dispose(self) -> None:
        store = RedisStateStore(self.settings)
        await store.open(SystemClock())
        await store.delete()
        await store.close()


class ServerHarness(RedisHarness):
    """One server."""


class ClusterHarness(RedisHarness):
    """A cluster of three nodes."""


class TestRedisServer(StateStoreConformance):
    harness = ServerHarness

    @pytest.fixture(autouse=True)
    def _server(self, valkey_url: str) -> None:
        ServerHarness.url = valkey_url


class TestRedisCluster(StateStoreConformance):
    harness = ClusterHarness

    @pytest.fixture(autouse=True)
    def _cluster(self, valkey_cluster_url: str) -> None:
        ClusterHarness.url = valkey_cluster_url

from __future__ import annotations

import pytest
from durahub_conformance import BackendConformance

from .actors_harness import (
    ActorsHarness,
    ExclusiveActorsHarness,
    PostgresActorsHarness,
    RedisActorsHarness,
    SqliteActorsHarness,
)


class TestActors(BackendConformance):
    harness = ActorsHarness


class TestExclusiveActors(BackendConformance):
    harness = ExclusiveActorsHarness


class TestActorsInSqlite(BackendConformance):
    harness = SqliteActorsHarness


@pytest.mark.long
class TestActorsInRedis(BackendConformance):
    harness = RedisActorsHarness

    @pytest.fixture(autouse=True)
    def _server(self, valkey_url: str) -> None:
        RedisActorsHarness.url = valkey_url


@pytest.mark.long
class TestActorsInPostgres(BackendConformance):
    harness = PostgresActorsHarness

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        PostgresActorsHarness.url = postgres_url

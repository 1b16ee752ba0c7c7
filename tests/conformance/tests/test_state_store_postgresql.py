"""The state store in a PostgreSQL database keeps the contract of state stores."""

from __future__ import annotations

import uuid
from pathlib import Path

import asyncpg
import pytest
from durahub_actors.stores import StateStore
from durahub_actors.stores.postgresql import PostgresStateStore, PostgresStoreSettings
from durahub_conformance.state_stores import StateStoreConformance, StateStoreHarness


class PostgresStoreHarness(StateStoreHarness):
    """Stores in one schema; the server has a clock of its own."""

    url = ""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._settings = PostgresStoreSettings(url=self.url, schema=f"state_{uuid.uuid4().hex}")

    def store(self) -> StateStore:
        return PostgresStateStore(self._settings)

    async def dispose(self) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(f"DROP SCHEMA IF EXISTS {self._settings.schema} CASCADE")
        await connection.close()


class TestPostgresStateStore(StateStoreConformance):
    harness = PostgresStoreHarness

    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PostgresStoreHarness, "url", postgres_url)

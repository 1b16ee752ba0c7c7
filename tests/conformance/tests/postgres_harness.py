"""The harness for the Postgres backend; its probe has connections of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
from durahub.backend import Backend
from durahub.types import InstanceKey
from durahub_conformance import Harness, Probe
from durahub_postgres import PostgresBackend, PostgresSettings

TABLES = ("instances", "schedule", "payloads", "history", "messages", "timers", "activities")


class PostgresProbe(Probe):
    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        instance = await self._instance(key)
        return {
            table: [
                tuple(row)
                for row in await self._read(
                    f"SELECT * FROM hub.{table} WHERE instance = $1 ORDER BY 1, 2", instance
                )
            ]
            for table in TABLES
        }

    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        query = "SELECT event FROM hub.history WHERE instance = $1 ORDER BY seq"
        return [row[0] for row in await self._read(query, await self._instance(key))]

    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        query = "SELECT payload FROM hub.messages WHERE instance = $1 ORDER BY message_id"
        return [row[0] for row in await self._read(query, await self._instance(key))]

    async def lose_event(self, key: InstanceKey) -> None:
        lost = await self._read(
            "DELETE FROM hub.history WHERE instance = $1 AND seq ="
            " (SELECT min(seq) FROM hub.history WHERE instance = $1) RETURNING seq",
            await self._instance(key),
        )
        assert len(lost) == 1

    async def _instance(self, key: InstanceKey) -> int | None:
        query = "SELECT instance FROM hub.instances WHERE app_id = $1 AND instance_id = $2"
        found = await self._read(query, *key)
        return int(found[0][0]) if found else None

    async def _read(self, query: str, *parameters: object) -> list[Any]:
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetch(query.replace("hub.", f"{self._schema}."), *parameters)
        finally:
            await connection.close()


class PostgresHarness(Harness):
    url: ClassVar[str]
    """Set by the test class, from the fixture that starts the server."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._schema = f"kit_{uuid.uuid4().hex}"
        # Of its own, because child processes get the attributes and not the class's.
        self._url = self.url

    def backend(self) -> Backend:
        return PostgresBackend(
            PostgresSettings.model_validate(
                {"connectionString": self._url, "schema": self._schema, "poolSize": 5}
            )
        )

    @property
    def probe(self) -> Probe:
        return PostgresProbe(self._url, self._schema)

    @property
    def moment(self) -> timedelta:
        """Long enough for some calls of a busy machine: the server's clock waits for nobody."""
        return timedelta(seconds=0.6)

    async def dispose(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
        finally:
            await connection.close()

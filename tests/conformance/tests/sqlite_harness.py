"""The harness for the SQLite backend; its probe opens the file by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from durahub.backend import Backend
from durahub.testing import ManualClock
from durahub.types import InstanceKey
from durahub_conformance import Harness, Probe
from durahub_sqlite import SqliteBackend, SqliteSettings

TABLES = ("instances", "payloads", "history", "messages", "timers", "activities")


class SqliteProbe(Probe):
    def __init__(self, path: Path) -> None:
        self._path = path

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        instance = self._instance(key)
        return {
            table: self._read(f"SELECT * FROM {table} WHERE instance = ?", instance)
            for table in TABLES
        }

    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        query = "SELECT event FROM history WHERE instance = ? ORDER BY seq"
        return [event for (event,) in self._read(query, self._instance(key))]

    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        query = "SELECT payload FROM messages WHERE instance = ? ORDER BY message_id"
        return [payload for (payload,) in self._read(query, self._instance(key))]

    async def lose_event(self, key: InstanceKey) -> None:
        instance = self._instance(key)
        with closing(sqlite3.connect(self._path)) as connection, connection:
            lost = connection.execute(
                "DELETE FROM history WHERE instance = ?1"
                " AND seq = (SELECT min(seq) FROM history WHERE instance = ?1)",
                (instance,),
            )
            assert lost.rowcount == 1

    def _instance(self, key: InstanceKey) -> int | None:
        query = "SELECT instance FROM instances WHERE app_id = ? AND instance_id = ?"
        found = self._read(query, *key)
        return int(found[0][0]) if found else None

    def _read(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(query, parameters).fetchall()


class SqliteHarness(Harness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self._path = directory / "hub.db"

    def backend(self) -> Backend:
        return SqliteBackend(SqliteSettings.model_validate({"connectionString": str(self._path)}))

    @property
    def probe(self) -> Probe:
        return SqliteProbe(self._path)

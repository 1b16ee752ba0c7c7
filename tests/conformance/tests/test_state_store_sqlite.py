"""The state store in a SQLite file keeps the contract of state stores."""

from __future__ import annotations

from pathlib import Path

from durahub.testing import ManualClock
from durahub_actors.stores import StateStore
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings
from durahub_conformance.state_stores import StateStoreConformance, StateStoreHarness


class SqliteStoreHarness(StateStoreHarness):
    """Stores on one file."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()

    def store(self) -> StateStore:
        return SqliteStateStore(SqliteStoreSettings(path=self.directory / "state.db"))


class TestSqliteStateStore(StateStoreConformance):
    harness = SqliteStoreHarness

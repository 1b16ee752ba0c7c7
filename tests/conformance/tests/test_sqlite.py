from __future__ import annotations

from durahub_conformance import BackendConformance

from .sqlite_harness import SqliteHarness


class TestSqlite(BackendConformance):
    harness = SqliteHarness

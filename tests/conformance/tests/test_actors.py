from __future__ import annotations

from durahub_conformance import BackendConformance

from .actors_harness import ActorsHarness, ExclusiveActorsHarness, SqliteActorsHarness


class TestActors(BackendConformance):
    harness = ActorsHarness


class TestExclusiveActors(BackendConformance):
    harness = ExclusiveActorsHarness


class TestActorsInSqlite(BackendConformance):
    harness = SqliteActorsHarness

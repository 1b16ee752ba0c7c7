"""The backends that the suite runs on. A new backend is one more entry here."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import durahub_postgres.backend
import durahub_sqlite.backend
from durahub.backend import NATIVE, Backend, Capabilities
from durahub.clock import SystemClock
from durahub.testing import MemoryBackend, MemorySettings, MemoryStore
from durahub_actors.backend import ActorsBackend
from durahub_actors.backend.backend import capabilities_of
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import StateStore
from durahub_actors.stores.memory import MemoryStateStore
from durahub_actors.stores.memory_state import MemoryState
from durahub_actors.stores.postgresql import PostgresStateStore, PostgresStoreSettings
from durahub_actors.stores.redis import RedisStateStore
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings
from durahub_postgres import PostgresBackend, PostgresSettings
from durahub_sqlite import SqliteBackend, SqliteSettings

from plugins.actors.tests.redis_hubs import redis_settings

NewBackend = Callable[[], Backend]
"""Returns another connection to one store."""


@dataclass(frozen=True)
class StoreKind:
    """A backend, and how to come by an empty store of it.

    Attributes:
        place: The fixture that says where stores can be.
        new_store: Takes the value of that fixture and makes an empty store there, which is gone in the end.
        capabilities: What the backend says of itself.
    """

    place: str
    new_store: Callable[[Any], AbstractAsyncContextManager[NewBackend]]
    capabilities: Capabilities

    def lacks(self, needs: str) -> str:
        """Return the backend's own reason why it does not provide a capability; empty if it does."""
        support = getattr(self.capabilities, needs)
        return "" if support else support.reason


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[NewBackend]:
    store = MemoryStore()
    yield lambda: MemoryBackend(MemorySettings(), store)


@asynccontextmanager
async def _sqlite(directory: Path) -> AsyncIterator[NewBackend]:
    path = str(directory / "hub.db")
    settings = SqliteSettings.model_validate({"connectionString": path, "synchronous": "normal"})
    yield lambda: SqliteBackend(settings)


@asynccontextmanager
async def _actors(_: Path) -> AsyncIterator[NewBackend]:
    state = MemoryState()
    yield lambda: ActorsBackend(ActorsSettings(), MemoryStateStore(state))


@asynccontextmanager
async def _actors_in(store: Callable[[], StateStore]) -> AsyncIterator[NewBackend]:
    yield lambda: ActorsBackend(ActorsSettings(), store())
    emptied = store()
    await emptied.open(SystemClock())
    try:
        await emptied.delete()
    finally:
        await emptied.close()


def _actors_in_sqlite(directory: Path) -> AbstractAsyncContextManager[NewBackend]:
    settings = SqliteStoreSettings(path=directory / "state.db", synchronous="normal")
    return _actors_in(lambda: SqliteStateStore(settings))


def _actors_in_redis(url: str) -> AbstractAsyncContextManager[NewBackend]:
    settings = redis_settings(url)
    return _actors_in(lambda: RedisStateStore(settings))


def _actors_in_postgres(url: str) -> AbstractAsyncContextManager[NewBackend]:
    settings = PostgresStoreSettings(url=url, schema=f"parity_{uuid.uuid4().hex}")
    return _actors_in(lambda: PostgresStateStore(settings))


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[NewBackend]:
    schema = f"parity_{uuid.uuid4().hex}"
    settings = PostgresSettings.model_validate(
        {"connectionString": url, "schema": schema, "poolSize": 3}
    )
    yield lambda: PostgresBackend(settings)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    finally:
        await connection.close()


STORES: Mapping[str, StoreKind] = {
    "memory": StoreKind(
        "tmp_path", _memory, MemoryBackend(MemorySettings(), MemoryStore()).capabilities
    ),
    "sqlite": StoreKind("tmp_path", _sqlite, durahub_sqlite.backend.CAPABILITIES),
    "actors": StoreKind("tmp_path", _actors, capabilities_of(MemoryStateStore(MemoryState()))),
    "postgres": StoreKind("postgres_url", _postgres, durahub_postgres.backend.CAPABILITIES),
}
"""The suite runs unchanged on every backend; only a capability that one lacks takes a test from it."""

_DURABLE_ACTORS = replace(STORES["actors"].capabilities, durable=NATIVE)

STATE_STORES: Mapping[str, StoreKind] = {
    "actors-sqlite": StoreKind("tmp_path", _actors_in_sqlite, _DURABLE_ACTORS),
    "actors-redis": StoreKind("valkey_url", _actors_in_redis, _DURABLE_ACTORS),
    "actors-postgresql": StoreKind("postgres_url", _actors_in_postgres, _DURABLE_ACTORS),
}
"""Actors over other stores; the page shows them as `actors`."""

LONG = frozenset({"actors-sqlite", "actors-postgresql"})
"""Those of them that only long runs have; the others take part where several sidecars share a hub."""

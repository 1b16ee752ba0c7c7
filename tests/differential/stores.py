"""The stores on which the programs run, all on the clock of the hub."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from durahub.backend import Backend, BackendServices
from durahub.clock import Clock, SystemClock, to_micros
from durahub.testing import MemoryBackend, MemorySettings, MemoryStore
from durahub_actors.backend import ActorsBackend
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores.memory import MemoryStateStore
from durahub_actors.stores.memory_state import MemoryState
from durahub_actors.stores.postgresql import PostgresStateStore, PostgresStoreSettings
from durahub_postgres import PostgresBackend, PostgresSettings
from durahub_sqlite import SqliteBackend, SqliteSettings

from tests.parity.disturbed import DisturbedBackend

NewBackend = Callable[[], Backend]
"""Returns another connection to one store."""

NewStore = Callable[[], AbstractContextManager[NewBackend]]
"""Makes a store in which no application has anything, which may be gone in the end."""

TIMELESS = frozenset({"get", "history", "list_instances"})

_OWN_CLOCK = """
CREATE SEQUENCE {hub}.clock;
CREATE OR REPLACE FUNCTION {hub}.hub_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $function$
  SELECT timestamptz 'epoch' + last_value * interval '1 microsecond' FROM {hub}.clock
$function$
"""


_OWN_MICROS = """
CREATE SEQUENCE {schema}.clock;
CREATE OR REPLACE FUNCTION {schema}.micros() RETURNS bigint LANGUAGE sql VOLATILE AS $function$
  SELECT last_value FROM {schema}.clock
$function$
"""


@contextmanager
def on_memory() -> Iterator[NewBackend]:
    store = MemoryStore()
    yield lambda: MemoryBackend(MemorySettings(), store)


@contextmanager
def on_actors() -> Iterator[NewBackend]:
    state = MemoryState()
    yield lambda: ActorsBackend(ActorsSettings(), MemoryStateStore(state))


@contextmanager
def on_actors_in_postgresql(url: str) -> Iterator[NewStore]:
    """Make a state store whose clock is not the server's; it serves all programs."""
    settings = PostgresStoreSettings(url=url, schema=f"differential_{uuid.uuid4().hex}")
    asyncio.run(_create_state(settings))

    @contextmanager
    def new_store() -> Iterator[NewBackend]:
        yield lambda: ActorsBackend(ActorsSettings(), ClockedStateStore(settings))

    try:
        yield new_store
    finally:
        asyncio.run(_execute(url, f"DROP SCHEMA {settings.schema} CASCADE"))


class ClockedStateStore(PostgresStateStore):
    """On PostgreSQL, and tells the store before each call what the time is."""

    def __init__(self, settings: PostgresStoreSettings) -> None:
        super().__init__(settings)
        self._set_clock = f"SELECT setval('{settings.schema}.clock', $1)"
        self._turn = asyncio.Lock()
        self._clock: Clock

    async def open(self, clock: Clock) -> None:
        self._clock = clock
        await super().open(clock)

    async def now(self) -> datetime:
        return self._clock.now()

    async def _call(self, statement: str, *parameters: object) -> list[Any]:
        async with self._turn:
            await self._connections.call(self._set_clock, to_micros(self._clock.now()))
        return await super()._call(statement, *parameters)


async def _create_state(settings: PostgresStoreSettings) -> None:
    store = PostgresStateStore(settings)
    await store.open(SystemClock())
    try:
        await store.create()
    finally:
        await store.close()
    await _execute(settings.url, _OWN_MICROS.replace("{schema}", settings.schema))


@contextmanager
def on_sqlite() -> Iterator[NewBackend]:
    with tempfile.TemporaryDirectory() as directory:
        settings = SqliteSettings.model_validate(
            {"connectionString": str(Path(directory) / "hub.db"), "synchronous": "normal"}
        )
        yield lambda: SqliteBackend(settings)


@contextmanager
def on_postgres(url: str) -> Iterator[NewStore]:
    """Make a task hub whose clock is not the server's; it serves all programs."""
    schema = f"differential_{uuid.uuid4().hex}"
    asyncio.run(_create(url, schema))

    @contextmanager
    def new_store() -> Iterator[NewBackend]:
        yield lambda: ClockedBackend(url, schema)

    try:
        yield new_store
    finally:
        asyncio.run(_execute(url, f"DROP SCHEMA {schema} CASCADE"))


class ClockedBackend(DisturbedBackend):
    """On Postgres, and tells the store before each call what the time is."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(_backend(url, schema))
        self.before = self._set
        self._url = url
        self._set_clock = f"SELECT setval('{schema}.clock', $1)"
        self._turn = asyncio.Lock()
        self._clock: Clock
        self._connection: asyncpg.Connection[Any]

    async def open(self, services: BackendServices) -> None:
        self._clock = services.clock
        self._connection = await asyncpg.connect(
            self._url, server_settings={"synchronous_commit": "off"}
        )
        try:
            await self.inner.open(services)
        except BaseException:
            self._connection.terminate()
            raise

    async def close(self) -> None:
        try:
            await self.inner.close()
        finally:
            await self._connection.close()

    async def _set(self, call: str) -> None:
        if call in TIMELESS:
            return
        async with self._turn:
            await self._connection.execute(self._set_clock, to_micros(self._clock.now()))


def _backend(url: str, schema: str) -> PostgresBackend:
    return PostgresBackend(
        PostgresSettings.model_validate({"connectionString": url, "schema": schema, "poolSize": 3})
    )


async def _create(url: str, schema: str) -> None:
    backend = _backend(url, schema)
    await backend.open(BackendServices(clock=SystemClock()))
    try:
        await backend.create_hub()
    finally:
        await backend.close()
    await _execute(url, _OWN_CLOCK.replace("{hub}", schema))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

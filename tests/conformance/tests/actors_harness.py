"""Harnesses for the actors backend; their probes read the state store by themselves."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import redis.asyncio
from durahub.backend import Backend
from durahub.clock import Clock, SystemClock
from durahub.errors import BackendLockedError
from durahub.testing import ManualClock
from durahub.types import InstanceKey
from durahub_actors.backend import ActorsBackend
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import MemoryState, MemoryStateStore, StateStore
from durahub_actors.stores.postgresql import PostgresStateStore, PostgresStoreSettings
from durahub_actors.stores.redis import RedisSettings, RedisStateStore
from durahub_actors.stores.redis.keys import bucket_of, find_tags, name_actor
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings
from durahub_actors.workflows.codec import decode_state
from durahub_actors.workflows.names import OUTBOX, Names
from durahub_conformance import Harness, Probe

from plugins.actors.tests.redis_hubs import redis_settings

NAMES = Names()

TIDY_S = 2.0
"""How long what has arrived may be in an outbox."""


class StoreProbe(Probe):
    """Reads a state store's values, whichever store it is.

    A subclass says what the store holds of an actor. What a turn has sent is removed from its outbox some
    time after it has arrived, and would look like a change: the probe waits for that, as long as it may take.
    """

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        deadline_s = time.monotonic() + TIDY_S
        while True:
            found = await self.all_rows(key)
            is_tidy = not any(OUTBOX in repr(row) for row in found["reminders"])
            if is_tidy or time.monotonic() > deadline_s:
                return found
            await asyncio.sleep(0.01)

    @abstractmethod
    async def all_rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]: ...

    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        values = await self.values(key)
        return [values[name] for name in sorted(values) if name.startswith("history-")]

    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        values = await self.values(key)
        if not values:
            return []
        return [one.message.payload for one in decode_state(key, values).inbox]

    @abstractmethod
    async def values(self, key: InstanceKey) -> Mapping[str, bytes]: ...


class MemoryProbe(StoreProbe):
    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def all_rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        actor = NAMES.actor_of(key)
        names = self._state.reminders.names(actor)
        entries = [(name, self._state.reminders.find(actor, name)) for name in sorted(names)]
        return deepcopy(
            {
                "state": sorted((await self.values(key)).items()),
                "reminders": [(name, entry.reminder, entry.holder) for name, entry in entries],
            }
        )

    async def values(self, key: InstanceKey) -> Mapping[str, bytes]:
        found = self._state.actors.get(NAMES.actor_of(key))
        return {} if found is None else dict(found.values)

    async def lose_event(self, key: InstanceKey) -> None:
        del self._state.actors[NAMES.actor_of(key)].values["history-000000"]


class SqliteProbe(StoreProbe):
    def __init__(self, path: Path) -> None:
        self._path = path

    async def all_rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        return {
            "actors": self._read("SELECT * FROM actors", key),
            **{
                table: self._read(f"SELECT t.* FROM {table} AS t JOIN actors USING (actor)", key)
                for table in ("state", "marks", "reminders")
            },
        }

    async def values(self, key: InstanceKey) -> Mapping[str, bytes]:
        return dict(self._read("SELECT key, value FROM state JOIN actors USING (actor)", key))

    async def lose_event(self, key: InstanceKey) -> None:
        (actor,) = self._read("SELECT actor FROM actors", key)[0]
        with closing(sqlite3.connect(self._path)) as connection, connection:
            lost = connection.execute(
                "DELETE FROM state WHERE actor = ? AND key = 'history-000000'", (actor,)
            )
            assert lost.rowcount == 1

    def _read(self, query: str, key: InstanceKey) -> list[tuple[Any, ...]]:
        where = f"{query} WHERE actors.type = ? AND actors.id = ?"
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(where, NAMES.actor_of(key)).fetchall()


class RedisProbe(StoreProbe):
    def __init__(self, url: str, settings: RedisSettings) -> None:
        self._url = url
        self._tags = find_tags(settings.task_hub)

    async def all_rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        found = {
            "state": await self._fields(key, ""),
            "reminders": await self._fields(key, ":reminders"),
        }
        return {kind: sorted(fields.items()) for kind, fields in found.items()}

    async def values(self, key: InstanceKey) -> Mapping[str, bytes]:
        # What does not begin a text in UTF-8 is the store's own.
        fields = await self._fields(key, "")
        return {name.decode(): value for name, value in fields.items() if name[:1] != b"\xff"}

    async def lose_event(self, key: InstanceKey) -> None:
        async with redis.asyncio.from_url(self._url) as server:
            assert await server.hdel(self._key(key, ""), "history-000000") == 1

    async def _fields(self, key: InstanceKey, kind: str) -> dict[bytes, bytes]:
        async with redis.asyncio.from_url(self._url) as server:
            fields: dict[bytes, bytes] = await server.hgetall(self._key(key, kind))
            return fields

    def _key(self, key: InstanceKey, kind: str) -> str:
        name = name_actor(NAMES.actor_of(key))
        return f"{self._tags[bucket_of(name)]}{kind}||{name}"


class PostgresProbe(StoreProbe):
    def __init__(self, settings: PostgresStoreSettings) -> None:
        self._settings = settings

    async def all_rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        return {
            table: [
                tuple(row) for row in await self._read(f"SELECT t.* FROM hub.{table} AS t", key)
            ]
            for table in ("actors", "state", "marks", "reminders")
        }

    async def values(self, key: InstanceKey) -> Mapping[str, bytes]:
        rows = await self._read("SELECT t.key, t.value FROM hub.state AS t", key)
        return {name.decode(): value for name, value in rows}

    async def lose_event(self, key: InstanceKey) -> None:
        lost = await self._read(
            "DELETE FROM hub.state AS t", key, "AND key = 'history-000000' RETURNING key"
        )
        assert len(lost) == 1

    async def _read(self, query: str, key: InstanceKey, more: str = "") -> list[Any]:
        where = "(SELECT actor FROM hub.actors WHERE type = $1 AND id = $2)"
        text = f"{query} WHERE t.actor = {where} {more}".replace(
            "hub.", f"{self._settings.schema}."
        )
        connection = await asyncpg.connect(self._settings.url)
        try:
            return await connection.fetch(text, *(part.encode() for part in NAMES.actor_of(key)))
        finally:
            await connection.close()


class ActorsHarness(Harness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self.state = MemoryState()

    def backend(self) -> Backend:
        return ActorsBackend(ActorsSettings(), self.store())

    def store(self) -> StateStore:
        return MemoryStateStore(self.state)

    @property
    def probe(self) -> Probe:
        return MemoryProbe(self.state)


class ExclusiveStore(MemoryStateStore):
    """A store that one process at a time can use, though its state outlives it."""

    def __init__(self, state: MemoryState, users: set[str]) -> None:
        super().__init__(state)
        self._users = users

    @property
    def is_shared(self) -> bool:
        return False

    async def open(self, clock: Clock) -> None:
        if self._users:
            raise BackendLockedError("another backend has exclusive use of this state")
        await super().open(clock)
        self._users.add("a process")

    async def close(self) -> None:
        self._users.clear()
        await super().close()


class ExclusiveActorsHarness(ActorsHarness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._users: set[str] = set()

    def store(self) -> MemoryStateStore:
        return ExclusiveStore(self.state, self._users)


class SqliteActorsHarness(ActorsHarness):
    def store(self) -> StateStore:
        return SqliteStateStore(SqliteStoreSettings(path=self.directory / "state.db"))

    @property
    def probe(self) -> Probe:
        return SqliteProbe(self.directory / "state.db")


class ServerHarness(Harness):
    """Over a store that a server keeps, whose clock waits for nobody.

    Attributes:
        url: Set by the test class, from the fixture that starts the server.
    """

    url: ClassVar[str]

    def backend(self) -> Backend:
        return ActorsBackend(ActorsSettings(), self.store())

    @abstractmethod
    def store(self) -> StateStore: ...

    @property
    def moment(self) -> timedelta:
        """Long enough for some calls of a busy machine."""
        return timedelta(seconds=0.6)

    async def dispose(self) -> None:
        store = self.store()
        await store.open(SystemClock())
        await store.delete()
        await store.close()


class RedisActorsHarness(ServerHarness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        # Of its own, because child processes get the attributes and not the class's.
        self._url = self.url
        self._settings = redis_settings(self._url)

    def store(self) -> StateStore:
        return RedisStateStore(self._settings)

    @property
    def probe(self) -> Probe:
        return RedisProbe(self._url, self._settings)


class PostgresActorsHarness(ServerHarness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._settings = PostgresStoreSettings(url=self.url, schema=f"kit_{uuid.uuid4().hex}")

    def store(self) -> StateStore:
        return PostgresStateStore(self._settings)

    @property
    def probe(self) -> Probe:
        return PostgresProbe(self._settings)

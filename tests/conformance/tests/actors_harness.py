"""Harnesses for the actors backend; their probes read the state store by themselves."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

from durahub.backend import Backend
from durahub.clock import Clock
from durahub.errors import BackendLockedError
from durahub.testing import ManualClock
from durahub.types import InstanceKey
from durahub_actors.backend import ActorsBackend
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import MemoryState, MemoryStateStore, StateStore
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings
from durahub_actors.workflows.codec import decode_state
from durahub_actors.workflows.names import Names
from durahub_conformance import Harness, Probe

FOREVER_S = 10**9
"""Longer than any test moves the clock: only sessions are to be declared dead."""

NAMES = Names()


class StoreProbe(Probe):
    """Reads a state store's values, whichever store it is.

    A subclass says what the store holds of an actor.
    """

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

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
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

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
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


class ActorsHarness(Harness):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self.state = MemoryState()

    def backend(self) -> Backend:
        settings = ActorsSettings.model_validate({"sessionTimeToLive": FOREVER_S})
        return ActorsBackend(settings, self.store())

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

"""The backend: each method of the contract as one call to the store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from durahub.backend import (
    NATIVE,
    NO_ROOM,
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    Capabilities,
    EndedInstances,
    EndedQuery,
    Heartbeat,
    Hint,
    InstanceClaims,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceView,
    Migration,
    Operation,
    Room,
    SchemaStatus,
    Session,
    Support,
    SupportLevel,
    WorkDue,
)
from durahub.clock import from_micros
from durahub.errors import BackendError
from durahub.types import InstanceKey, SessionId, TaskKey

from durahub_sqlite import claims, queries, schema, sessions
from durahub_sqlite.apply import apply_operations
from durahub_sqlite.settings import SqliteSettings
from durahub_sqlite.store import Store, open_store

_ONE_PROCESS = "one process at a time uses the file"

CAPABILITIES = Capabilities(
    durable=NATIVE,
    multi_process=Support(SupportLevel.NONE, _ONE_PROCESS),
    hints=Support(SupportLevel.NONE, f"{_ONE_PROCESS}, so no other session leaves anything"),
    limits=NATIVE,
)
"""What a file provides."""

MEMORY_CAPABILITIES = Capabilities(
    durable=Support(SupportLevel.NONE, "memory ends with the process"),
    multi_process=CAPABILITIES.multi_process,
    hints=CAPABILITIES.hints,
    limits=CAPABILITIES.limits,
)
"""What `sqlite://` provides."""


class SqliteBackend(Backend):
    """Keeps one task hub in one SQLite file, for one process."""

    def __init__(self, settings: SqliteSettings) -> None:
        self._settings = settings
        self._store: Store | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides."""
        return MEMORY_CAPABILITIES if self._settings.path is None else CAPABILITIES

    def describe(self) -> str:
        """Return which file it is."""
        return f"sqlite:{self._settings.path or ':memory:'}"

    # Life cycle

    async def open(self, services: BackendServices) -> None:
        """Lock the file, so that no other process can use it, and open it."""
        if self._store is not None:
            raise BackendError(f"{self.describe()} is open already")
        self._store = await open_store(self._settings, self.describe(), services.clock)

    async def close(self) -> None:
        """Wait for calls in progress, close the file and unlock it."""
        if self._store is not None:
            await self._store.close()
            self._store = None

    async def create_hub(self) -> None:
        """Create the tables, or bring older ones up to date."""
        place = self.describe()
        await self._opened().alter(lambda connection, now: schema.upgrade(connection, now, place))

    async def delete_hub(self) -> None:
        """Drop the tables; the file stays, and its space is used again."""
        await self._opened().alter(lambda connection, _: schema.drop(connection))

    async def schema_status(self) -> SchemaStatus:
        """Return which schema version the file has."""
        return SchemaStatus(found=self._opened().version, current=schema.SCHEMA_VERSION)

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return the steps to the current version, which are carried out as one."""
        steps = range((self._opened().version or 0) + 1, schema.SCHEMA_VERSION + 1)
        return tuple(Migration(f"schema version {step}", schema.script_of(step)) for step in steps)

    # Sessions

    async def register(self, session: Session) -> Heartbeat:
        """Make a session known and end all others: their processes no longer have the file."""

        def work(connection: sqlite3.Connection, now: int) -> Heartbeat:
            ended = sessions.register(connection, session, now)
            return Heartbeat(now=from_micros(now), fenced=ended)

        return await self._hub().write(work)

    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Tell whether a session lives. It is the only one, so there is nothing to write."""

        def work(connection: sqlite3.Connection, now: int) -> Heartbeat:
            sessions.require_alive(connection, session_id)
            return Heartbeat(now=from_micros(now), fenced=())

        return await self._hub().write(work)

    async def unregister(self, session_id: SessionId) -> None:
        """End a session."""
        await self._hub().write(
            lambda connection, now: sessions.unregister(connection, session_id, now)
        )

    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named."""
        await self._hub().write(
            lambda connection, _: sessions.release_except(connection, session_id, instances, tasks)
        )

    # Writing and claiming

    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch as one transaction, and claim what became due by it."""
        return await self._hub().write_claims(
            lambda connection, now: apply_operations(connection, session_id, operations, room, now)
        )

    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take due, unowned instances, longest due first."""
        return await self._hub().write_claims(
            lambda connection, now: claims.claim_instances(connection, session_id, limit, now)
        )

    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take unowned activity tasks, oldest first."""
        return await self._hub().write_claims(
            lambda connection, _: claims.claim_activities(connection, session_id, limit)
        )

    # Reading

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of the keys."""
        return await self._hub().read(
            lambda connection: queries.get(connection, keys, payloads=payloads)
        )

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys."""
        return await self._hub().read(lambda connection: queries.history(connection, keys))

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects."""
        return await self._hub().read(lambda connection: queries.list_instances(connection, query))

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return the instances that ended first with a status."""
        hub = self._hub()
        found = await hub.read(lambda connection: queries.list_ended(connection, query))
        return EndedInstances(instances=found, now=hub.now())

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Wait until cancelled: all that happens in the file is done by this process."""
        await asyncio.Event().wait()
        yield WorkDue()  # never reached; it is what makes this function an iterator

    async def now(self) -> datetime:
        """Return the host's clock, which is the store's for one process."""
        return self._opened().now()

    def _opened(self) -> Store:
        if self._store is None:
            raise BackendError(f"{self.describe()} is not open")
        return self._store

    def _hub(self) -> Store:
        store = self._opened()
        store.require_hub()
        return store

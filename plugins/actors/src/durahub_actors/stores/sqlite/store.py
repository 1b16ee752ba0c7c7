"""The store: one thread that writes, threads that read."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from durahub.backend import SchemaStatus
from durahub.clock import Clock
from durahub.errors import BackendError

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.saves import ActorId, ReminderId, Save, SaveResult
from durahub_actors.stores.sqlite.connection import Connection, transaction
from durahub_actors.stores.sqlite.errors import translate_errors
from durahub_actors.stores.sqlite.files import OpenFiles, open_files
from durahub_actors.stores.sqlite.leases import (
    acquire_lease,
    end_lease,
    living_leases,
    renew_leases,
)
from durahub_actors.stores.sqlite.queries import (
    count_held,
    find_due,
    find_held,
    find_marked,
    find_reminders,
    read_actor,
)
from durahub_actors.stores.sqlite.saves import carry_out
from durahub_actors.stores.sqlite.schema import SCHEMA_VERSION, drop, find_version, upgrade
from durahub_actors.stores.sqlite.settings import SqliteStoreSettings
from durahub_actors.stores.views import ActorState, DueReminders, MarkedActor

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]


class SqliteStateStore(StateStore):
    """Keeps actors in a SQLite file, which several processes of one machine may use.

    Calls that write run one after the other, on one thread, each in one transaction; a call that other
    processes keep waiting for longer than the time-out raises `BackendUnavailableError` and did nothing.

    Args:
        settings: Where, and how.
    """

    def __init__(self, settings: SqliteStoreSettings) -> None:
        self._settings = settings
        self._place = f"state.sqlite {settings.path or 'in memory'}"
        self._clock: Clock | None = None
        self._files: OpenFiles | None = None
        self._writer: Connection | None = None
        self._readers: list[Connection] = []

    @property
    def is_durable(self) -> bool:
        """Whether there is a file."""
        return self._settings.path is not None

    @property
    def is_shared(self) -> bool:
        """Whether there is a file."""
        return self._settings.path is not None

    def describe(self) -> str:
        """Return the path of the file."""
        return self._place

    async def open(self, clock: Clock) -> None:
        """Open the file, and create an empty one if it is missing."""
        if self._writer is not None:
            raise BackendError(f"{self._place} is open already")
        opening = asyncio.get_running_loop().run_in_executor(None, open_files, self._settings)
        with translate_errors(self._place):
            try:
                self._files = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unwanted)
                raise
        self._clock = clock
        self._writer = Connection(self._files.writer)
        self._readers = [Connection(reader) for reader in self._files.readers]
        for connection in (self._writer, *self._readers):
            await connection

    async def close(self) -> None:
        """Wait for calls in progress, then close the file."""
        if self._writer is None or self._files is None:
            return
        writer, self._writer = self._writer, None
        async with contextlib.AsyncExitStack() as closing:
            # In the opposite order, each of them even if one fails or the call is cancelled.
            closing.push_async_callback(asyncio.to_thread, self._files.close)
            for connection in (writer, *self._readers):
                closing.push_async_callback(_close, connection)

    async def create(self) -> None:
        """Create the tables in one transaction, or bring them up to date."""
        await self._write(lambda connection: upgrade(connection, self._place))

    async def delete(self) -> None:
        """Drop the tables in one transaction; the empty file stays."""
        await self._write(lambda connection: drop(connection, self._place))

    async def status(self) -> SchemaStatus:
        """Return the version in the file."""
        found = await self._read(lambda connection: find_version(connection, self._place))
        return SchemaStatus(found, SCHEMA_VERSION)

    async def now(self) -> datetime:
        """Return the time of the clock that `open` got."""
        self._require_open()
        return self._time()

    # Actors

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        """Carry out saves in one transaction."""
        return await self._write(lambda connection: carry_out(connection, saves))

    async def read(
        self, actors: Sequence[ActorId], *, keys: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> tuple[ActorState | None, ...]:
        """Return values of actors, all of one moment."""
        return await self._read(
            lambda connection: tuple(
                [read_actor(connection, actor, keys, prefixes) for actor in actors]
            )
        )

    async def marked(
        self,
        actor_type: str,
        index: str,
        *,
        after: tuple[int, str] | None,
        limit: int,
        key: str,
    ) -> tuple[MarkedActor, ...]:
        """Return actors by rank, with a value of the same moment."""
        return await self._read(
            lambda connection: find_marked(connection, actor_type, index, after, limit, key)
        )

    # Reminders

    async def due(self, queue: str, limit: int) -> DueReminders:
        """Return what is due and held by nobody."""
        return await self._read(lambda connection: find_due(connection, queue, limit, self._time()))

    async def held(self, lease: str) -> tuple[ReminderId, ...]:
        """Return the reminders that a lease holds."""
        return await self._read(lambda connection: find_held(connection, lease))

    async def held_labels(self, queue: str) -> Mapping[str, int]:
        """Return how many reminders of a queue are held, by label."""
        return await self._read(lambda connection: count_held(connection, queue))

    async def reminders(self, home: ActorId) -> tuple[ReminderId, ...]:
        """Return the reminders of an actor."""
        return await self._read(lambda connection: find_reminders(connection, home))

    # Leases

    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known, and end what is overdue."""
        return await self._write(lambda connection: acquire_lease(connection, lease, self._time()))

    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Renew leases, and end what else is overdue."""
        return await self._write(lambda connection: renew_leases(connection, names, self._time()))

    async def release(self, name: str) -> None:
        """End a lease and free what it held."""
        await self._write(lambda connection: end_lease(connection, name))

    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that live."""
        return await self._read(living_leases)

    # Threads

    async def _read(self, work: Work[T]) -> T:
        writer = self._require_open()

        def run(connection: sqlite3.Connection) -> T:
            with transaction(connection, write=False):
                return work(connection)

        reader = min(self._readers or [writer], key=lambda connection: connection.pending)
        with translate_errors(self._place):
            return await reader.run(run)

    async def _write(self, work: Work[T]) -> T:
        writer, files = self._require_open(), self._files
        assert files is not None

        def run(connection: sqlite3.Connection) -> T:
            files.check_identity()
            with transaction(connection, write=True):
                return work(connection)

        with translate_errors(self._place):
            return await writer.run(run)

    def _require_open(self) -> Connection:
        if self._writer is None:
            raise BackendError(f"{self._place} is not open")
        return self._writer

    def _time(self) -> datetime:
        assert self._clock is not None
        return self._clock.now()


async def _close(connection: Connection) -> None:
    # A lost file can't be closed well, and there is nobody whom that could help.
    with contextlib.suppress(sqlite3.Error):
        await connection.close()


def _close_unwanted(opening: asyncio.Future[OpenFiles]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

"""The open store: one thread that writes, threads that read, and the order of calls."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from durahub.clock import Clock, to_micros
from durahub.errors import BackendError, TaskHubNotFoundError

from durahub_sqlite.claims import Claimed
from durahub_sqlite.connection import Connection, read_transaction, write_transaction
from durahub_sqlite.errors import translate_errors
from durahub_sqlite.files import OpenFiles, open_files
from durahub_sqlite.schema import SCHEMA_VERSION, find_version
from durahub_sqlite.sessions import release_listed
from durahub_sqlite.settings import SqliteSettings

T = TypeVar("T")

Read = Callable[[sqlite3.Connection], T]

Write = Callable[[sqlite3.Connection, int], T]
"""Takes the connection and the store's clock in microseconds."""


async def open_store(settings: SqliteSettings, place: str, clock: Clock) -> Store:
    """Open what the settings name; what was opened is closed again if this raises.

    Raises:
        BackendError: As `Backend.open`.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, open_files, settings)
    with translate_errors(place):
        try:
            files = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
    store = Store(files, place, clock)
    try:
        await store.start()
    except BaseException:
        await store.close()
        raise
    return store


class Store:
    """An open file, or memory.

    Calls that write run one after the other, on one thread; each is one transaction.

    Args:
        files: What was opened; this object closes it.
        place: What `Backend.describe` returns.
        clock: The store's clock.
    """

    def __init__(self, files: OpenFiles, place: str, clock: Clock) -> None:
        self._files = files
        self._place = place
        self._clock = clock
        self._writer = Connection(files.writer)
        self._readers = [Connection(reader) for reader in files.readers]
        self._writing = asyncio.Lock()
        self._is_open = True
        self.version = files.version
        """Version of the schema; None if there is no task hub."""

    async def start(self) -> None:
        """Start the threads."""
        for connection in (self._writer, *self._readers):
            await connection

    async def close(self) -> None:
        """Wait for calls in progress, then close everything. Idempotent."""
        async with self._writing:
            self._is_open = False
            async with contextlib.AsyncExitStack() as closing:
                # In the opposite order, each of them even if one fails or the call is cancelled.
                closing.push_async_callback(asyncio.to_thread, self._files.close)
                for connection in (self._writer, *self._readers):
                    closing.push_async_callback(_close, connection)

    def require_hub(self) -> None:
        """Refuse to work without a task hub of the present schema.

        Raises:
            TaskHubNotFoundError: There is none.
        """
        if self.version != SCHEMA_VERSION:
            raise TaskHubNotFoundError(
                f"{self._place} holds no task hub of schema version {SCHEMA_VERSION}; create it first"
            )

    def now(self) -> datetime:
        """Return the store's clock."""
        self._require_open()
        return self._clock.now()

    async def read(self, work: Read[T]) -> T:
        """Run `work` inside one read transaction."""
        self._require_open()

        def run(connection: sqlite3.Connection) -> T:
            with read_transaction(connection):
                return work(connection)

        reader = min(self._readers or [self._writer], key=lambda connection: connection.pending)
        with translate_errors(self._place):
            return await reader.run(run)

    async def write(self, work: Write[T]) -> T:
        """Run `work` inside one write transaction; return when it is durable."""
        async with self._writing:
            return await self._run(self._in_transaction(work))

    async def alter(self, work: Write[None]) -> None:
        """Run `work`, which creates or drops tables, inside one write transaction."""

        def run(connection: sqlite3.Connection) -> None:
            alter(connection)
            self.version = find_version(connection, self._place)

        async with self._writing:
            alter = self._in_transaction(work)
            await self._run(run)

    async def write_claims(self, work: Write[tuple[T, Claimed]]) -> T:
        """Run `work`, which claims, inside one write transaction.

        A caller that is cancelled never learns what it got, so that is given back, before the calls
        behind it run: none of them can get and then lose what this one had.
        """
        outcomes: list[tuple[T, Claimed]] = []
        async with self._writing:
            run = self._in_transaction(work)
            try:
                await self._run(lambda connection: outcomes.append(run(connection)))
            except asyncio.CancelledError:
                # It queues behind the call itself, and stays there if this is cancelled once more. Where
                # it fails, `Backend.release_except` is what helps.
                with contextlib.suppress(BackendError):
                    await self._run(lambda connection: _give_back(connection, outcomes))
                raise
        return outcomes[0][0]

    def _in_transaction(self, work: Write[T]) -> Read[T]:
        now = to_micros(self.now())

        def run(connection: sqlite3.Connection) -> T:
            self._files.check_identity()
            with write_transaction(connection):
                return work(connection, now)

        return run

    async def _run(self, work: Read[T]) -> T:
        self._require_open()
        with translate_errors(self._place):
            return await self._writer.run(work)

    def _require_open(self) -> None:
        if not self._is_open:
            raise BackendError(f"{self._place} is closed")


def _give_back(connection: sqlite3.Connection, outcomes: list[tuple[T, Claimed]]) -> None:
    for _, claimed in outcomes:
        with write_transaction(connection):
            release_listed(
                connection, claimed.owner, list(claimed.instances), list(claimed.activities)
            )


async def _close(connection: Connection) -> None:
    # A lost file can't be closed well, and there is nobody whom that could help.
    with contextlib.suppress(sqlite3.Error):
        await connection.close()


def _close_unwanted(opening: asyncio.Future[OpenFiles]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

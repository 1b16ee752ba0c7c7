"""Connections to the database, and calls on them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from durahub.errors import BackendError

from durahub_actors.stores.postgresql.errors import is_to_be_retried, translate_errors
from durahub_actors.stores.postgresql.settings import PostgresStoreSettings

Connection = Any
"""A connection of asyncpg, or one lent by its pool."""

OLDEST_SERVER = 14

_ATTEMPTS = 5
"""How often a transaction that others made impossible is run before that is told to the caller."""

_RETRY_S = 0.005
"""Longest pause before the second attempt; it doubles with each further one."""

_GRACE_S = 5.0
"""How much longer than the server's own time-out a call may take before the connection counts as lost."""


class Connections:
    """The connections of one open store.

    Args:
        settings: How to connect.
        place: What the store is called in messages.
    """

    def __init__(self, settings: PostgresStoreSettings, place: str) -> None:
        self._settings = settings
        self._place = place
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._users = 0
        self._is_unused = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether calls may be made."""
        return self._pool is not None

    async def open(self) -> None:
        """Look at the server once, and prepare connections to it.

        Raises:
            BackendUnavailableError: The server can't be reached; opening again may succeed.
            BackendError: It can be reached and won't do; the message says why.
        """
        with translate_errors(self._place):
            arguments = self._arguments()
            connection = await asyncpg.connect(**arguments)
            try:
                is_durable = await self._examine(connection)
            finally:
                await connection.close(timeout=self._settings.timeout_s)
            if not is_durable:
                arguments["server_settings"]["synchronous_commit"] = "on"
            self._pool = await asyncpg.create_pool(
                min_size=1,
                max_size=self._settings.pool_size,
                max_inactive_connection_lifetime=0,
                reset=_keep_as_it_is,
                **arguments,
            )

    async def close(self) -> None:
        """Wait for calls in progress and close everything. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._settings.timeout_s + _GRACE_S):
                # The pool itself closes connections under those who waited for one when this began.
                while self._users:
                    self._is_unused.clear()
                    await self._is_unused.wait()
                await pool.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()

    async def call(self, statement: str, *parameters: object) -> list[asyncpg.Record]:
        """Run one statement as one transaction, in one round trip, and return its rows.

        Raises:
            BackendError: As `translate_errors`.
        """
        with translate_errors(self._place):
            for attempt in range(1, _ATTEMPTS):
                try:
                    return await self._run(statement, parameters)
                except asyncpg.PostgresError as error:
                    if not is_to_be_retried(error):
                        raise
                await asyncio.sleep(random.uniform(0, _RETRY_S * 2**attempt))  # noqa: S311
            return await self._run(statement, parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction."""
        with translate_errors(self._place):
            async with self._borrow() as connection, connection.transaction():
                yield connection

    async def forget(self) -> None:
        """Drop what connections remember of the schema, which has changed."""
        if self._pool is not None:
            await self._pool.expire_connections()

    async def _run(self, statement: str, parameters: tuple[object, ...]) -> list[asyncpg.Record]:
        async with self._borrow() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            return rows

    @asynccontextmanager
    async def _borrow(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise BackendError(f"{self._place} is not open")
        self._users += 1
        try:
            async with self._pool.acquire(timeout=2 * self._settings.timeout_s) as connection:
                yield connection
        finally:
            self._users -= 1
            self._is_unused.set()

    async def _examine(self, connection: Connection) -> bool:
        """Return whether the server commits durably, as it is set; refuse one that won't do."""
        version = connection.get_server_version()
        if version.major < OLDEST_SERVER:
            raise BackendError(
                f"{self._place}: the server is Postgres {version.major}, and this program needs"
                f" {OLDEST_SERVER} or newer"
            )
        commit = await connection.fetchval("SELECT current_setting('synchronous_commit')")
        return bool(commit != "off")

    def _arguments(self) -> dict[str, Any]:
        return {
            "dsn": self._settings.url,
            "timeout": self._settings.timeout_s,
            "command_timeout": self._settings.timeout_s + _GRACE_S,
            "statement_cache_size": 100 if self._settings.prepares else 0,
            "server_settings": {
                "application_name": "durahub state store",
                "statement_timeout": str(round(self._settings.timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "60000",
                "default_transaction_isolation": "read committed",
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
                "jit": "off",
            },
        }


async def _keep_as_it_is(_: Connection) -> None:
    """Give a connection back without the round trip that would reset what we never change."""

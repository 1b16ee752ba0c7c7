"""Connections to the database: how they are made, lent, and used for one call."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from durahub.errors import BackendError

from durahub_postgres.errors import is_outdated, is_to_be_retried, translate_errors
from durahub_postgres.schema import Connection, Hub, require_utf8
from durahub_postgres.settings import PostgresSettings

OLDEST_SERVER = 14
"""Oldest version of Postgres that has what the functions use."""

_ATTEMPTS = 5
"""How often a transaction that others made impossible is run before that is told to the caller."""

_RETRY_S = 0.005
"""Longest pause before the second attempt; it doubles with each further one."""

_GRACE_S = 5.0
"""How much longer than the server's own time-out a call may take before the connection counts as lost."""


class Connections:
    """The connections of one open backend.

    Args:
        settings: How to connect.
        hub: The task hub, for messages.
        name: What the server calls our connections; unique.
    """

    def __init__(self, settings: PostgresSettings, hub: Hub, name: str) -> None:
        self._settings = settings
        self._hub = hub
        self._name = name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._users = 0
        self._is_unused = asyncio.Event()
        self._is_durable = True
        self.is_pooled = False
        """Whether a pooler is between, so that no state of a connection lasts beyond a transaction."""

    async def open(self) -> None:
        """Look at the server once, and prepare connections to it.

        Raises:
            BackendUnavailableError: The server can't be reached; opening again may succeed.
            BackendError: It can be reached and won't do; the message says why.
        """
        for path in self._settings.certificates:
            if not await asyncio.to_thread(path.is_file):
                raise BackendError(f"{self._hub.place}: there is no file at {path}")
        async with self._first_look() as connection:
            await self._examine(connection)
        with translate_errors(self._hub.place), _explain_tls(self._hub.place):
            self._pool = await asyncpg.create_pool(
                min_size=1,
                max_size=self._settings.pool_size,
                max_inactive_connection_lifetime=0,
                reset=_keep_as_it_is,
                **self._arguments(),
            )

    async def close(self) -> None:
        """Wait for calls in progress and close everything. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        longest_s = self._settings.statement_timeout + _GRACE_S
        try:
            async with asyncio.timeout(longest_s):
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
        sql = self._hub.sql(statement)
        with translate_errors(self._hub.place):
            for attempt in range(1, _ATTEMPTS):
                try:
                    return await self._run(sql, parameters)
                except asyncpg.PostgresError as error:
                    if not is_to_be_retried(error):
                        raise
                await asyncio.sleep(random.uniform(0, _RETRY_S * 2**attempt))  # noqa: S311
            return await self._run(sql, parameters)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Lend a connection for transactions of the caller's own."""
        with translate_errors(self._hub.place):
            async with self._borrow() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Make a connection that is nobody else's, and close it in the end."""
        with translate_errors(self._hub.place):
            connection = await asyncpg.connect(**self._arguments())
            try:
                yield connection
            finally:
                connection.terminate()

    async def forget(self) -> None:
        """Drop what connections remember of the schema, which has changed."""
        if self._pool is not None:
            await self._pool.expire_connections()

    @property
    def _patience_s(self) -> float:
        return self._settings.connect_timeout + self._settings.statement_timeout

    def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise BackendError(f"{self._hub.place} is closed")
        return self._pool

    @asynccontextmanager
    async def _borrow(self) -> AsyncIterator[Connection]:
        pool = self._opened()
        self._users += 1
        try:
            async with pool.acquire(timeout=self._patience_s) as connection:
                yield connection
        finally:
            self._users -= 1
            self._is_unused.set()

    async def _run(self, sql: str, parameters: tuple[object, ...]) -> list[asyncpg.Record]:
        try:
            async with self._borrow() as connection:
                rows: list[asyncpg.Record]
                if not self.is_pooled:
                    rows = await connection.fetch(sql, *parameters)
                    return rows
                # Nothing but a transaction keeps the same server behind us.
                async with connection.transaction(isolation="read_committed"):
                    await connection.execute(self._local_settings())
                    rows = await connection.fetch(sql, *parameters)
                return rows
        except (asyncpg.PostgresError, asyncpg.InternalClientError) as error:
            if is_outdated(error):
                await self.forget()
            raise

    @asynccontextmanager
    async def _first_look(self) -> AsyncIterator[Connection]:
        with translate_errors(self._hub.place), _explain_tls(self._hub.place):
            connection = await asyncpg.connect(
                dsn=self._settings.connection_string.get_secret_value(),
                timeout=self._settings.connect_timeout,
                command_timeout=self._settings.statement_timeout,
                statement_cache_size=0,
                server_settings={"application_name": self._name},
            )
            try:
                async with connection.transaction():
                    yield connection
            finally:
                await connection.close(timeout=self._settings.connect_timeout)

    async def _examine(self, connection: Connection) -> None:
        version = connection.get_server_version()
        if version.major < OLDEST_SERVER:
            raise BackendError(
                f"{self._hub.place}: the server is Postgres {version.major}, and this program needs"
                f" {OLDEST_SERVER} or newer"
            )
        await require_utf8(connection, self._hub)
        process, commit = await connection.fetchrow(
            "SELECT pg_backend_pid(), current_setting('synchronous_commit')"
        )
        self._is_durable = commit != "off"
        # A pooler answers for the server when a connection begins, and invents the number of a process.
        invented = process != connection.get_server_pid()
        self.is_pooled = self._settings.notifications == "off" or (
            self._settings.notifications == "auto" and invented
        )

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "dsn": self._settings.connection_string.get_secret_value(),
            "timeout": self._settings.connect_timeout,
            "command_timeout": self._settings.statement_timeout + _GRACE_S,
            "server_settings": {"application_name": self._name},
        }
        if self.is_pooled:
            arguments["statement_cache_size"] = 0
        else:
            arguments["server_settings"] |= self._session_settings()
        return arguments

    def _session_settings(self) -> dict[str, str]:
        settings = {
            "statement_timeout": str(round(self._settings.statement_timeout * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "default_transaction_isolation": "read committed",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "jit": "off",
        }
        if not self._is_durable:
            settings["synchronous_commit"] = "on"
        return settings

    def _local_settings(self) -> str:
        settings = [
            f"SET LOCAL statement_timeout = {round(self._settings.statement_timeout * 1000)}"
        ]
        if not self._is_durable:
            settings.append("SET LOCAL synchronous_commit = on")
        return "; ".join(settings)


async def _keep_as_it_is(_: Connection) -> None:
    """Give a connection back without the round trip that would reset what we never change."""


@contextlib.contextmanager
def _explain_tls(place: str) -> Any:
    try:
        yield
    except ssl.SSLError as error:
        raise BackendError(
            f"{place}: no secure connection: {error.reason or type(error).__name__};"
            " check sslmode, sslrootcert and the server's certificate"
        ) from error
    except asyncpg.ClientConfigurationError as error:
        raise BackendError(f"{place}: connectionString can't be used: {error}") from None

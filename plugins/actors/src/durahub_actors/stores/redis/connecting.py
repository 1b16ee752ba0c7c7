"""How connections to servers are made."""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff

from durahub_actors.stores.redis.settings import RedisSettings


class TlsConnection(SSLConnection):
    """A secure connection with a context that exists already: making one reads files.

    Args:
        context: What both sides have to show.
        arguments: As with every connection.
    """

    def __init__(self, *, context: ssl.SSLContext, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.ssl_context.context = context


class SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    """A secure connection to the server that the sentinels name."""


def make_tls_context(settings: RedisSettings) -> ssl.SSLContext:
    """Return what secure connections use. Reads files and blocks.

    Raises:
        ssl.SSLError: A certificate or a key is none.
    """
    context = ssl.create_default_context(cadata=settings.ca_cert or None)
    if settings.client_cert:
        _load_certificate(
            context, settings.client_cert + "\n" + settings.client_key.get_secret_value()
        )
    return context


def _load_certificate(context: ssl.SSLContext, pem: str) -> None:
    # OpenSSL takes certificates only from a file; this one nobody else can read, and it is gone at once.
    descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(pem)
        context.load_cert_chain(path)
    finally:
        with suppress(FileNotFoundError):
            Path(path).unlink()


class Connector:
    """Makes clients for servers; each has a pool of connections of its own.

    Args:
        settings: How to connect.
        context: For secure connections; None for others.
    """

    def __init__(self, settings: RedisSettings, context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._context = context

    def connect_to(self, host: str, port: int) -> Redis:
        """Return a client of one server, which connects when it is used."""
        return Redis.from_pool(
            ConnectionPool(
                connection_class=Connection if self._context is None else TlsConnection,
                host=host,
                port=port,
                **self._arguments(),
            )
        )

    def connect_to_primary(self) -> tuple[Redis, list[Redis]]:
        """Return a client of the server that the sentinels name, and the clients of the sentinels."""
        sentinels = [self._connect_to_sentinel(*address) for address in self._settings.addresses]
        manager = Sentinel([])  # type: ignore[no-untyped-call]
        manager.sentinels = sentinels
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            self._settings.sentinel_master_name,
            manager,
            connection_class=(
                SentinelManagedConnection if self._context is None else SentinelTlsConnection
            ),
            **self._arguments(),
        )
        return Redis.from_pool(pool), sentinels

    def _connect_to_sentinel(self, host: str, port: int) -> Redis:
        arguments = self._arguments() | {
            "db": 0,
            "username": self._settings.sentinel_username or None,
            "password": self._settings.sentinel_password.get_secret_value() or None,
        }
        connection_class = Connection if self._context is None else TlsConnection
        return Redis.from_pool(
            ConnectionPool(connection_class=connection_class, host=host, port=port, **arguments)
        )

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "db": self._settings.redis_db,
            "username": self._settings.redis_username or None,
            "password": self._settings.redis_password.get_secret_value() or None,
            "socket_connect_timeout": self._settings.dial_timeout,
            "socket_timeout": self._settings.read_timeout,
            "client_name": f"durahub-{self._settings.task_hub}",
            "protocol": 2,
            # A repeated write would be refused for what its first attempt did. The sidecar repeats.
            "retry": Retry(NoBackoff(), 0),
        }
        if self._context is not None:
            arguments["context"] = self._context
        return arguments

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from durahub.backend import BackendServices
from durahub.clock import SystemClock
from durahub_postgres import PostgresBackend, PostgresSettings

from tests.making import Hub, Make


class PostgresHub(Hub[PostgresBackend]):
    """A hub in a schema, and a connection past it."""

    def __init__(self, backend: PostgresBackend, schema: str, sql: asyncpg.Connection[Any]) -> None:
        super().__init__(backend)
        self.schema = schema
        self.sql = sql


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def services() -> BackendServices:
    return BackendServices(clock=SystemClock())


@pytest.fixture
def url_of(postgres_url: str) -> Callable[..., str]:
    """Returns the URL of the server with another role, or another database, in it."""

    def url(*, role: str = "", password: str = "secret", database: str = "") -> str:
        parts = urlsplit(postgres_url)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(
            netloc=f"{role}:{password}@{host}" if role else parts.netloc,
            path=f"/{database}" if database else parts.path,
        ).geturl()

    return url


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def schema(sql: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A name for a task hub, which is dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    await sql.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def settings(postgres_url: str, schema: str) -> Callable[..., PostgresSettings]:
    def new(**fields: Any) -> PostgresSettings:
        plain = {"connectionString": postgres_url, "schema": schema, "poolSize": 4}
        return PostgresSettings.model_validate(plain | fields)

    return new


@pytest.fixture
async def new_backend(
    settings: Callable[..., PostgresSettings], services: BackendServices
) -> AsyncIterator[Callable[..., Any]]:
    """Opens backends, by default on one task hub; they are closed at the end."""
    made: list[PostgresBackend] = []

    async def new(**fields: Any) -> PostgresBackend:
        backend = PostgresBackend(settings(**fields))
        await backend.open(services)
        made.append(backend)
        return backend

    yield new
    for backend in made:
        await backend.close()


@pytest.fixture
async def hub(
    new_backend: Callable[..., Any], schema: str, sql: asyncpg.Connection[Any]
) -> PostgresHub:
    backend = await new_backend()
    await backend.create_hub()
    await backend.register(Make.registration())
    await sql.execute(f"SET search_path = {schema}")
    return PostgresHub(backend, schema, sql)

"""The PostgreSQL store and its server: connections, refusals, and secrets."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from durahub.clock import SystemClock
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SchemaVersionError,
)
from durahub_actors.stores import ActorId, Save, Saved
from durahub_actors.stores.components import StateComponent
from durahub_actors.stores.postgresql import PostgresStateStore, PostgresStoreSettings
from durahub_actors.stores.postgresql.metadata import postgres_settings

SAVE = Save(actor=ActorId("type", "x"), etag="e", put={"a": b"1"})


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def schema(sql: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    name = f"state_{uuid.uuid4().hex}"
    yield name
    await sql.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
async def store(postgres_url: str, schema: str) -> AsyncIterator[PostgresStateStore]:
    store = PostgresStateStore(PostgresStoreSettings(url=postgres_url, schema=schema))
    await store.open(SystemClock())
    await store.create()
    yield store
    await store.close()


async def test_connects_by_the_metadata_of_a_component(postgres_url: str, schema: str) -> None:
    parts = urlsplit(postgres_url)
    host = parse_qs(parts.query)["host"][0] if not parts.hostname else parts.hostname
    metadata = {
        "connectionString": f"host={host} user={parts.username} connect_timeout=3",
        "database": parts.path.strip("/"),
        "schema": schema,
        "queryExecMode": "exec",
    }
    if parts.port:
        metadata["port"] = str(parts.port)
    if parts.password:
        metadata["password"] = parts.password
    component = StateComponent(name="s", type="state.postgresql", metadata=metadata)
    store = PostgresStateStore(postgres_settings(component))
    await store.open(SystemClock())
    await store.create()
    assert await store.write([SAVE]) == (Saved(etag="e"),)
    await store.close()


async def test_lost_connections_are_told_and_made_anew(
    store: PostgresStateStore, sql: asyncpg.Connection[Any]
) -> None:
    await store.write([SAVE])
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'durahub state store' AND datname = current_database()"
    )
    for _ in range(10):
        try:
            (state,) = await store.read([SAVE.actor])
        except BackendUnavailableError:
            continue
        break
    assert state is not None


async def test_server_that_is_not_there_is_unavailable() -> None:
    settings = PostgresStoreSettings(url="postgresql://u:hunter2@127.0.0.1:1/db")
    store = PostgresStateStore(settings)
    with pytest.raises(BackendUnavailableError, match="can't be reached") as caught:
        await store.open(SystemClock())
    assert "hunter2" not in f"{caught.value} {store.describe()}"
    await store.close()


async def test_missing_database_is_told(postgres_url: str) -> None:
    url = urlsplit(postgres_url)._replace(path="/missing").geturl()
    with pytest.raises(BackendError, match="does not exist"):
        await PostgresStateStore(PostgresStoreSettings(url=url)).open(SystemClock())


async def test_schema_with_other_things_is_left_alone(
    store: PostgresStateStore, sql: asyncpg.Connection[Any], schema: str
) -> None:
    await store.delete()
    await sql.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.theirs ()")
    for call in (store.create, store.delete, store.status):
        with pytest.raises(BackendCorruptionError, match="other things"):
            await call()
    await sql.execute(f"SELECT * FROM {schema}.theirs")


async def test_newer_schema_is_refused(
    store: PostgresStateStore, sql: asyncpg.Connection[Any], schema: str
) -> None:
    await sql.execute(f"INSERT INTO {schema}.meta VALUES (99)")
    with pytest.raises(SchemaVersionError) as caught:
        await store.create()
    assert (caught.value.found, caught.value.supported) == (99, 1)


async def test_writes_in_one_transaction_and_leaves_no_empty_actors(
    store: PostgresStateStore, sql: asyncpg.Connection[Any], schema: str
) -> None:
    saves = [Save(actor=ActorId("type", str(number)), etag="e") for number in range(50)]
    await store.write(saves)
    rows = await sql.fetch(f"SELECT DISTINCT xmin::text FROM {schema}.actors")
    assert len(rows) == 1
    refused = [Save(actor=ActorId("none", save.actor.id), expected="x", etag="e") for save in saves]
    await store.write([*refused, *(Save(actor=save.actor, erase=True) for save in saves)])
    assert await sql.fetchval(f"SELECT count(*) FROM {schema}.actors") == 0


async def test_people_see_the_keys_of_dapr(
    store: PostgresStateStore, sql: asyncpg.Connection[Any], schema: str
) -> None:
    await store.write([SAVE])
    (row,) = await sql.fetch(f"SELECT * FROM {schema}.keys")
    assert tuple(row) == ("type||x||a", b"1")


async def test_overlong_name_is_refused(store: PostgresStateStore) -> None:
    # Not compressible, for what counts is the size in the index.
    long = "".join(uuid.uuid4().hex for _ in range(300))
    with pytest.raises(BackendError, match="too long"):
        await store.write([Save(actor=ActorId("type", long), etag="e")])
    assert await store.write([SAVE]) == (Saved(etag="e"),)

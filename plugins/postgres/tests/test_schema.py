"""Migrations: two at once, half done, too new, of somebody else, and by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    SchemaVersionError,
    TaskHubNotFoundError,
)
from durahub_postgres import schema as schemas
from durahub_postgres.schema import Migration

RELEASED = schemas.MIGRATIONS
NAMES = [migration.name for migration in RELEASED]
NOW = len(RELEASED)
"""The version that this program writes."""


@pytest.fixture
def further(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Adds a migration to a version that no program knows yet."""
    read = schemas.read_sql

    def add(sql: str) -> None:
        monkeypatch.setattr(
            schemas, "read_sql", lambda name: sql if name == "further" else read(name)
        )
        further = Migration("further", ("further",))
        monkeypatch.setattr(schemas, "MIGRATIONS", (*RELEASED, further))

    return add


async def test_many_that_start_at_once_all_succeed(new_backend: Callable[..., Any]) -> None:
    backends = [await new_backend() for _ in range(5)]
    await asyncio.gather(*(backend.create_hub() for backend in backends))
    for backend in backends:
        assert await backend.schema_status() == (NOW, NOW)


async def test_newer_schema_is_refused_and_left_as_it_is(
    hub: Any, new_backend: Callable[..., Any]
) -> None:
    await hub.sql.execute("INSERT INTO meta (version, name) VALUES (99, 'future')")
    with pytest.raises(SchemaVersionError, match="newer durahub-postgres") as caught:
        await new_backend()
    assert (caught.value.found, caught.value.supported) == (99, NOW)
    with pytest.raises(SchemaVersionError):
        await hub.backend.create_hub()


async def test_older_schema_is_brought_up_to_date(
    hub: Any, make: Any, new_backend: Callable[..., Any], further: Callable[[str], None]
) -> None:
    await hub.apply(make.creation("one"))
    further("ALTER TABLE {hub}.instances ADD COLUMN extra text")
    backend = await new_backend()
    with pytest.raises(TaskHubNotFoundError, match=f"schema version {NOW + 1}"):
        await backend.heartbeat(make.session)
    await backend.create_hub()
    assert await backend.schema_status() == (NOW + 1, NOW + 1)
    assert await hub.sql.fetchval("SELECT count(*) FROM instances") == 1


async def test_hub_of_the_first_version_goes_on_under_the_newest(
    make: Any, new_backend: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar of the older program may run on meanwhile."""
    older, newer = await new_backend(), await new_backend()
    with monkeypatch.context() as earlier:
        earlier.setattr(schemas, "MIGRATIONS", RELEASED[:1])
        await older.create_hub()
        await older.register(make.registration("older"))
        await older.apply("older", [make.creation("one")], make.room)
    await newer.create_hub()
    await newer.register(make.registration("newer"))
    with monkeypatch.context() as earlier:
        earlier.setattr(schemas, "MIGRATIONS", RELEASED[:1])
        await older.heartbeat("older")
        await older.unregister("older")
    (claimed,) = (await newer.claim_instances("newer", 10)).instances
    await newer.apply("newer", [make.turn(claimed)], make.room)


async def test_half_done_migration_is_undone_and_resumed(
    hub: Any, make: Any, further: Callable[[str], None]
) -> None:
    await hub.apply(make.creation("one"))
    further("ALTER TABLE {hub}.instances ADD COLUMN extra text; SELECT 1 / 0")
    with pytest.raises(BackendError, match="22012"):
        await hub.backend.create_hub()
    assert await hub.backend.schema_status() == (NOW, NOW + 1)
    further("ALTER TABLE {hub}.instances ADD COLUMN extra text")
    await hub.backend.create_hub()
    assert await hub.backend.schema_status() == (NOW + 1, NOW + 1)
    assert await hub.sql.fetchval("SELECT count(*) FROM instances WHERE extra IS NULL") == 1


async def test_schema_of_somebody_else_is_left_alone(
    sql: Any, schema: str, new_backend: Callable[..., Any]
) -> None:
    backend = await new_backend()
    await sql.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.precious (x int)")
    for call in (backend.create_hub, backend.delete_hub, backend.schema_status, new_backend):
        with pytest.raises(BackendCorruptionError, match="other things"):
            await call()
    assert await sql.fetchval(f"SELECT count(*) FROM {schema}.precious") == 0


async def test_user_without_the_right_to_create_schemas_may_be_given_one(
    sql: Any, schema: str, url_of: Callable[..., str], new_backend: Callable[..., Any], make: Any
) -> None:
    role = f"user_{schema}"
    await sql.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; CREATE SCHEMA {schema} AUTHORIZATION {role}"
    )
    try:
        backend = await new_backend(connectionString=url_of(role=role))
        await backend.create_hub()
        await backend.register(make.registration())
        await backend.close()
    finally:
        await sql.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


async def test_without_auto_migrate_an_operator_migrates(
    new_backend: Callable[..., Any],
    schema: str,
    make: Any,
    further: Callable[[str], None],
) -> None:
    backend = await new_backend(autoMigrate=False)
    with pytest.raises(TaskHubNotFoundError, match="durahub db migrate"):
        await backend.create_hub()
    pending = await backend.pending_migrations()
    assert [one.name for one in pending] == NAMES
    assert f'CREATE TABLE "{schema}".instances' in pending[0].script
    assert await backend.schema_status() == (None, NOW)
    reported: list[str] = []
    operator = await new_backend(autoMigrate=False)
    for _ in range(2):
        await operator.migrate(reported.append)
        assert reported == NAMES
    await backend.create_hub()
    await backend.register(make.registration())
    further("SELECT 1")
    with pytest.raises(SchemaVersionError, match="durahub db migrate"):
        await backend.create_hub()
    assert [one.name for one in await backend.pending_migrations()] == ["further"]
    await backend.migrate(reported.append)
    assert reported == [*NAMES, "further"]
    await backend.create_hub()
    await backend.register(make.registration("session-2"))


async def test_migrations_done_before_a_failure_are_reported(
    new_backend: Callable[..., Any], further: Callable[[str], None]
) -> None:
    further("SELECT 1 / 0")
    backend = await new_backend()
    reported: list[str] = []
    with pytest.raises(BackendError, match="22012"):
        await backend.migrate(reported.append)
    assert reported == NAMES
    assert await backend.schema_status() == (NOW, NOW + 1)


async def test_each_migration_is_reported_by_the_one_of_many_that_carried_it_out(
    new_backend: Callable[..., Any], further: Callable[[str], None]
) -> None:
    further("SELECT 1")
    reported: list[str] = []
    backends = [await new_backend() for _ in range(5)]
    await asyncio.gather(*(backend.migrate(reported.append) for backend in backends))
    assert reported == [*NAMES, "further"]


async def test_report_that_fails_ends_the_migration_with_its_own_error(
    new_backend: Callable[..., Any], further: Callable[[str], None]
) -> None:
    further("SELECT 1")
    backend = await new_backend()

    def nobody_reads(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await backend.migrate(nobody_reads)
    assert await backend.schema_status() == (1, NOW + 1)


async def test_task_hub_that_was_made_anew_is_noticed(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    """Connections remember types and plans; another process dropped what they refer to."""
    other = await new_backend()
    await hub.apply(make.creation("one"))
    await other.delete_hub()
    with pytest.raises(BackendError):
        await hub.apply(make.creation("two"))
    await other.create_hub()
    await other.register(make.registration("new"))
    errors = []
    for _ in range(3):
        try:
            await hub.backend.apply("new", [make.creation("three")])
        except BackendError as error:
            errors.append(error)
    assert len(errors) < 3
    assert all(error.retryable or isinstance(error, TaskHubNotFoundError) for error in errors)
    assert (await hub.backend.get([make.key("three")])) != (None,)


async def test_upgrade_is_not_possible_on_a_broken_hub(hub: Any) -> None:
    await hub.sql.execute("DELETE FROM meta")
    with pytest.raises(BackendCorruptionError, match="lost its schema version"):
        await hub.backend.create_hub()


async def test_database_of_another_encoding_is_refused(
    sql: Any, schema: str, url_of: Callable[..., str], new_backend: Callable[..., Any]
) -> None:
    await sql.execute(
        f"CREATE DATABASE {schema} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    )
    try:
        with pytest.raises(BackendError, match="UTF8"):
            await new_backend(connectionString=url_of(database=schema))
    finally:
        await sql.execute(f"DROP DATABASE {schema} WITH (FORCE)")


def test_migrations_that_were_released_stay() -> None:
    assert NAMES == ["first version", "sessions forward to each other"]

"""What an operator does with a task hub, without running a sidecar on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from durahub.backend import SchemaStatus
from durahub.errors import BackendError, TaskHubNotFoundError

from durahub_postgres import schema
from durahub_postgres.connections import Connections
from durahub_postgres.settings import PostgresSettings

VIEWS = ("v_instances", "v_history", "v_activities", "v_timers", "v_storage")
"""The stable interface for SQL users."""

_FUNCTIONS = (
    "shown(text)",
    "shown(bytea)",
    "fields_of(bytea)",
    "content_of(bytea, integer)",
    "number_of(bytea, integer)",
    "wrapped_text_of(bytea, integer)",
    "status_name(smallint)",
    "event_types()",
    "read_event(bytea)",
)
"""What the views call on behalf of whoever reads them."""


async def migrate(settings: PostgresSettings) -> tuple[str, ...]:
    """Create the task hub or bring it up to date, whatever `autoMigrate` says.

    Returns:
        The names of the migrations that were carried out.

    Raises:
        BackendError: As `Backend.open` and `Backend.create_hub`.
    """
    async with _opened(settings) as (connections, hub), connections.lend() as connection:
        return tuple(done.name for done in await schema.migrate(connection, hub))


async def status(settings: PostgresSettings) -> SchemaStatus:
    """Return which schema version the task hub has, and which one this program writes.

    Raises:
        BackendError: As `Backend.open`.
    """
    async with _opened(settings) as (connections, hub), connections.lend() as connection:
        return await schema.status(connection, hub)


async def plan(settings: PostgresSettings) -> tuple[tuple[str, str], ...]:
    """Return what `migrate` would do: the name of each migration and its SQL. Changes nothing.

    Raises:
        BackendError: As `Backend.open`.
    """
    async with _opened(settings) as (connections, hub), connections.lend() as connection:
        found = await schema.find_version(connection, hub)
    schema.require_known(hub, found)
    return await asyncio.to_thread(_texts_of, hub, schema.MIGRATIONS[found or 0 :])


async def grant_reader(settings: PostgresSettings, role: str) -> None:
    """Let a role read the views, and nothing else of the task hub. Idempotent.

    Args:
        settings: Where the task hub is; its user owns it.
        role: A role that exists, or a new one, which is created and can't log in by itself.

    Raises:
        TaskHubNotFoundError: There is no task hub.
        BackendError: As `Backend.open`; or the user may not create roles.
    """
    async with _opened(settings) as (connections, hub), connections.lend() as connection:
        if await schema.find_version(connection, hub) is None:
            raise TaskHubNotFoundError(f"{hub.place} holds no task hub; create it first")
        if "\0" in role or not role:
            raise BackendError("a role has a name, without NUL characters")
        name = '"' + role.replace('"', '""') + '"'
        async with connection.transaction():
            if not await connection.fetchval(
                "SELECT count(*) FROM pg_roles WHERE rolname = $1", role
            ):
                await connection.execute(f"CREATE ROLE {name} NOLOGIN")
            views = ", ".join(f"{{hub}}.{view}" for view in VIEWS)
            functions = ", ".join(f"{{hub}}.{function}" for function in _FUNCTIONS)
            await connection.execute(hub.sql(f"GRANT USAGE ON SCHEMA {{hub}} TO {name}"))
            await connection.execute(hub.sql(f"GRANT SELECT ON {views} TO {name}"))
            await connection.execute(hub.sql(f"GRANT EXECUTE ON FUNCTION {functions} TO {name}"))


def _texts_of(
    hub: schema.Hub, migrations: Sequence[schema.Migration]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (migration.name, "\n".join(hub.sql(schema.read_sql(name)) for name in migration.files))
        for migration in migrations
    )


@asynccontextmanager
async def _opened(settings: PostgresSettings) -> AsyncIterator[tuple[Connections, schema.Hub]]:
    hub = schema.Hub(settings.schema_name, settings.place)
    connections = Connections(settings, hub, f"durahub admin {uuid.uuid4().hex[:8]}")
    await connections.open()
    try:
        yield connections, hub
    finally:
        await connections.close()

"""The version of a task hub's schema, and the migrations from one version to the next.

A task hub is one schema of a database. Its table `meta` has a row per migration that was carried out,
written in the same transaction, so a migration has happened completely or not at all.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any, NamedTuple

from durahub.backend import MESSAGES_PER_CLAIM, MOST_FORWARDED, SchemaStatus
from durahub.errors import BackendCorruptionError, BackendError, SchemaVersionError

Connection = Any
"""A connection of asyncpg, or one lent by its pool."""


class Migration(NamedTuple):
    """A step to the next version. One that was released never changes.

    Attributes:
        name: For people.
        files: The SQL that it runs, in this order.
    """

    name: str
    files: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "first version",
        (
            "tables.sql",
            "types.sql",
            "sessions.sql",
            "claims.sql",
            "apply.sql",
            "reads.sql",
            "decoding.sql",
            "views.sql",
        ),
    ),
    Migration("sessions forward to each other", ("forwarding.sql",)),
)
"""Migration n (from 0) leads from version n to n + 1."""

_META = """
CREATE TABLE IF NOT EXISTS {hub}.meta (
  version integer PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('durahub schema ' || $1, 0))"

_TABLES = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""


class Hub(NamedTuple):
    """The schema that holds a task hub.

    Attributes:
        schema: Its name, checked to need no quoting beyond quotes.
        place: What the task hub is called in messages.
    """

    schema: str
    place: str

    def sql(self, text: str) -> str:
        """Return SQL with the names of this task hub in the places of `{hub}` and its like."""
        return (
            text.replace("{hub}", f'"{self.schema}"')
            .replace("{channel}", f"'{self.channel}'")
            .replace("{cap}", str(MESSAGES_PER_CLAIM))
            .replace("{most_forwarded}", str(MOST_FORWARDED))
        )

    @property
    def channel(self) -> str:
        """The channel of its notifications."""
        return f"durahub:{self.schema}"


def current_version() -> int:
    """Return the version that this program writes."""
    return len(MIGRATIONS)


async def find_version(connection: Connection, hub: Hub) -> int | None:
    """Return the version of the task hub, None if there is none.

    Raises:
        BackendCorruptionError: The schema holds something else, or lost its version.
    """
    tables = {row[0] for row in await connection.fetch(_TABLES, hub.schema)}
    if not tables:
        return None
    if "meta" not in tables or "sessions" not in tables:
        raise BackendCorruptionError(
            f"the schema of {hub.place} holds other things than a task hub, and was left as it is;"
            " name a schema of its own"
        )
    found: int | None = await connection.fetchval(hub.sql("SELECT max(version) FROM {hub}.meta"))
    if found is None:
        raise BackendCorruptionError(f"{hub.place} lost its schema version; restore a backup")
    return found


def require_known(hub: Hub, found: int | None) -> None:
    """Refuse a schema of a newer program.

    Raises:
        SchemaVersionError: It is newer.
    """
    if found is not None and found > current_version():
        raise SchemaVersionError(
            f"{hub.place} has schema version {found}, and this program knows versions up to"
            f" {current_version()}: use the newer durahub-postgres that wrote it, or a backup",
            found=found,
            supported=current_version(),
        )


async def status(connection: Connection, hub: Hub) -> SchemaStatus:
    """Return which version the task hub has, and which this program writes."""
    return SchemaStatus(found=await find_version(connection, hub), current=current_version())


async def find_pending(connection: Connection, hub: Hub) -> tuple[Migration, ...]:
    """Return the migrations that a task hub lacks, all of them if there is none.

    Raises:
        SchemaVersionError: The schema is newer than this program.
        BackendCorruptionError: The schema holds something else.
    """
    found = await find_version(connection, hub)
    require_known(hub, found)
    return MIGRATIONS[found or 0 :]


async def migrate_next(connection: Connection, hub: Hub) -> Migration | None:
    """Carry out the first migration that a task hub lacks; return it, None if it lacks none.

    It is one transaction under a lock that all processes take, so several may call this at the same time,
    and a crash is repaired by calling it again.

    Raises:
        SchemaVersionError: The schema is newer than this program.
        BackendCorruptionError: The schema holds something else.
    """
    async with connection.transaction():
        await connection.execute(_LOCK, hub.schema)
        pending = await find_pending(connection, hub)
        if not pending:
            return None
        await _carry_out(connection, hub, current_version() - len(pending), pending[0])
    return pending[0]


async def _carry_out(connection: Connection, hub: Hub, found: int, migration: Migration) -> None:
    if found == 0:
        # A user without the right to create schemas may be given an empty one.
        if not await connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = $1", hub.schema
        ):
            await connection.execute(hub.sql("CREATE SCHEMA {hub}"))
        await connection.execute(hub.sql(_META))
    for name in migration.files:
        await connection.execute(hub.sql(await asyncio.to_thread(read_sql, name)))
    await connection.execute(
        hub.sql("INSERT INTO {hub}.meta (version, name) VALUES ($1, $2)"), found + 1, migration.name
    )


def script_of(migration: Migration, hub: Hub) -> str:
    """Return the SQL of a migration, as it runs for a task hub."""
    return "\n".join(hub.sql(read_sql(name)) for name in migration.files)


def read_sql(name: str) -> str:
    """Return the text of a SQL file of this package."""
    return files("durahub_postgres").joinpath("sql", name).read_text(encoding="utf-8")


async def require_utf8(connection: Connection, hub: Hub) -> None:
    """Refuse a database that can't hold every text.

    Raises:
        BackendError: Its encoding is not UTF-8.
    """
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise BackendError(
            f"the database of {hub.place} has the encoding {encoding}; create one with UTF8"
        )


async def drop(connection: Connection, hub: Hub) -> None:
    """Remove the task hub; nothing to remove is no error.

    Raises:
        BackendCorruptionError: The schema holds something else, which is left as it is.
    """
    async with connection.transaction():
        await connection.execute(_LOCK, hub.schema)
        if await find_version(connection, hub) is not None:
            await connection.execute(hub.sql("DROP SCHEMA {hub} CASCADE"))

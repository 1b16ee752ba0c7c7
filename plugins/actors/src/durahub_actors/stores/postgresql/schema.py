"""The version of the schema, and the steps from one version to the next."""

from __future__ import annotations

import asyncio
from importlib.resources import files

from durahub.errors import BackendCorruptionError, SchemaVersionError

from durahub_actors.stores.postgresql.connections import Connection

_STEPS = (("tables.sql", "leases.sql", "write.sql"),)
"""Step n (from 0) leads from schema version n to n + 1. A step that was released never changes."""

SCHEMA_VERSION = len(_STEPS)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('durahub state ' || $1, 0))"

_TABLES = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_META = "CREATE TABLE {schema}.meta (version integer NOT NULL)"


def in_schema(schema: str, text: str) -> str:
    """Return SQL with the schema in the places of `{schema}`."""
    return text.replace("{schema}", f'"{schema}"')


async def find_version(connection: Connection, schema: str, place: str) -> int | None:
    """Return the version of what is there, None if there is nothing.

    Raises:
        BackendCorruptionError: The schema holds something else, or lost its version.
        SchemaVersionError: It is of a newer program.
    """
    tables = {row[0] for row in await connection.fetch(_TABLES, schema)}
    if not tables:
        return None
    if not {"meta", "actors", "leases"} <= tables:
        raise BackendCorruptionError(
            f"the schema of {place} holds other things than a state store of Durahub, and was left as it"
            " is; name a schema of its own"
        )
    found: int | None = await connection.fetchval(
        in_schema(schema, "SELECT max(version) FROM {schema}.meta")
    )
    if found is None:
        raise BackendCorruptionError(f"{place} lost its schema version; restore a backup")
    if found > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{place} has schema version {found}, and this program knows versions up to"
            f" {SCHEMA_VERSION}: use the newer program that wrote it, or a backup from before",
            found=found,
            supported=SCHEMA_VERSION,
        )
    return found


async def upgrade(connection: Connection, schema: str, place: str) -> None:
    """Create the tables, or bring older ones up to date; call it inside a transaction."""
    await connection.execute(_LOCK, schema)
    found = await find_version(connection, schema, place)
    if found is None:
        # A user without the right to create schemas may be given an empty one.
        if not await connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema
        ):
            await connection.execute(in_schema(schema, "CREATE SCHEMA {schema}"))
        await connection.execute(in_schema(schema, _META))
    for number, step in enumerate(_STEPS[found or 0 :], start=found or 0):
        for name in step:
            await connection.execute(in_schema(schema, await asyncio.to_thread(_read, name)))
        insert = in_schema(schema, "INSERT INTO {schema}.meta (version) VALUES ($1)")
        await connection.execute(insert, number + 1)


async def drop(connection: Connection, schema: str, place: str) -> None:
    """Remove the schema if it is there; call it inside a transaction."""
    await connection.execute(_LOCK, schema)
    if await find_version(connection, schema, place) is not None:
        await connection.execute(in_schema(schema, "DROP SCHEMA {schema} CASCADE"))


def _read(name: str) -> str:
    return files("durahub_actors.stores.postgresql").joinpath("sql", name).read_text("utf-8")

"""The tables.

- An actor has a row as long as it has state or reminders; without an etag it has no state.
- Moments and durations are microseconds.
- A lease names the process that acquired it, or nothing where the system has no such names.
- Leases that ended stay, so that their names are never used again.
"""

from __future__ import annotations

import sqlite3

from durahub.errors import BackendCorruptionError, SchemaVersionError

APPLICATION_ID = 0x44757241
"""Marks a file as a state store, for this program and for file(1): "DurA"."""

_VERSION_1 = (
    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), schema_version INTEGER NOT NULL) STRICT",
    """
    CREATE TABLE actors (
      actor INTEGER PRIMARY KEY,
      type TEXT NOT NULL,
      id TEXT NOT NULL,
      etag TEXT,
      UNIQUE (type, id)
    ) STRICT
    """,
    """
    CREATE TABLE state (
      actor INTEGER NOT NULL,
      key TEXT NOT NULL,
      value BLOB NOT NULL,
      PRIMARY KEY (actor, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE marks (
      actor INTEGER NOT NULL,
      name TEXT NOT NULL,
      type TEXT NOT NULL,
      rank INTEGER NOT NULL,
      id TEXT NOT NULL,
      PRIMARY KEY (actor, name)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX marks_ranked ON marks (type, name, rank, id)",
    """
    CREATE TABLE reminders (
      actor INTEGER NOT NULL,
      name TEXT NOT NULL,
      queue TEXT NOT NULL,
      due_at INTEGER NOT NULL,
      place INTEGER NOT NULL,
      label TEXT NOT NULL,
      payload BLOB NOT NULL,
      holder TEXT,
      PRIMARY KEY (actor, name)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX reminders_free ON reminders (queue, due_at, place) WHERE holder IS NULL",
    "CREATE INDEX reminders_held ON reminders (holder) WHERE holder IS NOT NULL",
    "CREATE INDEX reminders_labelled ON reminders (queue, label) WHERE holder IS NOT NULL",
    """
    CREATE TABLE leases (
      name TEXT PRIMARY KEY,
      time_to_live INTEGER NOT NULL,
      data BLOB NOT NULL,
      renewed_at INTEGER NOT NULL,
      process TEXT NOT NULL,
      is_ended INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX leases_living ON leases (name) WHERE NOT is_ended",
    # For people: the state under the keys that Dapr would give it.
    """
    CREATE VIEW keys AS
    SELECT type || '||' || id || '||' || key AS key, value FROM actors JOIN state USING (actor)
    """,
)

_STEPS = (_VERSION_1,)
"""Step n (from 0) leads from schema version n to n + 1. A step that was released never changes."""

SCHEMA_VERSION = len(_STEPS)

_TABLES = ("meta", "actors", "state", "marks", "reminders", "leases")


def find_version(connection: sqlite3.Connection, place: str) -> int | None:
    """Return the version of what is in the file, None if the file is empty.

    Raises:
        BackendCorruptionError: The file belongs to something else, or lost its version.
        SchemaVersionError: It is of a newer program.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    ).fetchone()
    if application_id == 0 and tables == 0:
        return None
    if application_id != APPLICATION_ID:
        raise BackendCorruptionError(
            f"{place} is a SQLite database of another program, not a state store of Durahub, and was left"
            " as it is; name another file"
        )
    row = connection.execute("SELECT schema_version FROM meta").fetchone()
    if row is None:
        raise BackendCorruptionError(f"{place} lost its schema version; restore a backup")
    found: int = row[0]
    if found > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{place} has schema version {found}, and this program knows versions up to"
            f" {SCHEMA_VERSION}: use the newer program that wrote it, or a backup from before",
            found=found,
            supported=SCHEMA_VERSION,
        )
    return found


def upgrade(connection: sqlite3.Connection, place: str) -> None:
    """Create the tables, or bring older ones up to date; call it inside a transaction."""
    found = find_version(connection, place)
    if found is None:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for step in _STEPS[found or 0 :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(
        "INSERT INTO meta (one, schema_version) VALUES (1, ?)"
        " ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version"
        " WHERE schema_version <> excluded.schema_version",
        (SCHEMA_VERSION,),
    )


def drop(connection: sqlite3.Connection, place: str) -> None:
    """Remove the tables if they are there; call it inside a transaction."""
    if find_version(connection, place) is None:
        return
    connection.execute("DROP VIEW IF EXISTS keys")
    for table in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute("PRAGMA application_id = 0")

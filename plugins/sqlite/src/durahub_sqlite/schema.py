"""The tables of a task hub, their version, and the steps from one version to the next.

Decisions that the tables show:

- `instances` is what scheduling touches, so it is narrow; payloads are elsewhere. A row stays in place
  when its run is replaced, because activity tasks of the old run may be in progress.
- `pending_at` says since when something waits for an instance, `wake_at` when it is due: not before
  `not_before`, and never if it is NULL. The order of claims is that of `wake_at`.
- Only what has ended has a `completed_at`.
- Times are microseconds since 1970 in UTC. Owners are numbers of sessions.
- There are no foreign keys: one writer, whose statements say what belongs together.
- The limits of a session are text, because nothing but its own claims reads them.
"""

from __future__ import annotations

import sqlite3
from textwrap import dedent

from durahub.errors import BackendCorruptionError, SchemaVersionError

APPLICATION_ID = 0x44757268
"""Marks a file as a task hub, for this program and for file(1): "Durh"."""

_VERSION_1 = (
    """
    CREATE TABLE meta (
      one INTEGER PRIMARY KEY CHECK (one = 1),
      schema_version INTEGER NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE sessions (
      session INTEGER PRIMARY KEY,
      session_id TEXT NOT NULL UNIQUE,
      app_id TEXT NOT NULL,
      holder TEXT NOT NULL,
      limits TEXT,
      started_at INTEGER NOT NULL,
      ended_at INTEGER
    ) STRICT
    """,
    "CREATE INDEX sessions_alive ON sessions (session) WHERE ended_at IS NULL",
    """
    CREATE TABLE instances (
      instance INTEGER PRIMARY KEY AUTOINCREMENT,
      app_id TEXT NOT NULL,
      instance_id TEXT NOT NULL,
      name TEXT NOT NULL,
      version TEXT,
      execution_id TEXT NOT NULL,
      generation INTEGER NOT NULL,
      status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 8),
      created_at INTEGER NOT NULL,
      last_updated_at INTEGER NOT NULL,
      started_at INTEGER,
      completed_at INTEGER,
      scheduled_start_at INTEGER,
      parent_app_id TEXT,
      parent_instance_id TEXT,
      parent_execution_id TEXT,
      parent_task_id INTEGER,
      tags TEXT,
      revision INTEGER NOT NULL,
      history_length INTEGER NOT NULL,
      last_message INTEGER NOT NULL,
      parked_reason TEXT,
      pending_at INTEGER,
      not_before INTEGER,
      wake_at INTEGER,
      owner INTEGER,
      UNIQUE (app_id, instance_id)
    ) STRICT
    """,
    """
    CREATE INDEX instances_due ON instances (app_id, wake_at)
    WHERE owner IS NULL AND wake_at IS NOT NULL
    """,
    "CREATE INDEX instances_owned ON instances (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX instances_listed ON instances (app_id, status, created_at)",
    """
    CREATE INDEX instances_ended ON instances (app_id, status, completed_at)
    WHERE completed_at IS NOT NULL
    """,
    """
    CREATE TABLE payloads (
      instance INTEGER PRIMARY KEY,
      input TEXT,
      output TEXT,
      custom_status TEXT,
      failure BLOB
    ) STRICT
    """,
    """
    CREATE TABLE history (
      instance INTEGER NOT NULL,
      seq INTEGER NOT NULL,
      event BLOB NOT NULL,
      PRIMARY KEY (instance, seq)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE messages (
      instance INTEGER NOT NULL,
      message_id INTEGER NOT NULL,
      payload BLOB NOT NULL,
      execution_id TEXT,
      accepted_at INTEGER NOT NULL,
      PRIMARY KEY (instance, message_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE timers (
      instance INTEGER NOT NULL,
      timer_id INTEGER NOT NULL,
      due_at INTEGER NOT NULL,
      payload BLOB NOT NULL,
      PRIMARY KEY (instance, timer_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX timers_due ON timers (instance, due_at)",
    """
    CREATE TABLE activities (
      activity INTEGER PRIMARY KEY,
      instance INTEGER NOT NULL,
      execution_id TEXT NOT NULL,
      task_id INTEGER NOT NULL,
      app_id TEXT NOT NULL,
      name TEXT NOT NULL,
      payload BLOB NOT NULL,
      owner INTEGER,
      UNIQUE (instance, execution_id, task_id)
    ) STRICT
    """,
    "CREATE INDEX activities_free ON activities (app_id) WHERE owner IS NULL",
    "CREATE INDEX activities_owned ON activities (owner) WHERE owner IS NOT NULL",
)

_STEPS = (_VERSION_1,)
"""Step n (from 0) leads from schema version n to n + 1. A step that was released never changes."""

SCHEMA_VERSION = len(_STEPS)

_BY_NAME = {
    "instances_due_by_name": (
        "instances (app_id, name, wake_at) WHERE owner IS NULL AND wake_at IS NOT NULL"
    ),
    "instances_owned_by_name": "instances (owner, name) WHERE owner IS NOT NULL",
    "activities_free_by_name": "activities (app_id, name) WHERE owner IS NULL",
    "activities_owned_by_name": "activities (owner, name) WHERE owner IS NOT NULL",
}
"""Indexes that only limits by name need."""

TABLES = (
    "meta",
    "sessions",
    "instances",
    "payloads",
    "history",
    "messages",
    "timers",
    "activities",
)


def find_version(connection: sqlite3.Connection, place: str) -> int | None:
    """Return the version of the task hub in the file, None if the file is empty.

    Args:
        connection: Where.
        place: What the file is called in messages.

    Raises:
        BackendCorruptionError: The file belongs to something else, or lost its version.
        SchemaVersionError: The task hub is of a newer program.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    ).fetchone()
    if application_id == 0 and tables == 0:
        return None
    if application_id != APPLICATION_ID:
        raise BackendCorruptionError(
            f"{place} is a SQLite database of another program, not a task hub, and was left as it is;"
            " name another file"
        )
    try:
        row = connection.execute("SELECT schema_version FROM meta").fetchone()
    except sqlite3.OperationalError as error:
        raise BackendCorruptionError(
            f"the task hub in {place} lost its schema version ({error}); restore a backup"
        ) from error
    if row is None:
        raise BackendCorruptionError(
            f"the task hub in {place} lost its schema version; restore a backup"
        )
    found: int = row[0]
    if found > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"the task hub in {place} has schema version {found}, and this program knows versions up to"
            f" {SCHEMA_VERSION}: use the newer durahub-sqlite that wrote it, or a backup from before",
            found=found,
            supported=SCHEMA_VERSION,
        )
    return found


def upgrade(connection: sqlite3.Connection, now: int, place: str) -> None:
    """Create the tables, or bring older ones up to date; call it inside a transaction."""
    found = find_version(connection, place)
    if found is None:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for step in _STEPS[found or 0 :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(
        "INSERT INTO meta (one, schema_version, created_at) VALUES (1, ?, ?)"
        " ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version"
        " WHERE schema_version <> excluded.schema_version",
        (SCHEMA_VERSION, now),
    )


def script_of(version: int) -> str:
    """Return the SQL of the step that leads to a version."""
    return "\n".join(f"{dedent(statement).strip()};" for statement in _STEPS[version - 1])


def index_names(connection: sqlite3.Connection, *, instances: bool, activities: bool) -> None:
    """Have the indexes that limits by name need, if there are such limits, and only then.

    They are no part of a version: whoever starts with such limits makes them, in about a second for a
    million rows that wait, and whoever starts without removes them.
    """
    for index, columns in _BY_NAME.items():
        if instances if columns.startswith("instances") else activities:
            connection.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {columns}")
        else:
            connection.execute(f"DROP INDEX IF EXISTS {index}")


def drop(connection: sqlite3.Connection) -> None:
    """Remove the task hub; call it inside a transaction."""
    for table in TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute("PRAGMA application_id = 0")

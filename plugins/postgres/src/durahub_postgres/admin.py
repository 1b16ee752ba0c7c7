"""Who may read a task hub past the program: roles of the database that see the views."""

from __future__ import annotations

from durahub.errors import BackendError, TaskHubNotFoundError

from durahub_postgres import schema

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

_LONGEST_NAME = 63


async def grant_reader(connection: schema.Connection, hub: schema.Hub, role: str) -> None:
    """Let a role read the views, and nothing else of the task hub. Atomic and idempotent.

    Args:
        connection: Of the user that owns the task hub.
        hub: The task hub.
        role: A role that exists, or a new one, which is created and can't log in by itself.

    Raises:
        TaskHubNotFoundError: There is no task hub.
        BackendError: The name is none.
    """
    if await schema.find_version(connection, hub) is None:
        raise TaskHubNotFoundError(
            f"{hub.place} holds no task hub; create it first, with `durahub db migrate`"
        )
    # The server would cut a longer name, and grant to another role.
    if "\0" in role or not 0 < len(role.encode(errors="replace")) <= _LONGEST_NAME:
        raise BackendError(
            f"{role!r} is no name of a role: it has 1 to {_LONGEST_NAME} bytes, and no NUL characters"
        )
    name = '"' + role.replace('"', '""') + '"'
    views = ", ".join(f"{{hub}}.{view}" for view in VIEWS)
    functions = ", ".join(f"{{hub}}.{function}" for function in _FUNCTIONS)
    async with connection.transaction():
        if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {name} NOLOGIN")
        for right in (
            "USAGE ON SCHEMA {hub}",
            f"SELECT ON {views}",
            f"EXECUTE ON FUNCTION {functions}",
        ):
            await connection.execute(f"GRANT {hub.sql(right)} TO {name}")

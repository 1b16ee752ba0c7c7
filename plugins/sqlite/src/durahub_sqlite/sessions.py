"""Who may write. One process has the file, so of all sessions only the one registered last is alive."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

from durahub.backend import NO_LIMITS, ClaimLimit, ClaimLimits, Session
from durahub.errors import BackendError, SessionFencedError
from durahub.types import InstanceKey, SessionId, TaskKey

from durahub_sqlite.bulk import id_list
from durahub_sqlite.schema import index_names

_ALIVE = "SELECT session, app_id, limits FROM sessions WHERE session_id = ? AND ended_at IS NULL"

_OTHERS_ALIVE = "SELECT session, session_id FROM sessions WHERE ended_at IS NULL ORDER BY session"

_REGISTER = """
INSERT INTO sessions (session_id, app_id, holder, limits, started_at) VALUES (?, ?, ?, ?, ?)
"""

_END = "UPDATE sessions SET ended_at = ? WHERE session = ?"

_FREE_INSTANCES = "UPDATE instances SET owner = NULL WHERE owner = ?"

_FREE_ACTIVITIES = "UPDATE activities SET owner = NULL WHERE owner = ?"

_OWNED_INSTANCES = "SELECT instance, app_id, instance_id FROM instances WHERE owner = ?"

_OWNED_ACTIVITIES = """
SELECT a.activity, i.app_id, i.instance_id, a.execution_id, a.task_id
FROM activities AS a CROSS JOIN instances AS i ON i.instance = a.instance
WHERE a.owner = ?
"""

_FREE_INSTANCES_LISTED = """
UPDATE instances SET owner = NULL
WHERE instance IN (SELECT value FROM json_each(?)) AND owner = ?
"""

_FREE_ACTIVITIES_LISTED = """
UPDATE activities SET owner = NULL
WHERE activity IN (SELECT value FROM json_each(?)) AND owner = ?
"""


class LiveSession(NamedTuple):
    """A session that may write.

    Attributes:
        number: How rows name it as their owner.
        app_id: The application that it claims for.
        limits: What its claims respect.
    """

    number: int
    app_id: str
    limits: ClaimLimits = NO_LIMITS


def require_alive(connection: sqlite3.Connection, session_id: SessionId) -> LiveSession:
    """Return the session, if it is alive.

    Raises:
        SessionFencedError: It never was, or is no longer.
    """
    row = connection.execute(_ALIVE, (session_id,)).fetchone()
    if row is None:
        raise SessionFencedError(
            f"session {session_id!r} is not alive in this task hub; nothing was written:"
            " register a new one"
        )
    number, app_id, limits = row
    return LiveSession(number, app_id, NO_LIMITS if limits is None else _parse_limits(limits))


def register(connection: sqlite3.Connection, session: Session, now: int) -> tuple[SessionId, ...]:
    """End every other session, then begin this one; return those that were ended.

    Raises:
        BackendError: The id was used before.
    """
    ended = connection.execute(_OTHERS_ALIVE).fetchall()
    for number, _ in ended:
        _end(connection, number, now)
    limits = _limits_text(session.limits) if session.limits else None
    try:
        connection.execute(
            _REGISTER, (session.session_id, session.app_id, session.holder, limits, now)
        )
    except sqlite3.IntegrityError as error:
        raise BackendError(
            f"session id {session.session_id!r} has been used before; ids of sessions are unique for ever"
        ) from error
    index_names(
        connection,
        instances=bool(session.limits.instances.by_name),
        activities=bool(session.limits.activities.by_name),
    )
    return tuple(SessionId(session_id) for _, session_id in ended)


def unregister(connection: sqlite3.Connection, session_id: SessionId, now: int) -> None:
    """End a session if it is alive."""
    row = connection.execute(_ALIVE, (session_id,)).fetchone()
    if row is not None:
        _end(connection, row[0], now)


def release_except(
    connection: sqlite3.Connection,
    session_id: SessionId,
    instances: AbstractSet[InstanceKey],
    tasks: AbstractSet[TaskKey],
) -> None:
    """Give back what the session owns and the sets do not name."""
    session = require_alive(connection, session_id)
    unnamed_instances = [
        number
        for number, *key in connection.execute(_OWNED_INSTANCES, (session.number,))
        if tuple(key) not in instances
    ]
    unnamed_activities = [
        number
        for number, app_id, instance_id, *task in connection.execute(
            _OWNED_ACTIVITIES, (session.number,)
        )
        if ((app_id, instance_id), *task) not in tasks
    ]
    release_listed(connection, session.number, unnamed_instances, unnamed_activities)


def release_listed(
    connection: sqlite3.Connection, number: int, instances: list[int], activities: list[int]
) -> None:
    """Give back rows that the session with this number owns."""
    if instances:
        connection.execute(_FREE_INSTANCES_LISTED, (id_list(instances), number))
    if activities:
        connection.execute(_FREE_ACTIVITIES_LISTED, (id_list(activities), number))


def _limits_text(limits: ClaimLimits) -> str:
    kinds = {"instances": limits.instances, "activities": limits.activities}
    return json.dumps(
        {kind: {"total": one.total, "by_name": dict(one.by_name)} for kind, one in kinds.items()}
    )


@lru_cache(maxsize=8)
def _parse_limits(text: str) -> ClaimLimits:
    return ClaimLimits(**{kind: ClaimLimit(**limit) for kind, limit in json.loads(text).items()})


def _end(connection: sqlite3.Connection, number: int, now: int) -> None:
    connection.execute(_END, (now, number))
    connection.execute(_FREE_INSTANCES, (number,))
    connection.execute(_FREE_ACTIVITIES, (number,))

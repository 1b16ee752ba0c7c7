"""Reads in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from durahub.clock import from_micros, to_micros

from durahub_actors.stores.saves import ActorId, ReminderId
from durahub_actors.stores.views import ActorState, DueReminder, DueReminders, MarkedActor

_KEY = "SELECT key, value FROM state WHERE actor = ? AND key = ?"

_PREFIX = "SELECT key, value FROM state WHERE actor = ? AND key >= ? AND key < CAST(? AS TEXT)"
"""No byte of UTF-8 is 0xFF: a prefix with this byte behind it is above all keys that begin with it."""

_MARKED = """
SELECT marks.id, marks.rank, state.value
FROM marks LEFT JOIN state ON state.actor = marks.actor AND state.key = ?
WHERE marks.type = ? AND marks.name = ? AND (marks.rank, marks.id) > (?, ?)
ORDER BY marks.rank, marks.id LIMIT ?
"""

_DUE = """
SELECT actors.type, actors.id, reminders.name, due_at, label, payload
FROM reminders CROSS JOIN actors ON actors.actor = reminders.actor
WHERE queue = ? AND holder IS NULL AND due_at <= ?
ORDER BY due_at, place LIMIT ?
"""

_NEXT = """
SELECT due_at FROM reminders WHERE queue = ? AND holder IS NULL AND due_at > ?
ORDER BY due_at LIMIT 1
"""

_HELD = """
SELECT actors.type, actors.id, reminders.name
FROM reminders CROSS JOIN actors ON actors.actor = reminders.actor WHERE holder = ?
"""

_LABELS = """
SELECT label, count(*) FROM reminders WHERE queue = ? AND holder IS NOT NULL GROUP BY label
"""

_REMINDERS = """
SELECT name FROM reminders
WHERE actor = (SELECT actor FROM actors WHERE type = ? AND id = ?)
"""


def read_actor(
    connection: sqlite3.Connection, actor: ActorId, keys: Sequence[str], prefixes: Sequence[str]
) -> ActorState | None:
    """Return values of an actor, None if it has no state."""
    row = connection.execute(
        "SELECT actor, etag FROM actors WHERE type = ? AND id = ? AND etag IS NOT NULL", actor
    ).fetchone()
    if row is None:
        return None
    number, etag = row
    values: dict[str, bytes] = {}
    for key in keys:
        values.update(connection.execute(_KEY, (number, key)))
    for prefix in prefixes:
        values.update(connection.execute(_PREFIX, (number, prefix, prefix.encode() + b"\xff")))
    # One prefix alone is in order already; sorting what is in order costs next to nothing.
    return ActorState(
        etag=etag, values=dict(sorted(values.items(), key=lambda pair: pair[0].encode()))
    )


def find_marked(
    connection: sqlite3.Connection,
    actor_type: str,
    index: str,
    after: tuple[int, str] | None,
    limit: int,
    key: str,
) -> tuple[MarkedActor, ...]:
    """Return actors of an index in order."""
    found = connection.execute(_MARKED, (key, actor_type, index, *(after or (-1, "")), limit))
    return tuple([MarkedActor(id=each, rank=rank, value=value) for each, rank, value in found])


def find_due(connection: sqlite3.Connection, queue: str, limit: int, now: datetime) -> DueReminders:
    """Return what is due and held by nobody, in order."""
    micros = to_micros(now)
    rows = connection.execute(_DUE, (queue, micros, limit + 1)).fetchall()
    following = None
    if len(rows) <= limit:
        following = connection.execute(_NEXT, (queue, micros)).fetchone()
    return DueReminders(
        reminders=tuple(
            [
                DueReminder(
                    id=ReminderId(ActorId(actor_type, actor_id), name),
                    due_at=from_micros(due_at),
                    label=label,
                    payload=payload,
                )
                for actor_type, actor_id, name, due_at, label, payload in rows[:limit]
            ]
        ),
        next_due_at=None if following is None else from_micros(following[0]),
        now=now,
    )


def find_held(connection: sqlite3.Connection, lease: str) -> tuple[ReminderId, ...]:
    """Return what a lease holds."""
    found = connection.execute(_HELD, (lease,))
    return tuple(
        [ReminderId(ActorId(actor_type, actor_id), name) for actor_type, actor_id, name in found]
    )


def count_held(connection: sqlite3.Connection, queue: str) -> dict[str, int]:
    """Return how many reminders of a queue are held, by label."""
    return dict(connection.execute(_LABELS, (queue,)))


def find_reminders(connection: sqlite3.Connection, home: ActorId) -> tuple[ReminderId, ...]:
    """Return the reminders of an actor."""
    return tuple([ReminderId(home, name) for (name,) in connection.execute(_REMINDERS, home)])

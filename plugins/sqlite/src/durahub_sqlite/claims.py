"""Making due instances and waiting activity tasks the property of a session."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from durahub.backend import (
    MESSAGES_PER_CLAIM,
    ActivityTask,
    ClaimedInstance,
    InstanceClaims,
    InstanceRecord,
    Message,
    StoredMessage,
    Timer,
)
from durahub.clock import from_micros
from durahub.errors import BackendCorruptionError
from durahub.types import InstanceKey, SessionId, TaskKey

from durahub_sqlite.bulk import id_list, run_rows
from durahub_sqlite.changes import PUT_INSTANCES
from durahub_sqlite.limits import ACTIVITIES, INSTANCES, find_admitted
from durahub_sqlite.rows import InstanceRow, record_of, values_of
from durahub_sqlite.sessions import LiveSession, require_alive

NEXT_DUE = """
SELECT wake_at FROM instances
WHERE app_id = ? AND owner IS NULL AND wake_at IS NOT NULL
ORDER BY wake_at LIMIT 1
"""

NEXT_LATER = """
SELECT wake_at FROM instances
WHERE app_id = ? AND owner IS NULL AND wake_at > ?
ORDER BY wake_at LIMIT 1
"""

OWN_INSTANCES = "UPDATE instances SET owner = ? WHERE instance IN (SELECT value FROM json_each(?))"

# The inner LIMIT bounds what one instance hands over, and what is read for it.
WAITING_MESSAGES = f"""
SELECT m.instance, m.message_id, m.payload, m.execution_id, m.accepted_at
FROM json_each(?) AS c CROSS JOIN messages AS m
WHERE m.instance = c.value AND m.message_id IN (
  SELECT w.message_id FROM messages AS w WHERE w.instance = c.value
  ORDER BY w.message_id LIMIT {MESSAGES_PER_CLAIM})
ORDER BY m.instance, m.message_id
"""  # noqa: S608 - made of constants

DUE_TIMERS = f"""
SELECT t.instance, t.timer_id, t.due_at, t.payload
FROM json_each(?) AS c CROSS JOIN timers AS t
WHERE t.instance = c.value AND t.timer_id IN (
  SELECT w.timer_id FROM timers AS w WHERE w.instance = c.value AND w.due_at <= ?
  ORDER BY w.due_at, w.timer_id LIMIT {MESSAGES_PER_CLAIM})
ORDER BY t.instance, t.due_at, t.timer_id
"""  # noqa: S608 - made of constants

OWN_ACTIVITIES = (
    "UPDATE activities SET owner = ? WHERE activity IN (SELECT value FROM json_each(?))"
)


class Claimed(NamedTuple):
    """Rows that a call has just made a session's, for the case that its caller never learns of it.

    Attributes:
        owner: Number of the session.
        instances: Numbers of instances.
        activities: Numbers of activity tasks.
    """

    owner: int
    instances: tuple[int, ...] = ()
    activities: tuple[int, ...] = ()


def claim_instances(
    connection: sqlite3.Connection, session_id: SessionId, limit: int, now: int
) -> tuple[InstanceClaims, Claimed]:
    """Take due, unowned instances of the session's application, longest due first."""
    session = require_alive(connection, session_id)
    if session.limits.instances:
        found = find_admitted(connection, session, INSTANCES, limit + 1, now)
    else:
        found = connection.execute(INSTANCES.claimable, (session.app_id, now, limit)).fetchall()
    rows = [InstanceRow(*columns) for columns in found[:limit]]
    sound = decode_sound(rows)
    numbers = tuple(row.instance for row, _ in sound)
    if sound:
        connection.execute(OWN_INSTANCES, (session.number, id_list(numbers)))
    # All were due; those that are no longer have just been parked.
    run_rows(connection, PUT_INSTANCES, [values_of(row) for row in rows if row.wake_at is None])
    claims = InstanceClaims(
        instances=hand_over(connection, sound, now),
        next_due_at=None if len(found) > limit else _next_due_at(connection, session, now),
        now=from_micros(now),
    )
    return claims, Claimed(session.number, instances=numbers)


def claim_activities(
    connection: sqlite3.Connection, session_id: SessionId, limit: int
) -> tuple[tuple[ActivityTask, ...], Claimed]:
    """Take unowned activity tasks of the session's application, oldest first."""
    session = require_alive(connection, session_id)
    if session.limits.activities:
        found = find_admitted(connection, session, ACTIVITIES, limit)
    else:
        found = connection.execute(ACTIVITIES.claimable, (session.app_id, limit)).fetchall()
    numbers = tuple(row[0] for row in found)
    if numbers:
        own_activities(connection, session, numbers)
    return tuple(_task_of(row[1:]) for row in found), Claimed(session.number, activities=numbers)


def own_activities(
    connection: sqlite3.Connection, session: LiveSession, numbers: Sequence[int]
) -> None:
    """Write that activity tasks belong to a session."""
    connection.execute(OWN_ACTIVITIES, (session.number, id_list(numbers)))


def decode_sound(rows: Iterable[InstanceRow]) -> list[tuple[InstanceRow, InstanceRecord]]:
    """Return rows with their records, and park in its row what does not decode.

    One damaged instance must not stop all others: claimed with them, it would fail every claim.
    """
    sound: list[tuple[InstanceRow, InstanceRecord]] = []
    for row in rows:
        try:
            sound.append((row, record_of(row)))
        except BackendCorruptionError as error:
            row.park(str(error))
    return sound


def hand_over(
    connection: sqlite3.Connection,
    claimed: Sequence[tuple[InstanceRow, InstanceRecord]],
    now: int,
) -> tuple[ClaimedInstance, ...]:
    """Return instances as claimed, with the messages and the due timers that wait for them."""
    if not claimed:
        return ()
    ids = id_list(row.instance for row, _ in claimed)
    messages: defaultdict[int, list[StoredMessage]] = defaultdict(list)
    for instance, number, payload, execution_id, accepted_at in connection.execute(
        WAITING_MESSAGES, (ids,)
    ):
        messages[instance].append(
            StoredMessage(
                message_id=number,
                message=Message(payload=payload, execution_id=execution_id),
                accepted_at=from_micros(accepted_at),
            )
        )
    timers: defaultdict[int, list[Timer]] = defaultdict(list)
    for instance, number, due_at, payload in connection.execute(DUE_TIMERS, (ids, now)):
        timers[instance].append(Timer(timer_id=number, due_at=from_micros(due_at), payload=payload))
    return tuple(
        ClaimedInstance(
            record=record,
            messages=tuple(messages[row.instance]),
            timers=tuple(timers[row.instance]),
        )
        for row, record in claimed
    )


def _next_due_at(connection: sqlite3.Connection, session: LiveSession, now: int) -> datetime | None:
    if session.limits.instances:
        # What is due and was not claimed waits for a place, and not for a moment.
        row = connection.execute(NEXT_LATER, (session.app_id, now)).fetchone()
    else:
        row = connection.execute(NEXT_DUE, (session.app_id,)).fetchone()
    return None if row is None or row[0] <= now else from_micros(row[0])


def _task_of(columns: Sequence[Any]) -> ActivityTask:
    instance_app, instance_id, execution_id, task_id, app_id, name, payload = columns
    return ActivityTask(
        key=TaskKey(InstanceKey(instance_app, instance_id), execution_id, task_id),
        app_id=app_id,
        name=name,
        payload=payload,
    )

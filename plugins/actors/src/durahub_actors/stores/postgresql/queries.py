"""Statements, and what their rows mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from durahub.clock import from_micros

from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.saves import ActorId, ReminderId
from durahub_actors.stores.views import ActorState, DueReminder, DueReminders

WRITE = f"SELECT * FROM {{schema}}.write({', '.join(f'${n}' for n in range(1, 36))})"  # noqa: S608

READ = """
SELECT w.n, a.etag, s.key, s.value
FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w(type, id, n)
JOIN {schema}.actors AS a ON a.type = w.type AND a.id = w.id AND a.etag IS NOT NULL
LEFT JOIN LATERAL (
  SELECT k.key, k.value FROM {schema}.state AS k WHERE k.actor = a.actor AND k.key = ANY ($3::bytea[])
  UNION ALL
  SELECT k.key, k.value FROM unnest($4::bytea[]) AS p(prefix)
  JOIN {schema}.state AS k
    ON k.actor = a.actor AND k.key >= p.prefix AND k.key < p.prefix || '\\xff'::bytea
) AS s ON true
"""
"""No byte of UTF-8 is 0xFF: a prefix with this byte behind it is above all keys that begin with it."""

MARKED = """
SELECT m.id, m.rank, s.value FROM {schema}.marks AS m
LEFT JOIN {schema}.state AS s ON s.actor = m.actor AND s.key = $6
WHERE m.type = $1 AND m.name = $2 AND (m.rank, m.id) > ($3, $4)
ORDER BY m.rank, m.id LIMIT $5
"""

DUE = """
WITH t AS MATERIALIZED (SELECT {schema}.micros() AS moment), d AS (
  SELECT actor, name, due_at, place, label, payload FROM {schema}.reminders
  WHERE queue = $1 AND holder IS NULL AND due_at <= (SELECT moment FROM t)
  ORDER BY due_at, place LIMIT $2
)
SELECT t.moment, (
  SELECT r.due_at FROM {schema}.reminders AS r
  WHERE r.queue = $1 AND r.holder IS NULL AND r.due_at > t.moment ORDER BY r.due_at LIMIT 1
) AS following, a.type, a.id, d.name, d.due_at, d.label, d.payload
FROM t LEFT JOIN (d JOIN {schema}.actors AS a USING (actor)) ON true
ORDER BY d.due_at, d.place
"""

HELD = """
SELECT a.type, a.id, r.name FROM {schema}.reminders AS r JOIN {schema}.actors AS a USING (actor)
WHERE r.holder = $1
"""

LABELS = """
SELECT label, count(*) FROM {schema}.reminders WHERE queue = $1 AND holder IS NOT NULL GROUP BY label
"""

REMINDERS = """
SELECT r.name FROM {schema}.reminders AS r JOIN {schema}.actors AS a USING (actor)
WHERE a.type = $1 AND a.id = $2
"""

_BEAT = """
SELECT b.*, (
  SELECT min(l.renewed_at + l.time_to_live) FROM {schema}.leases AS l
  WHERE NOT l.is_ended AND l.name <> ALL (%s) AND l.renewed_at + l.time_to_live > b.moment
) AS following FROM {schema}.%s AS b
"""
# What the function ends still lives in the statement's snapshot, but it is overdue.

ACQUIRE = _BEAT % ("ARRAY[$1]", "acquire($1, $2, $3)")

RENEW = _BEAT % ("$1", "renew($1)")

RELEASE = "SELECT {schema}.release($1)"

LEASES = "SELECT name, time_to_live, data FROM {schema}.leases WHERE NOT is_ended"

MICROSECOND = timedelta(microseconds=1)


def to_states(count: int, rows: Iterable[Any]) -> tuple[ActorState | None, ...]:
    """Return what `READ` found of so many actors."""
    etags: dict[int, bytes] = {}
    values: list[dict[bytes, bytes]] = [{} for _ in range(count)]
    for number, etag, key, value in rows:
        etags[number] = etag
        if key is not None:
            values[number - 1][key] = value
    return tuple(
        ActorState(
            etag=etags[number].decode(),
            values={key.decode(): value for key, value in sorted(found.items())},
        )
        if number in etags
        else None
        for number, found in enumerate(values, start=1)
    )


def to_due(limit: int, rows: Sequence[Any]) -> DueReminders:
    """Return what `DUE`, asked for one more than `limit`, found."""
    moment, following = rows[0]["moment"], rows[0]["following"]
    found = [row for row in rows if row["name"] is not None]
    is_all = len(found) <= limit
    return DueReminders(
        reminders=tuple(
            DueReminder(
                id=_reminder_id(row["type"], row["id"], row["name"]),
                due_at=from_micros(row["due_at"]),
                label=row["label"].decode(),
                payload=row["payload"],
            )
            for row in found[:limit]
        ),
        next_due_at=from_micros(following) if is_all and following is not None else None,
        now=from_micros(moment),
    )


def to_reminder_ids(rows: Iterable[Any]) -> tuple[ReminderId, ...]:
    """Return what `HELD` found."""
    return tuple(_reminder_id(*row) for row in rows)


def _reminder_id(actor_type: bytes, actor_id: bytes, name: bytes) -> ReminderId:
    return ReminderId(ActorId(actor_type.decode(), actor_id.decode()), name.decode())


def to_lease(name: bytes, time_to_live: int, data: bytes) -> Lease:
    """Return a row of `LEASES`."""
    return Lease(name=name.decode(), time_to_live=time_to_live * MICROSECOND, data=data)


def to_beat(rows: Sequence[Any]) -> LeaseBeat:
    """Return what `ACQUIRE` or `RENEW` answered."""
    first, *ended = rows
    return LeaseBeat(
        now=from_micros(first["moment"]),
        ended=tuple(to_lease(row["name"], row["time_to_live"], row["data"]) for row in ended),
        next_overdue_at=None if first["following"] is None else from_micros(first["following"]),
    )

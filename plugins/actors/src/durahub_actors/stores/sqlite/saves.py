"""Saves in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from durahub.clock import to_micros

from durahub_actors.stores.saves import (
    UNCHECKED,
    Refusal,
    Refused,
    Save,
    Saved,
    SaveResult,
)

_REMIND = """
INSERT INTO reminders (actor, name, queue, due_at, place, label, payload, holder)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (actor, name) DO UPDATE SET
  queue = excluded.queue, due_at = excluded.due_at, place = excluded.place,
  label = excluded.label, payload = excluded.payload,
  holder = CASE WHEN ? THEN excluded.holder ELSE coalesce(holder, excluded.holder) END
"""

_MARK = """
INSERT INTO marks (actor, name, type, rank, id) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (actor, name) DO UPDATE SET rank = excluded.rank
"""

_ERASE = (
    "DELETE FROM state WHERE actor = ?",
    "DELETE FROM marks WHERE actor = ?",
    "DELETE FROM reminders WHERE actor = ?",
)

_DROP_EMPTY = """
DELETE FROM actors WHERE actor = ?1 AND etag IS NULL
AND NOT EXISTS (SELECT 1 FROM reminders WHERE actor = ?1)
"""


def carry_out(connection: sqlite3.Connection, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
    """Carry out saves one after the other; call it inside a write transaction."""
    living = {name for (name,) in connection.execute("SELECT name FROM leases WHERE NOT is_ended")}
    return tuple([_carry_out(connection, save, living) for save in saves])


def _carry_out(connection: sqlite3.Connection, save: Save, living: set[str]) -> SaveResult:
    if not living.issuperset(save.leases):
        return Refused(Refusal.LEASE)
    row = connection.execute(
        "SELECT actor, etag FROM actors WHERE type = ? AND id = ?", save.actor
    ).fetchone()
    actor, etag = row or (None, None)
    if save.expected is not UNCHECKED and save.expected != etag:
        return Refused(Refusal.ETAG)
    if not _are_held(connection, actor, save):
        return Refused(Refusal.HOLDER)
    left = etag if save.etag is None and not save.erase else save.etag
    if actor is None:
        if save.etag is None and not save.remind:
            return Saved(etag=None)
        actor = connection.execute(
            "INSERT INTO actors (type, id, etag) VALUES (?, ?, ?)", (*save.actor, left)
        ).lastrowid
    else:
        _clear(connection, actor, save)
        if left != etag:
            connection.execute("UPDATE actors SET etag = ? WHERE actor = ?", (left, actor))
    _put(connection, actor, save)
    if left is None:
        connection.execute(_DROP_EMPTY, (actor,))
    return Saved(etag=left, taken=_taken(connection, actor, save))


def _are_held(connection: sqlite3.Connection, actor: int | None, save: Save) -> bool:
    for name, holder in save.held.items():
        found = connection.execute(
            "SELECT holder FROM reminders WHERE actor = ? AND name = ?", (actor, name)
        ).fetchone()
        if found is None or found[0] != holder:
            return False
    return True


def _clear(connection: sqlite3.Connection, actor: int, save: Save) -> None:
    if save.erase:
        for statement in _ERASE:
            connection.execute(statement, (actor,))
    for statement, names in (
        ("DELETE FROM state WHERE actor = ? AND key = ?", save.delete),
        ("DELETE FROM marks WHERE actor = ? AND name = ?", save.unmark),
        ("DELETE FROM reminders WHERE actor = ? AND name = ?", save.forget),
    ):
        if names:
            connection.executemany(statement, [(actor, name) for name in names])


def _put(connection: sqlite3.Connection, actor: int | None, save: Save) -> None:
    if save.put:
        connection.executemany(
            "INSERT OR REPLACE INTO state (actor, key, value) VALUES (?, ?, ?)",
            [(actor, key, value) for key, value in save.put.items()],
        )
    if save.mark:
        marks = [
            (actor, name, save.actor.type, rank, save.actor.id) for name, rank in save.mark.items()
        ]
        connection.executemany(_MARK, marks)
    if save.remind:
        connection.executemany(_REMIND, _reminder_rows(actor, save))
    if save.hold:
        connection.executemany(
            "UPDATE reminders SET holder = ? WHERE actor = ? AND name = ?",
            [(holder, actor, name) for name, holder in save.hold.items()],
        )


def _reminder_rows(actor: int | None, save: Save) -> list[tuple[object, ...]]:
    return [
        (
            actor,
            name,
            reminder.queue,
            to_micros(reminder.due_at),
            reminder.order,
            reminder.label,
            reminder.payload,
            reminder.take,
            reminder.release,
        )
        for name, reminder in save.remind.items()
    ]


def _taken(connection: sqlite3.Connection, actor: int | None, save: Save) -> frozenset[str]:
    return frozenset(
        [
            name
            for name, reminder in save.remind.items()
            if reminder.take is not None
            and connection.execute(
                "SELECT 1 FROM reminders WHERE actor = ? AND name = ? AND holder = ?",
                (actor, name, reminder.take),
            ).fetchone()
        ]
    )

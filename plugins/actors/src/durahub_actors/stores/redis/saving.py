"""Saves as the script `save.lua` takes them, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from durahub_actors.stores.redis.keys import escape, name_actor
from durahub_actors.stores.saves import (
    UNCHECKED,
    Refusal,
    Refused,
    Reminder,
    Save,
    Saved,
    SaveResult,
)

YEAR_1 = datetime.min.replace(tzinfo=UTC)

_RANK_DIGITS = 16
_MOMENT_DIGITS = 18
_ORDER_DIGITS = 19
_MICROSECOND = timedelta(microseconds=1)

_REFUSALS = {1: Refusal.LEASE, 2: Refusal.ETAG, 3: Refusal.HOLDER}

DUE_RANK_DIGITS = _MOMENT_DIGITS + _ORDER_DIGITS
"""With so many digits an entry in the index of due reminders begins."""


def encode_saves(saves: Sequence[Save]) -> list[bytes]:
    """Return the arguments of the script for saves of one bucket."""
    packed = msgspec.msgpack.encode([_to_plain(save) for save in saves])
    return [packed, *(value for save in saves for value in _values(save))]


def decode_result(reply: Any) -> SaveResult:
    """Return what the script answered for one save."""
    if isinstance(reply, int):
        return Refused(_REFUSALS[reply])
    etag, *taken = reply
    return Saved(
        etag=None if etag is None else etag.decode(),
        taken=frozenset(name.decode() for name in taken),
    )


def rank_text(rank: int) -> str:
    """Return a rank such that texts are in the order of ranks."""
    return f"{rank:0{_RANK_DIGITS}}"


def parse_mark(entry: bytes) -> tuple[int, str]:
    """Return rank and id of an entry in an index."""
    return int(entry[:_RANK_DIGITS]), entry[_RANK_DIGITS:].decode()


def due_rank(reminder: Reminder) -> str:
    """Return where a reminder stands in its queue, such that texts are in this order."""
    moment = (reminder.due_at - YEAR_1) // _MICROSECOND
    return f"{moment:0{_MOMENT_DIGITS}}{reminder.order:0{_ORDER_DIGITS}}"


def parse_due_at(entry: bytes) -> datetime:
    """Return the moment with which an entry of a queue begins."""
    return YEAR_1 + int(entry[:_MOMENT_DIGITS]) * _MICROSECOND


def _values(save: Save) -> Iterator[bytes]:
    yield from save.put.values()
    for reminder in save.remind.values():
        yield reminder.payload


def _to_plain(save: Save) -> dict[str, Any]:
    expected: str | bool = save.expected or False if save.expected is not UNCHECKED else True
    return {
        "actor": name_actor(save.actor),
        "type": escape(save.actor.type),
        "id": save.actor.id,
        "leases": save.leases,
        "expected": expected,
        "etag": _or_false(save.etag),
        "held": [(name, _or_false(lease)) for name, lease in save.held.items()],
        "erase": save.erase,
        "put": list(save.put),
        "delete": save.delete,
        "mark": [(index, rank_text(rank)) for index, rank in save.mark.items()],
        "unmark": save.unmark,
        "remind": [_plain_reminder(name, reminder) for name, reminder in save.remind.items()],
        "forget": save.forget,
        "hold": [(name, _or_false(lease)) for name, lease in save.hold.items()],
    }


def _plain_reminder(name: str, reminder: Reminder) -> dict[str, Any]:
    return {
        "name": name,
        "queue": reminder.queue,
        "rank": due_rank(reminder),
        "label": reminder.label,
        "release": reminder.release,
        "take": _or_false(reminder.take),
    }


def _or_false(text: str | None) -> str | bool:
    # Lua's arrays end at a nil.
    return False if text is None else text

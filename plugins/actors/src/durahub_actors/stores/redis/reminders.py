"""Questions about reminders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from durahub_actors.stores.redis.hub import Hub, parse_time
from durahub_actors.stores.redis.keys import bucket_of, name_actor, parse_actor
from durahub_actors.stores.redis.merging import find_first
from durahub_actors.stores.redis.saving import DUE_RANK_DIGITS, parse_due_at
from durahub_actors.stores.saves import ActorId, ReminderId
from durahub_actors.stores.views import DueReminder, DueReminders

_HEAD = msgspec.msgpack.Decoder(tuple[str, str, str, str | bool])
_REF = msgspec.msgpack.Decoder(tuple[str, str])


MOST_LOOKS = 20
"""How often to look again for what others take meanwhile."""


async def find_due(hub: Hub, queue: str, limit: int) -> DueReminders:
    """Return reminders that are due and held by nobody, as `StateStore.due`.

    Each bucket judges by the clock of its own server.
    """
    due, is_whole = await _find_due(hub, queue, limit)
    for _ in range(MOST_LOOKS):
        # Fewer than asked for would mean that there are no others.
        if is_whole:
            break
        due, is_whole = await _find_due(hub, queue, limit)
    return due


async def _find_due(hub: Hub, queue: str, limit: int) -> tuple[DueReminders, bool]:
    """Return what is due, and whether it is still all that was found."""
    times: dict[int, datetime] = {}
    next_ones: dict[int, bytes | None] = {}

    async def look(wanted: Mapping[int, int]) -> Mapping[int, Sequence[bytes]]:
        replies = await hub.run(
            [hub.script(bucket, "due", queue, most) for bucket, most in wanted.items()]
        )
        entries = {}
        for bucket, (seconds, micros, due, later) in zip(wanted, replies, strict=True):
            times[bucket] = parse_time(seconds, micros)
            next_ones[bucket] = later[0] if later else None
            entries[bucket] = due
        return entries

    # One more than asked for, to know whether there is more.
    found = await find_first(look, hub.buckets, limit + 1)
    later = [entry for entry in next_ones.values() if entry is not None]
    reminders = await _read(hub, found[:limit])
    due = DueReminders(
        reminders=reminders,
        next_due_at=parse_due_at(min(later)) if later and len(found) <= limit else None,
        now=times[hub.buckets[0]],
    )
    return due, len(reminders) == len(found[:limit])


async def _read(hub: Hub, entries: Sequence[tuple[bytes, int]]) -> tuple[DueReminder, ...]:
    if not entries:
        return ()
    refs = [_REF.decode(entry[DUE_RANK_DIGITS:]) for entry, _ in entries]
    fields = await hub.run(
        [
            hub.call(bucket, "HMGET", f":reminders||{actor}", f"r{name}", f"p{name}")
            for (actor, name), (_, bucket) in zip(refs, entries, strict=True)
        ]
    )
    return tuple(
        DueReminder(
            id=ReminderId(parse_actor(actor), name),
            due_at=parse_due_at(entry),
            label=head[2],
            payload=payload or b"",
        )
        for (actor, name), (entry, _), (packed, payload) in zip(refs, entries, fields, strict=True)
        if (head := _still_due(packed, entry)) is not None
    )


def _still_due(packed: bytes | None, entry: bytes) -> tuple[str, str, str, str | bool] | None:
    # Between the two looks somebody may have taken it, put it off or removed it.
    if packed is None:
        return None
    head = _HEAD.decode(packed)
    is_same = head[1].encode() == entry[:DUE_RANK_DIGITS] and head[3] is False
    return head if is_same else None


async def find_held(hub: Hub, lease: str) -> tuple[ReminderId, ...]:
    """Return what a lease holds, as `StateStore.held`."""
    found = await hub.look(
        [hub.call(bucket, "SMEMBERS", f":held||{lease}") for bucket in hub.buckets]
    )
    return tuple(_parse_ref(ref) for refs in found for ref in refs)


async def count_labels(hub: Hub, queue: str) -> Mapping[str, int]:
    """Return how many reminders of a queue are held by label, as `StateStore.held_labels`."""
    found = await hub.look(
        [hub.call(bucket, "HGETALL", f":labels||{queue}") for bucket in hub.buckets]
    )
    counts: Counter[str] = Counter()
    for labels in found:
        counts.update({label.decode(): int(count) for label, count in labels.items()})
    return counts


async def find_reminders(hub: Hub, home: ActorId) -> tuple[ReminderId, ...]:
    """Return the reminders of an actor, as `StateStore.reminders`."""
    name = name_actor(home)
    (fields,) = await hub.look([hub.call(bucket_of(name), "HKEYS", f":reminders||{name}")])
    return tuple(ReminderId(home, field[1:].decode()) for field in fields if field.startswith(b"r"))


def _parse_ref(ref: Any) -> ReminderId:
    actor, name = _REF.decode(ref)
    return ReminderId(parse_actor(actor), name)

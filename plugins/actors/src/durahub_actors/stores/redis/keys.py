"""What things are called in Redis.

A task hub has a fixed number of buckets, and every actor falls into one of them by its name. Each bucket has
a hash tag, with which all its keys begin, so that Redis Cluster keeps them together:

    {durahub:3.17}||order-app||dapr.internal.default.order-app.workflow||order-17      hash: state
    {durahub:3.17}:reminders||order-app||dapr.internal.default.order-app.workflow||order-17    hash
    {durahub:3.17}:due||<queue>            sorted set: reminders that nobody holds, by moment
    {durahub:3.17}:held||<lease>           set: reminders that a lease holds
    {durahub:3.17}:labels||<queue>         hash: how many are held, by label
    {durahub:3.17}:index||<type>||<index>  sorted set: actors by rank
    {durahub:3.17}:live                    set: leases that saves may name
    {durahub:3.17}:schema                  hash: version

Behind the tag of an actor's key stands what Dapr calls it, `<app id>||<actor type>||<actor id>`; the state's
keys are the fields of the hash.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

from redis.crc import key_slot

from durahub_actors.stores.saves import ActorId

BUCKETS = 16
"""How many buckets a task hub has. Changing it is a new version of the schema."""

_SLOTS = 16384

_APP = re.compile(r"dapr\.internal\..+\.([^.]+)\.(?:workflow|activity)", re.DOTALL)


def find_tags(hub: str) -> tuple[str, ...]:
    """Return the hash tags of a task hub's buckets.

    Each falls into another sixteenth of the slots, so that nodes with equal shares of the slots, which is
    how clusters are made, have equal shares of the buckets.
    """
    return tuple(_find_tag(hub, bucket) for bucket in range(BUCKETS))


def _find_tag(hub: str, bucket: int) -> str:
    number = 0
    while key_slot(f"{hub}:{bucket}.{number}".encode()) * BUCKETS // _SLOTS != bucket:
        number += 1
    return f"{{{hub}:{bucket}.{number}}}"


def slot_of(tag: str) -> int:
    """Return the slot of Redis Cluster in which a bucket is."""
    return key_slot(tag.encode())


def name_actor(actor: ActorId) -> str:
    """Return what an actor is called in keys; inverse of `parse_actor`.

    `|` is written as `%7C` in types, so that two actors never have the same name.
    """
    return f"{_name_type(actor.type)}||{actor.id}"


@lru_cache(maxsize=1024)
def _name_type(actor_type: str) -> str:
    found = _APP.fullmatch(actor_type)
    return f"{escape(found[1] if found else '')}||{escape(actor_type)}"


def parse_actor(name: str) -> ActorId:
    """Return the actor of a name."""
    _, actor_type, actor_id = name.split("||", 2)
    return ActorId(actor_type.replace("%7C", "|").replace("%25", "%"), actor_id)


def escape(text: str) -> str:
    """Return a text without `|`, a different one for each text."""
    return text.replace("%", "%25").replace("|", "%7C")


def bucket_of(name: str) -> int:
    """Return the bucket of an actor by its name."""
    return zlib.crc32(name.encode()) % BUCKETS


def find_bucket(tags: Sequence[str], key: bytes) -> int | None:
    """Return the bucket that a key belongs to; None if it is none of this task hub."""
    for bucket, tag in enumerate(tags):
        if key.startswith((f"{tag}||".encode(), f"{tag}:".encode())):
            return bucket
    return None

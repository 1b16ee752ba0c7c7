"""Values of actors, and the indexes that find them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from durahub_actors.stores.redis.hub import Hub
from durahub_actors.stores.redis.keys import bucket_of, escape, name_actor
from durahub_actors.stores.redis.merging import find_first
from durahub_actors.stores.redis.saving import (
    decode_result,
    encode_saves,
    parse_mark,
    rank_text,
)
from durahub_actors.stores.saves import ActorId, Save, SaveResult, check_save
from durahub_actors.stores.views import ActorState, MarkedActor


async def write(hub: Hub, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
    """Carry out saves, as `StateStore.write`; those of one bucket in one call of the script."""
    for save in saves:
        check_save(save)
    groups = _by_bucket([save.actor for save in saves])
    calls = [
        hub.script(bucket, "save", *encode_saves([saves[number] for number in numbers]))
        for bucket, numbers in groups.items()
    ]
    replies = await hub.run(calls) if calls else []
    results = {
        number: decode_result(reply)
        for numbers, group in zip(groups.values(), replies, strict=True)
        for number, reply in zip(numbers, group, strict=True)
    }
    return tuple(results[number] for number in range(len(saves)))


async def read(
    hub: Hub, actors: Sequence[ActorId], keys: Sequence[str], prefixes: Sequence[str]
) -> tuple[ActorState | None, ...]:
    """Return values of actors, as `StateStore.read`."""
    groups = _by_bucket(actors)
    encode = msgspec.msgpack.encode
    wanted = (encode(list(dict.fromkeys(keys))), encode(list(prefixes)))
    calls = [
        hub.script(
            bucket, "read", encode([name_actor(actors[number]) for number in numbers]), *wanted
        )
        for bucket, numbers in groups.items()
    ]
    replies = await hub.run(calls) if calls else []
    states = {
        number: _decode_state(reply)
        for numbers, group in zip(groups.values(), replies, strict=True)
        for number, reply in zip(numbers, group, strict=True)
    }
    return tuple(states[number] for number in range(len(actors)))


async def find_marked(
    hub: Hub, actor_type: str, index: str, after: tuple[int, str] | None, limit: int, key: str
) -> tuple[MarkedActor, ...]:
    """Return actors by rank, as `StateStore.marked`."""
    name = f":index||{escape(actor_type)}||{index}"
    start = b"-" if after is None else b"(" + (rank_text(after[0]) + after[1]).encode()

    async def look(wanted: Mapping[int, int]) -> Mapping[int, Sequence[bytes]]:
        replies = await hub.look(
            [
                hub.call(bucket, "ZRANGEBYLEX", name, start, "+", "LIMIT", 0, most)
                for bucket, most in wanted.items()
            ]
        )
        return dict(zip(wanted, replies, strict=True))

    found = [
        (parse_mark(entry), bucket) for entry, bucket in await find_first(look, hub.buckets, limit)
    ]
    if not found:
        return ()
    values = await hub.run(
        [
            hub.call(bucket, "HGET", "||" + name_actor(ActorId(actor_type, actor_id)), key)
            for (_, actor_id), bucket in found
        ]
    )
    return tuple(
        MarkedActor(id=actor_id, rank=rank, value=value)
        for ((rank, actor_id), _), value in zip(found, values, strict=True)
    )


def _by_bucket(actors: Sequence[ActorId]) -> dict[int, list[int]]:
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for number, actor in enumerate(actors):
        groups[bucket_of(name_actor(actor))].append(number)
    return dict(groups)


def _decode_state(reply: Any) -> ActorState | None:
    if reply is None:
        return None
    etag, *fields = reply
    values = dict(sorted(zip(fields[::2], fields[1::2], strict=True)))
    return ActorState(
        etag=etag.decode(), values={key.decode(): value for key, value in values.items()}
    )

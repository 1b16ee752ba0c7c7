"""Whether there is a task hub, and how it comes and goes."""

from __future__ import annotations

from durahub.backend import SchemaStatus
from durahub.errors import BackendCorruptionError, SchemaVersionError

from durahub_actors.stores.redis.hub import Hub
from durahub_actors.stores.redis.keys import find_bucket
from durahub_actors.stores.redis.nodes import Node

VERSION = 1

_PER_SCAN = 1000


async def status(hub: Hub) -> SchemaStatus:
    """Return which version is there.

    Raises:
        BackendCorruptionError: What is there says no version.
    """
    (found,) = await hub.run([hub.call(0, "HGET", ":schema", "version")])
    if found is None:
        return SchemaStatus(found=None, current=VERSION)
    try:
        return SchemaStatus(found=int(found), current=VERSION)
    except ValueError:
        raise BackendCorruptionError(
            f"{hub.place} lost its schema version; restore a backup"
        ) from None


async def require_known(hub: Hub) -> None:
    """Refuse a task hub of a newer program.

    Raises:
        SchemaVersionError: It is newer.
        BackendCorruptionError: It says no version.
    """
    found, _ = await status(hub)
    if found is not None and found > VERSION:
        raise SchemaVersionError(
            f"{hub.place} has schema version {found}, and this program knows versions up to {VERSION}:"
            " use the newer durahub-actors that wrote it, or a backup",
            found=found,
            supported=VERSION,
        )


async def create(hub: Hub) -> None:
    """Create a task hub; one that exists stays as it is.

    The first bucket comes last, so that a task hub that is there is there completely. What a deletion that
    was interrupted has left is removed first.
    """
    (is_going,) = await hub.run([hub.call(0, "EXISTS", ":deleting")])
    if is_going:
        await delete(hub)
    for buckets in (hub.buckets[1:], hub.buckets[:1]):
        await hub.run(
            [hub.call(bucket, "HSETNX", ":schema", "version", VERSION) for bucket in buckets]
        )


async def delete(hub: Hub) -> None:
    """Remove all keys of a task hub and nothing else. Interrupted, it is finished by the next `create`."""
    await hub.run([hub.call(0, "SET", ":deleting", 1)])
    # From here on nothing is written any more.
    await hub.run([hub.call(bucket, "UNLINK", ":schema") for bucket in hub.buckets])
    async with hub.lend_primaries() as nodes:
        for node in nodes:
            await _remove_keys(hub, node)
    await hub.run([hub.call(0, "UNLINK", ":deleting")])


async def _remove_keys(hub: Hub, node: Node) -> None:
    deleting = hub.key(0, ":deleting").encode()
    cursor = 0
    while True:
        (reply,) = await node.send(
            [("SCAN", cursor, "MATCH", f"{{{hub.name}:*", "COUNT", _PER_SCAN)]
        )
        if isinstance(reply, Exception):
            raise reply
        cursor, keys = reply
        ours = [key for key in keys if key != deleting and find_bucket(hub.tags, key) is not None]
        for answer in await node.send([("UNLINK", key) for key in ours]) if ours else ():
            if isinstance(answer, Exception):
                raise answer
        if cursor == 0:
            return

"""Which host an actor belongs to. Pure."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from durahub_actors.stores import ActorId


def place(actor: ActorId, hosts: Collection[str]) -> str:
    """Return the host that an actor belongs to, by rendezvous hashing.

    All who know the same hosts agree. When a host comes or goes, only actors that belong to it then, or
    did, change their place.

    Args:
        actor: Which actor.
        hosts: Names of those that live; at least one.
    """
    if len(hosts) == 1:
        return next(iter(hosts))
    name = f"{actor.type}\0{actor.id}".encode("utf-8", "surrogatepass")
    return max(hosts, key=lambda host: (_weight(host, name), host))


def _weight(host: str, name: bytes) -> bytes:
    return blake2b(name, digest_size=8, key=host.encode()[:64]).digest()

"""A first look at the servers: whether they will do, and whether they keep what they acknowledge."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from durahub.errors import BackendError, BackendUnavailableError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from durahub_actors.stores.redis.nodes import Node

_LOG = logging.getLogger(__name__)

_MOST_DIFFERENCE_S = 1.0

OLDEST_SERVER = (6, 2)
"""Oldest version of Redis whose scripts may look at the clock and write, and that has all commands used."""


async def examine(nodes: Sequence[Node], place: str, *, is_cluster: bool) -> bool:
    """Look at all primaries; return False if one of them is known to keep nothing on disk.

    What does not fit durability is logged as a warning, once per kind.

    Raises:
        BackendError: A server is too old, or is part of a cluster and should not be.
        BackendUnavailableError: A server is a replica.
        RedisError, OSError, TimeoutError: A server can't be reached or refuses us.
    """
    warnings: dict[str, None] = {}
    is_durable = True
    offsets_s = []
    for node in nodes:
        began_s = time.monotonic()
        (moment,) = await node.send([("TIME",)])
        if not isinstance(moment, RedisError):
            ahead_s = moment[0] + moment[1] / 1_000_000 - (began_s + time.monotonic()) / 2
            offsets_s.append(ahead_s)
        information, fsync = await node.send([("INFO",), ("CONFIG", "GET", "appendfsync")])
        if isinstance(information, RedisError):
            if isinstance(information, RedisConnectionError):
                raise information
            warnings[
                "it could not be checked whether the server keeps its state (INFO is refused)"
            ] = None
            continue
        _require_usable(information, place, is_cluster=is_cluster)
        if not information.get("aof_enabled", 1):
            is_durable = False
        warnings |= dict.fromkeys(_find_warnings(information, fsync))
    warnings |= dict.fromkeys(_compare_clocks(offsets_s))
    for warning in warnings:
        _LOG.warning("%s: %s", place, warning)
    return is_durable


def _compare_clocks(offsets_s: Sequence[float]) -> list[str]:
    differ_s = max(offsets_s, default=0.0) - min(offsets_s, default=0.0)
    if differ_s < _MOST_DIFFERENCE_S:
        return []
    return [
        f"the clocks of the servers differ by {differ_s:.1f} s, and timers fire late or early by that"
    ]


def _require_usable(information: dict[str, Any], place: str, *, is_cluster: bool) -> None:
    version = str(information.get("redis_version", ""))
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if parts and parts < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise BackendError(f"{place}: the server is Redis {version}; {oldest} or newer is needed")
    if information.get("cluster_enabled") and not is_cluster:
        raise BackendError(f"{place}: the server belongs to a cluster; set redisType to cluster")
    if information.get("role", "master") != "master":
        raise BackendUnavailableError(
            f"{place}: the server is a replica; a fail-over is under way, or redisHost names the wrong one"
        )


def _find_warnings(information: dict[str, Any], fsync: Any) -> list[str]:
    found = []
    if not information.get("aof_enabled", 1):
        found.append(
            "the server keeps no append-only file: when it ends, workflows since its last snapshot are"
            " lost; set appendonly yes"
        )
    elif isinstance(fsync, RedisError) or not fsync:
        found.append(
            "it could not be checked how often the server flushes its append-only file (CONFIG GET is"
            " refused); appendfsync should be always or everysec"
        )
    elif fsync[1] == b"no":
        found.append(
            "the server leaves flushing to the operating system: when its machine stops, the last half"
            " minute may be lost; set appendfsync always or everysec"
        )
    if information.get("maxmemory_policy", "noeviction") != "noeviction":
        found.append("the server may evict workflows; set maxmemory-policy noeviction")
    return found

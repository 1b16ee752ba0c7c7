"""The nodes of a Redis Cluster, and which of them has which bucket."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis.exceptions import (
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
)

from durahub_actors.stores.redis.connecting import Connector
from durahub_actors.stores.redis.nodes import Call, Node, Servers

_REDIRECTIONS = 5

Address = tuple[str, int]


class Cluster(Servers):
    """The nodes of a Redis Cluster.

    A call that a node does not answer because the bucket has moved is sent to where it went. While a bucket
    is being moved key by key nothing follows it (ASK): a script would see only the half of it that is there
    already.

    Args:
        connector: Makes clients.
        addresses: Where to ask for the others first.
        slots: The slot of each bucket.
        most: Most connections to each node at the same time.
        patience_s: Seconds after which a pipeline is given up.
    """

    def __init__(
        self,
        connector: Connector,
        addresses: Sequence[Address],
        slots: Sequence[int],
        *,
        most: int,
        patience_s: float,
    ) -> None:
        self._connector = connector
        self._addresses = addresses
        self._slots = slots
        self._most = most
        self._patience_s = patience_s
        self._nodes: dict[Address, Node] = {}
        self._primaries: tuple[Address, ...] = ()
        self._homes: tuple[Address, ...] | None = None
        self._looking = asyncio.Lock()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls, one pipeline per node, and follow buckets that have moved."""
        answers: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        for _ in range(_REDIRECTIONS):
            await self._run_once(calls, waiting, answers)
            waiting = [number for number in waiting if isinstance(answers[number], MovedError)]
            if not waiting:
                break
        return answers

    async def primaries(self) -> Sequence[Node]:
        """Return the nodes that have slots."""
        await self._find_homes()
        return [self._node(address) for address in self._primaries]

    async def close(self) -> None:
        """Close all connections."""
        for node in self._nodes.values():
            await node.close()

    async def _run_once(
        self, calls: Sequence[Call], waiting: Sequence[int], answers: list[Any]
    ) -> None:
        homes = await self._find_homes()
        groups: defaultdict[Address, list[int]] = defaultdict(list)
        for number in waiting:
            groups[homes[calls[number].bucket]].append(number)
        outcomes = await asyncio.gather(
            *(
                self._node(address).run([calls[number] for number in numbers])
                for address, numbers in groups.items()
            ),
            return_exceptions=True,
        )
        for numbers, outcome in zip(groups.values(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._homes = None
                raise outcome
            for number, answer in zip(numbers, outcome, strict=True):
                answers[number] = answer
                if isinstance(answer, MovedError | ClusterDownError | ReadOnlyError):
                    self._homes = None

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(
                self._connector.connect_to(*address), most=self._most, patience_s=self._patience_s
            )
        return node

    async def _find_homes(self) -> tuple[Address, ...]:
        async with self._looking:
            if self._homes is None:
                self._homes = await self._ask_for_homes()
            return self._homes

    async def _ask_for_homes(self) -> tuple[Address, ...]:
        failure: Exception | None = None
        for address in dict.fromkeys((*self._primaries, *self._addresses, *self._nodes)):
            try:
                (answer,) = await self._node(address).send([("CLUSTER", "SLOTS")])
                if isinstance(answer, RedisError):
                    raise answer
                ranges = [_parse_range(row, address) for row in answer]
                homes = tuple(_find_home(slot, ranges) for slot in self._slots)
            except (RedisError, OSError, TimeoutError) as error:
                failure = error
            else:
                self._primaries = tuple(dict.fromkeys(home for _, _, home in ranges))
                return homes
        assert failure is not None
        raise failure


def _parse_range(row: Any, asked: Address) -> tuple[int, int, Address]:
    """Return first and last slot and the primary of a row of CLUSTER SLOTS."""
    first, last, (host, port, *_), *_ = row
    # A node that does not know what it is called leaves that to us.
    return first, last, (host.decode() if host else asked[0], port)


def _find_home(slot: int, ranges: Sequence[tuple[int, int, Address]]) -> Address:
    for first, last, home in ranges:
        if first <= slot <= last:
            return home
    raise ClusterDownError("a slot is nobody's", status_code="CLUSTERDOWN")

"""One server, and what is said to it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.typing import EncodableT

from durahub_actors.stores.redis.scripts import Script


class Call(NamedTuple):
    """A command for one bucket.

    Attributes:
        bucket: Which.
        command: Its words.
        script: What the command runs, if it runs a script.
    """

    bucket: int
    command: tuple[EncodableT, ...]
    script: Script | None = None


class Node:
    """One server.

    Args:
        client: How to speak to it; the node closes it.
        most: Most connections at the same time.
        patience_s: Seconds after which a pipeline is given up.
    """

    def __init__(self, client: Redis, *, most: int, patience_s: float) -> None:
        self._client = client
        self._room = asyncio.Semaphore(most)
        self._patience_s = patience_s
        self.trips = 0
        """How many pipelines it was sent."""

    async def send(self, commands: Sequence[Sequence[EncodableT]]) -> list[Any]:
        """Send commands in one pipeline and return the answers, refusals of the server among them.

        Raises:
            RedisError, OSError, TimeoutError: The connection is lost; some commands may have taken effect.
        """
        try:
            async with asyncio.timeout(self._patience_s), self._room:
                self.trips += 1
                pipeline = self._client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError):
            await self._drop_connections()
            raise
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            await self._drop_connections()
        return answers

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send calls in one pipeline, and load the scripts that the server does not know."""
        answers = await self.send([call.command for call in calls])
        lacking = [
            number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)
        ]
        if not lacking:
            return answers
        scripts = {calls[number].script for number in lacking} - {None}
        loading = [("SCRIPT", "LOAD", script.text) for script in scripts if script is not None]
        again = await self.send([*loading, *(calls[number].command for number in lacking)])
        for number, answer in zip(lacking, again[len(loading) :], strict=True):
            answers[number] = answer
        return answers

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _drop_connections(self) -> None:
        # After a fail-over they are all useless, and would fail one by one.
        await self._client.connection_pool.disconnect(inuse_connections=False)


class Servers(ABC):
    """All servers of a store."""

    @abstractmethod
    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls, one pipeline per server, and return the answers in their order.

        An answer may be a `ResponseError`: the call had no effect.

        Raises:
            RedisError, OSError, TimeoutError: A server can't be reached; some calls may have taken effect.
        """

    @abstractmethod
    async def primaries(self) -> Sequence[Node]:
        """Return all servers that have a part of the keys."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


class SingleServer(Servers):
    """One server, or the primary that sentinels name.

    Args:
        node: The server.
        helpers: Clients to close with it.
    """

    def __init__(self, node: Node, helpers: Iterable[Redis] = ()) -> None:
        self._node = node
        self._helpers = tuple(helpers)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls in one pipeline."""
        return await self._node.run(calls)

    async def primaries(self) -> Sequence[Node]:
        """Return the one server."""
        return (self._node,)

    async def close(self) -> None:
        """Close all connections."""
        await self._node.close()
        for helper in self._helpers:
            await helper.aclose()

"""A task hub on its servers: its buckets, and calls to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from durahub.clock import from_micros
from durahub.errors import BackendError, TaskHubNotFoundError
from redis.exceptions import RedisError
from redis.typing import EncodableT

from durahub_actors.stores.redis.errors import translate, translate_errors
from durahub_actors.stores.redis.keys import find_tags
from durahub_actors.stores.redis.nodes import Call, Node, Servers
from durahub_actors.stores.redis.scripts import load_script


class Hub:
    """A task hub on its servers.

    Args:
        name: What it is called.
        place: What `StateStore.describe` returns.
    """

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.place = place
        self.tags = find_tags(name)
        self._servers: Servers | None = None
        self._users = 0
        self._is_unused = asyncio.Event()

    @property
    def buckets(self) -> range:
        """The numbers of its buckets."""
        return range(len(self.tags))

    def attach(self, servers: Servers) -> None:
        """Use these servers from now on."""
        self._servers = servers

    async def detach(self) -> None:
        """Wait for calls in progress, which are bounded, and close all connections. Idempotent."""
        servers, self._servers = self._servers, None
        if servers is None:
            return
        while self._users:
            self._is_unused.clear()
            await self._is_unused.wait()
        await servers.close()

    def key(self, bucket: int, rest: str) -> str:
        """Return a key of a bucket."""
        return self.tags[bucket] + rest

    def call(self, bucket: int, command: str, rest: str, *arguments: EncodableT) -> Call:
        """Return the call of a command for one key of a bucket, which is given without its hash tag."""
        return Call(bucket, (command, self.key(bucket, rest), *arguments))

    def bare_call(self, bucket: int, *command: EncodableT) -> Call:
        """Return the call of a command without a key for the server that has a bucket."""
        return Call(bucket, command)

    def script(self, bucket: int, name: str, *arguments: EncodableT) -> Call:
        """Return the call of a script for a bucket."""
        script = load_script(name)
        schema = self.key(bucket, ":schema")
        return Call(bucket, ("EVALSHA", script.digest, 1, schema, *arguments), script)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls, in one trip to each server that they are for, and return their answers.

        Raises:
            TaskHubNotFoundError: A script found no task hub.
            BackendError: As `translate`.
        """
        with translate_errors(self.place):
            async with self._use() as servers:
                answers = await servers.run(calls)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise translate(self.place, answer)
        return answers

    async def look(self, calls: Sequence[Call]) -> list[Any]:
        """Carry out calls that are no scripts, as `run` does, and find out whether there is a task hub.

        Raises:
            TaskHubNotFoundError: There is none.
            BackendError: As `run`.
        """
        exists, *answers = await self.run([self.call(calls[0].bucket, "EXISTS", ":schema"), *calls])
        if not exists:
            raise TaskHubNotFoundError(f"{self.place} holds no task hub; create it first")
        return answers

    @asynccontextmanager
    async def lend_primaries(self) -> AsyncIterator[Sequence[Node]]:
        """Lend the servers that have a part of the keys."""
        with translate_errors(self.place):
            async with self._use() as servers:
                yield await servers.primaries()

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[Servers]:
        if self._servers is None:
            raise BackendError(f"{self.place} is not open")
        self._users += 1
        try:
            yield self._servers
        finally:
            self._users -= 1
            self._is_unused.set()


def parse_time(seconds: Any, micros: Any) -> datetime:
    """Return the moment that the server's clock showed."""
    return from_micros(int(seconds) * 1_000_000 + int(micros))

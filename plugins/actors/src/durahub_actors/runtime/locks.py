"""One turn at a time: who works with which actors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from durahub_actors.stores import ActorId


class ActorLocks:
    """Gives actors to one call at a time, all that the call needs at once, so that none waits for another."""

    def __init__(self) -> None:
        self._busy: set[ActorId] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def holding(self, actors: AbstractSet[ActorId]) -> AsyncIterator[None]:
        """Have these actors to oneself. Cancelled while it waits, it has none of them."""
        while not self._busy.isdisjoint(actors):
            await self._next_release()
        self._busy |= actors
        try:
            yield
        finally:
            self._busy -= actors
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiting.clear()

    async def _next_release(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

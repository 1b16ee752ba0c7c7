"""An open store under test, with short ways to say what the laws are about."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from durahub_actors.stores import (
    ActorId,
    ActorState,
    Lease,
    Refusal,
    Refused,
    Reminder,
    ReminderId,
    Save,
    Saved,
    SaveResult,
    StateStore,
)

from durahub_conformance.state_stores.harness import StateStoreHarness

QUEUE = "queue"
LONG = timedelta(days=1)
HOLDER_REFUSED = Refused(Refusal.HOLDER)
ETAG_REFUSED = Refused(Refusal.ETAG)
LEASE_REFUSED = Refused(Refusal.LEASE)


class Stand:
    """One open store, created, and others on its place.

    Attributes:
        harness: What makes stores.
        store: The store under test.
        moment: A time that the store can tell from none.
    """

    def __init__(self, harness: StateStoreHarness, store: StateStore) -> None:
        self.harness = harness
        self.store = store
        self.moment = harness.moment
        self._opened = [store]
        self._numbers = itertools.count(1)

    async def another(self) -> StateStore:
        """Return a second store on the same place, open; skip the test where there can be none."""
        if not self.store.is_shared:
            pytest.skip("only where several processes may use the store")
        return await self.reopened()

    async def reopened(self) -> StateStore:
        """Return a new store on the same place, open."""
        store = self.harness.store()
        self._opened.append(store)
        await store.open(self.harness.store_clock())
        return store

    async def close(self) -> None:
        """Close all stores."""
        for store in self._opened:
            await store.close()

    async def wait(self, moments: float = 1) -> None:
        """Let so many moments pass for the store."""
        await self.harness.advance(moments * self.moment)

    def name(self, kind: str) -> str:
        """Return a name that was not used before."""
        return f"{kind}-{next(self._numbers)}"

    def actor(self, actor_type: str = "type") -> ActorId:
        """Return an actor without state."""
        return ActorId(actor_type, self.name("actor"))

    async def one(self, actor: ActorId, **fields: Any) -> SaveResult:
        """Carry out one save."""
        (result,) = await self.store.write([Save(actor=actor, **fields)])
        return result

    async def put(self, actor: ActorId, **fields: Any) -> str:
        """Carry out one save that gives an actor a new etag, and return that."""
        etag = self.name("etag")
        result = await self.one(actor, etag=etag, **fields)
        assert isinstance(result, Saved)
        assert result.etag == etag
        return etag

    async def state(self, actor: ActorId, store: StateStore | None = None) -> ActorState | None:
        """Return everything of an actor's state."""
        (state,) = await (store or self.store).read([actor], prefixes=[""])
        return state

    async def values(self, actor: ActorId) -> dict[str, bytes] | None:
        """Return all values of an actor, None if it has no state."""
        state = await self.state(actor)
        return None if state is None else dict(state.values)

    async def reminder(self, **fields: Any) -> Reminder:
        """Return a reminder that is due."""
        plain: dict[str, Any] = {"queue": QUEUE, "due_at": await self.past()}
        return Reminder(**plain | fields)

    async def past(self) -> datetime:
        """Return a moment that is over for every process."""
        return await self.store.now() - timedelta(hours=1)

    async def remind(self, home: ActorId, name: str = "wake", **fields: Any) -> ReminderId:
        """Save a reminder; with `take`, held by that lease."""
        reminder = await self.reminder(**fields)
        leases = () if reminder.take is None else (reminder.take,)
        result = await self.one(home, leases=leases, remind={name: reminder})
        assert isinstance(result, Saved)
        return ReminderId(home, name)

    async def lease(self, time_to_live: timedelta = LONG, **fields: Any) -> str:
        """Acquire a lease and return its name."""
        name = self.name("lease")
        await self.store.acquire(Lease(name=name, time_to_live=time_to_live, **fields))
        return name

    async def mortal(self) -> str:
        """Acquire a lease that is overdue after two moments."""
        return await self.lease(2 * self.moment)

    async def due(self, queue: str = QUEUE, limit: int = 1000) -> list[ReminderId]:
        """Return what is due of a queue, in order."""
        return [found.id for found in (await self.store.due(queue, limit)).reminders]

    async def held(self, lease: str) -> set[ReminderId]:
        """Return what a lease holds."""
        held = await self.store.held(lease)
        assert len(held) == len(set(held))
        return set(held)

    async def marked(self, index: str = "index", actor_type: str = "type") -> list[tuple[int, str]]:
        """Return ranks and ids of an index."""
        found = await self.store.marked(actor_type, index, after=None, limit=1000, key="none")
        return [(actor.rank, actor.id) for actor in found]


@asynccontextmanager
async def open_stand(harness: StateStoreHarness) -> AsyncIterator[Stand]:
    """Open a store, create what it needs, and clean up behind the test."""
    store = harness.store()
    stand = Stand(harness, store)
    try:
        await store.open(harness.store_clock())
        await store.create()
        yield stand
    finally:
        await stand.close()
        await harness.dispose()

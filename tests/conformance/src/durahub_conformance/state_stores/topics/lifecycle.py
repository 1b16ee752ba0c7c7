"""LIF: opening, creating, deleting and closing a store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.backend import SchemaStatus
from durahub.errors import BackendError, TaskHubNotFoundError
from durahub_actors.stores import ActorState, Lease, Save, StateStore

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import QUEUE, Stand


async def _refuses_everything(
    stand: Stand, store: StateStore, error: type[BackendError] = BackendError
) -> None:
    actor = stand.actor()
    calls = (
        lambda: store.write([Save(actor=actor, etag="e")]),
        lambda: store.read([actor]),
        lambda: store.marked("type", "index", after=None, limit=1, key="k"),
        lambda: store.due(QUEUE, 1),
        lambda: store.held("lease"),
        lambda: store.held_labels(QUEUE),
        lambda: store.reminders(actor),
        lambda: store.acquire(Lease(name="lease", time_to_live=timedelta(days=1))),
        lambda: store.renew([]),
        lambda: store.release("lease"),
        store.leases,
    )
    for call in calls:
        with pytest.raises(error):
            await call()


class LifecycleLaws:
    """Laws of the life of a store."""

    @law("LIF-01")
    async def test_store_works_only_while_open(self, stand: Stand) -> None:
        """Before `open` and after `close` every call is refused; closing again is no error."""
        await _refuses_everything(stand, stand.harness.store())
        await stand.store.close()
        await stand.store.close()
        await _refuses_everything(stand, stand.store)
        with pytest.raises(BackendError):
            await stand.store.now()
        await stand.harness.store().close()

    @law("LIF-02")
    async def test_store_has_to_be_created(self, stand: Stand) -> None:
        """Where nothing is, `status` says so, and calls are refused as without a task hub."""
        current = (await stand.store.status()).current
        assert await stand.store.status() == SchemaStatus(current, current)
        await stand.store.delete()
        assert await stand.store.status() == SchemaStatus(None, current)
        await _refuses_everything(stand, stand.store, TaskHubNotFoundError)
        await stand.store.delete()

    @law("LIF-03")
    async def test_deleting_leaves_nothing(self, stand: Stand) -> None:
        """After `delete` and `create` the store is empty."""
        actor, lease = stand.actor(), await stand.lease()
        await stand.put(actor, put={"a": b"1"}, mark={"index": 1})
        await stand.remind(actor)
        await stand.remind(actor, "held", take=lease)
        await stand.store.delete()
        await stand.store.create()
        assert await stand.state(actor) is None
        assert await stand.marked() == []
        assert await stand.due() == []
        assert await stand.held(lease) == set()
        assert await stand.store.leases() == ()
        await stand.store.acquire(Lease(name=lease, time_to_live=timedelta(days=1)))

    @law("LIF-04")
    async def test_creating_keeps_what_is_stored(self, stand: Stand) -> None:
        """`create` keeps everything that is there."""
        actor = stand.actor()
        etag = await stand.put(actor, put={"a": b"1"})
        await stand.store.create()
        assert await stand.state(actor) == ActorState(etag=etag, values={"a": b"1"})

    @law("LIF-05")
    async def test_several_processes_create(self, stand: Stand) -> None:
        """Several stores may create at the same time, and all succeed."""
        others = [await stand.another() for _ in range(3)]
        await stand.store.delete()
        stores = (stand.store, *others)
        await asyncio.gather(*(store.create() for store in stores))
        for store in stores:
            status = await store.status()
            assert status.found == status.current
            assert await store.leases() == ()

    @law("LIF-06")
    async def test_durable_store_keeps_what_it_acknowledged(self, stand: Stand) -> None:
        """What was acknowledged is there for the next process, if the store is durable."""
        if not stand.store.is_durable:
            pytest.skip("only where the store is durable")
        actor, lease = stand.actor(), await stand.lease(data=b"d")
        etag = await stand.put(actor, put={"a": b"1"}, mark={"index": 3})
        free = await stand.remind(actor, "free")
        held = await stand.remind(actor, "held", take=lease)
        leases = await stand.store.leases()
        await stand.store.close()
        stand.store = await stand.reopened()
        assert await stand.state(actor) == ActorState(etag=etag, values={"a": b"1"})
        assert await stand.marked() == [(3, actor.id)]
        assert await stand.due() == [free]
        assert await stand.held(lease) == {held}
        assert await stand.store.leases() == leases

    @law("LIF-07")
    async def test_clock_is_aware_and_moves_on(self, stand: Stand) -> None:
        """The store's clock is aware, in UTC, and never runs backwards."""
        first = await stand.store.now()
        assert first.utcoffset() == timedelta(0)
        await stand.wait()
        assert await stand.store.now() >= first + 0.9 * stand.moment

    @law("LIF-08")
    async def test_description_names_the_place(self, stand: Stand) -> None:
        """`describe` is one line that is not empty, also before the store is open."""
        assert stand.harness.store().describe() == stand.store.describe()
        assert stand.store.describe().strip()
        assert len(stand.store.describe().splitlines()) == 1

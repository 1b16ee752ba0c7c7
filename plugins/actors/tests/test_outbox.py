"""What a turn sends arrives, whoever dies, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count, islice

import pytest
from durahub.backend import (
    BackendServices,
    CreateInstance,
    Deliver,
    InstanceRecord,
    Message,
    ParentLink,
    PurgeInstance,
    Settlement,
)
from durahub.errors import BackendError, BackendUnavailableError
from durahub.testing import ManualClock
from durahub.types import ExecutionId
from durahub_actors.backend import ActorsBackend
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import MemoryState, MemoryStateStore, Save, SaveResult
from durahub_actors.workflows.names import Names

from plugins.actors.tests.hosts import Host, have_met, placed
from tests.making import Make


class FragileStore(MemoryStateStore):
    """Fails from the write on whose number is `fails_at`, before or after that one took effect."""

    def __init__(self, state: MemoryState) -> None:
        super().__init__(state)
        self.fails_at: int | None = None
        self.is_after = False
        self.writes = 0

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        if self.fails_at is None:
            return await super().write(saves)
        self.writes += 1
        if self.writes < self.fails_at:
            return await super().write(saves)
        if self.is_after and self.writes == self.fails_at:
            await super().write(saves)
        raise BackendUnavailableError("the store is gone")


class FragileHost(Host):
    """One process on a store, with a session that owns an instance about to send something."""

    def __init__(self, state: MemoryState, clock: ManualClock, name: str) -> None:
        super().__init__(state, clock, name)
        self.store = FragileStore(state)
        self.backend = ActorsBackend(ActorsSettings(), self.store)
        self.settled: list[str] = []

    async def start(self, life_s: float = 30) -> None:
        await self.backend.open(
            BackendServices(clock=self.clock, settle_occupied=self.settle_occupied)
        )
        await self.backend.create_hub()
        await self.backend.register(Make.registration(self.session, life_s=life_s))

    async def settle_occupied(self, child: CreateInstance, existing: InstanceRecord) -> Settlement:
        self.settled.append(existing.key.instance_id)
        assert child.parent is not None
        return Deliver(key=child.parent.key, messages=(Message(payload=b"occupied"),))


@asynccontextmanager
async def fragile_hosts(*names: str) -> AsyncIterator[list[FragileHost]]:
    """Run hosts that have met: an actor is saved by the host that it belongs to, whoever asks."""
    state, clock = MemoryState(), ManualClock()
    started = [FragileHost(state, clock, name) for name in names]
    for host in started:
        await host.start()
    await have_met(started)
    try:
        yield started
    finally:
        for host in started:
            host.store.fails_at = None
            await host.backend.close()


def ids_of(host: FragileHost, among: Sequence[FragileHost]) -> Iterator[str]:
    """Yield ids of instances that belong to a host."""
    return (one for number in count() for one in placed([f"i{number}"], among)[host])


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", [1, 2])
async def test_what_a_turn_sent_arrives_although_its_host_dies(
    write: int, *, is_after: bool
) -> None:
    async with fragile_hosts("first", "second") as both:
        first, second = both
        sender, receiver, child = islice(ids_of(first, both), 3)
        await first.backend.apply(first.session, [Make.creation(sender), Make.creation(receiver)])
        claims = await first.backend.claim_instances(first.session, 10)
        by_id = {one.record.key.instance_id: one for one in claims.instances}
        await first.backend.apply(first.session, [Make.turn(by_id[receiver])])
        first.store.fails_at, first.store.is_after = write, is_after
        turn = Make.turn(
            by_id[sender],
            children=(Make.creation(child),),
            outgoing=(Make.delivery(receiver, b"hello"),),
        )
        with pytest.raises(BackendUnavailableError):
            await first.backend.apply(first.session, [turn])
        first.clock.advance(timedelta(minutes=5))
        await second.backend.heartbeat(second.session)
        found = await second.backend.claim_instances(second.session, 10)
        arrived = {one.record.key.instance_id: one for one in found.instances}
        if (write, is_after) == (1, False):
            assert arrived.keys() == {sender}
        else:
            assert arrived.keys() == {receiver, child}
            texts = {one.message.payload for one in arrived[receiver].messages}
            assert texts == {b"hello"}


async def test_interrupted_delivery_is_made_up_for_by_the_same_host() -> None:
    async with fragile_hosts("one") as (host,):
        await host.backend.apply(host.session, [Make.creation("sender")])
        (claimed,) = (await host.backend.claim_instances(host.session, 1)).instances
        host.store.fails_at = 2
        turn = Make.turn(claimed, children=(Make.creation("child"),))
        with pytest.raises(BackendUnavailableError):
            await host.backend.apply(host.session, [turn])
        host.store.fails_at = None
        await host.backend.apply(host.session, [])
        (found,) = (await host.backend.claim_instances(host.session, 10)).instances
        assert found.record.key == Make.key("child")


async def test_purge_leaves_no_key_and_no_reminder() -> None:
    async with fragile_hosts("one") as (host,):
        await host.backend.apply(host.session, [Make.creation("sender")])
        (claimed,) = (await host.backend.claim_instances(host.session, 1)).instances
        turn = Make.turn(claimed, children=(Make.creation("child"),))
        await host.backend.apply(host.session, [turn])
        purges = [PurgeInstance(key=Make.key(one), force=True) for one in ("sender", "child")]
        await host.backend.apply(host.session, purges)
        for name in ("sender", "child"):
            actor = Names().actor_of(Make.key(name))
            assert await host.store.read([actor], prefixes=("",)) == (None,)
            assert await host.store.reminders(actor) == ()


async def test_purge_waits_for_what_another_host_has_not_delivered() -> None:
    async with fragile_hosts("first", "second") as both:
        first, second = both
        sender, child = islice(ids_of(first, both), 2)
        await first.backend.apply(first.session, [Make.creation(sender)])
        (claimed,) = (await first.backend.claim_instances(first.session, 1)).instances
        first.store.fails_at = 2
        with pytest.raises(BackendUnavailableError):
            await first.backend.apply(
                first.session, [Make.turn(claimed, children=(Make.creation(child),))]
            )
        purge = PurgeInstance(key=Make.key(sender), force=True)
        with pytest.raises(BackendError, match="still on its way"):
            await second.backend.apply(second.session, [purge])
        first.clock.advance(timedelta(minutes=5))
        await second.backend.heartbeat(second.session)
        await second.backend.apply(second.session, [purge])
        (found,) = (await second.backend.claim_instances(second.session, 10)).instances
        assert found.record.key == Make.key(child)


async def test_child_whose_id_was_taken_meanwhile_goes_to_the_engines_rule() -> None:
    async with fragile_hosts("first", "second") as both:
        first, second = both
        sender, name = next(ids_of(first, both)), next(ids_of(second, both))
        await first.backend.apply(first.session, [Make.creation(sender)])
        (claimed,) = (await first.backend.claim_instances(first.session, 1)).instances
        parent = ParentLink(
            key=claimed.record.key, execution_id=claimed.record.execution_id, task_id=1
        )
        child = Make.creation(name, parent=parent)
        second.store.fails_at = 1
        with pytest.raises(BackendUnavailableError):
            await first.backend.apply(first.session, [Make.turn(claimed, children=(child,))])
        second.store.fails_at = None
        rival = Make.creation(name, execution_id=ExecutionId("rival"))
        await second.backend.apply(second.session, [rival])
        await first.backend.apply(first.session, [])
        assert first.settled == [name]
        found = (await first.backend.claim_instances(first.session, 10)).instances
        messages = {
            one.record.key.instance_id: [stored.message.payload for stored in one.messages]
            for one in found
        }
        assert messages[sender] == [b"occupied"]

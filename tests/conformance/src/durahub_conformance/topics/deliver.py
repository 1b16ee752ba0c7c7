"""DEL: messages and inboxes."""

from __future__ import annotations

import asyncio

import pytest
from durahub.backend import Deliver, Delivered, InstanceEnded, InstanceMissing, Message
from durahub.types import ExecutionId, RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    continuation,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    texts,
    turn,
)


class DeliverRequirements:
    """Requirements of deliveries."""

    @requirement("DEL-01")
    async def test_messages_keep_their_order(self, hub: Hub) -> None:
        """Messages are appended in their order, within one delivery and from one to the next."""
        await hub.idle()
        assert await hub.do(delivery("one", "a", "b")) == [Delivered()]
        assert await hub.do(delivery("one", "c"), delivery("one", "a")) == [Delivered()] * 2
        assert list(await hub.probe.inbox(key("one"))) == [b"a", b"b", b"c", b"a"]
        assert texts(await hub.claim_one()) == ["a", "b", "c", "a"]

    @requirement("DEL-02")
    async def test_delivery_makes_an_idle_instance_due(self, hub: Hub) -> None:
        """A delivery makes an instance due at once."""
        await hub.idle()
        assert await hub.claim() == ()
        await hub.do(delivery("one", "a"))
        assert keys(await hub.claim()) == [key("one")]

    @requirement("DEL-03")
    async def test_missing_receiver_is_told(self, hub: Hub) -> None:
        """A delivery to an instance that does not exist is refused, and leaves no trace."""
        assert await hub.do(delivery("one", "a")) == [InstanceMissing()]
        await hub.create("one")
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("DEL-04")
    @pytest.mark.parametrize(
        "status",
        [
            RuntimeStatus.COMPLETED,
            RuntimeStatus.FAILED,
            RuntimeStatus.CANCELED,
            RuntimeStatus.TERMINATED,
        ],
    )
    async def test_ended_receiver_is_told(self, hub: Hub, status: RuntimeStatus) -> None:
        """A delivery to an instance that has ended is refused with its status; nothing is appended."""
        await hub.ended("one", status=status)
        before = await hub.rows(key("one"))
        assert await hub.do(delivery("one", "a", expedite=True)) == [InstanceEnded(status=status)]
        assert await hub.rows(key("one")) == before
        assert await hub.claim() == ()

    @requirement("DEL-05")
    async def test_message_ids_are_never_used_again(self, hub: Hub) -> None:
        """No two messages of an instance ever have one id, whatever was consumed or started anew."""
        seen: list[int] = []
        claimed = await hub.owned()
        for commit in (turn, continuation, continuation, turn):
            seen += [stored.message_id for stored in claimed.messages]
            await hub.do(commit(claimed), delivery("one", "a", "b"))
            claimed = await hub.claim_one()
        seen += [stored.message_id for stored in claimed.messages]
        assert len(seen) == 11
        assert len(set(seen)) == 11

    @requirement("DEL-06")
    async def test_acceptance_is_by_the_stores_clock(self, hub: Hub) -> None:
        """A message's time of acceptance is the store's clock."""
        before = await hub.backend.now()
        await hub.create("one")
        await hub.wait()
        await hub.do(delivery("one", "a"))
        after = await hub.backend.now()
        first, second = [stored.accepted_at for stored in (await hub.claim_one()).messages]
        assert before <= first
        assert first + 0.9 * hub.moment <= second <= after

    @requirement("DEL-07")
    async def test_message_comes_back_identical(self, hub: Hub) -> None:
        """A message keeps its bytes and the generation it is meant for, or that it has none."""
        messages = (
            Message(payload=b""),
            Message(payload=bytes(range(256))),
            Message(payload=b"x", execution_id=ExecutionId("of old")),
            Message(payload=b"x", execution_id=ExecutionId("")),
            Message(payload=bytes(range(256)) * 4096),
        )
        await hub.idle()
        await hub.do(Deliver(key=key("one"), messages=messages))
        assert tuple(stored.message for stored in (await hub.claim_one()).messages) == messages

    @requirement("DEL-08")
    async def test_message_does_not_wake_before_not_before(self, hub: Hub) -> None:
        """An instance with a not-before time sleeps on when a message comes."""
        await hub.create(creation("one", not_before=await hub.later()))
        assert await hub.do(delivery("one", "a")) == [Delivered()]
        assert await hub.claim() == ()
        await hub.wait()
        assert texts(await hub.claim_one()) == ["start", "a"]

    @requirement("DEL-09")
    async def test_expedite_removes_not_before(self, hub: Hub) -> None:
        """A delivery that expedites makes an instance due before its not-before time."""
        start_at = await hub.later()
        await hub.create(creation("one", not_before=start_at))
        await hub.do(delivery("one", "a", expedite=True))
        claimed = await hub.claim_one()
        assert texts(claimed) == ["start", "a"]
        assert claimed.record.scheduled_start_at == start_at

    @requirement("DEL-10")
    async def test_expedite_without_messages_wakes(self, hub: Hub) -> None:
        """A delivery that expedites wakes an instance though nothing waits for it."""
        await hub.idle()
        assert await hub.do(delivery("one", expedite=True)) == [Delivered()]
        claimed = await hub.claim_one()
        assert (claimed.messages, claimed.timers) == ((), ())

    @requirement("DEL-11")
    async def test_wake_without_messages_ends_with_the_turn(self, hub: Hub) -> None:
        """After the turn for which an instance was woken it is not due again by that."""
        await hub.idle()
        await hub.do(delivery("one", expedite=True))
        await hub.commit(await hub.claim_one())
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)

    @requirement("DEL-12")
    async def test_empty_delivery_does_nothing(self, hub: Hub) -> None:
        """A delivery of nothing that does not expedite leaves an instance asleep."""
        await hub.idle()
        assert await hub.do(delivery("one")) == [Delivered()]
        assert await hub.claim() == ()

    @requirement("DEL-13")
    async def test_message_for_an_owned_instance_waits_for_the_turn(self, hub: Hub) -> None:
        """A message for an owned instance is accepted, and makes it due once the turn is committed."""
        claimed = await hub.owned()
        assert await hub.do(delivery("one", "a")) == [Delivered()]
        assert await hub.claim() == ()
        await hub.commit(claimed)
        assert texts(await hub.claim_one()) == ["a"]

    @requirement("DEL-14")
    async def test_concurrent_senders_lose_nothing(self, hub: Hub) -> None:
        """Messages of many senders at the same time all arrive, each sender's in its order."""

        async def send(sender: int) -> None:
            for number in range(10):
                await hub.do(delivery("one", f"{sender} {number}"))

        await hub.idle()
        async with asyncio.TaskGroup() as group:
            for sender in range(8):
                group.create_task(send(sender))
        arrived = texts(await hub.claim_one())
        assert len(arrived) == 80
        for sender in range(8):
            own = [text for text in arrived if text.startswith(f"{sender} ")]
            assert own == [f"{sender} {number}" for number in range(10)]

    @requirement("DEL-15")
    async def test_messages_do_not_survive_the_end(self, hub: Hub) -> None:
        """A message that came during the last turn is gone with the end of the instance."""
        claimed = await hub.owned()
        await hub.do(delivery("one", "late"))
        await hub.do(last_turn(claimed))
        assert list(await hub.probe.inbox(key("one"))) == []
        assert await hub.claim() == ()

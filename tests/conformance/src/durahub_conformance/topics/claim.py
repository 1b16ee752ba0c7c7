"""CLM: claiming what is due."""

from __future__ import annotations

import asyncio

from durahub.backend import MESSAGES_PER_CLAIM
from durahub.types import InstanceKey

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.topics.giveback import parking
from durahub_conformance.values import (
    OTHER_APP,
    creation,
    delivery,
    key,
    keys,
    texts,
    timer,
)


class ClaimRequirements:
    """Requirements of `claim_instances`."""

    @requirement("CLM-01")
    async def test_claimed_instance_is_not_claimed_again(self, hub: Hub) -> None:
        """A claimed instance is handed to nobody else, whatever is delivered to it."""
        await hub.owned()
        assert await hub.claim() == ()
        await hub.do(delivery("one", "a", expedite=True))
        assert await hub.claim() == ()

    @requirement("CLM-02")
    async def test_concurrent_claims_share_without_overlap(self, hub: Hub) -> None:
        """Of claims made at the same time, every due instance goes to exactly one."""
        await hub.create(*(f"i{number}" for number in range(20)))
        claimed: list[InstanceKey] = []

        async def claim() -> None:
            claimed.extend(keys((await hub.claims(limit=3)).instances))

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(claim())
        assert sorted(claimed) == sorted(key(f"i{number}") for number in range(20))

    @requirement("CLM-03", needs="multi_process")
    async def test_concurrent_sessions_never_own_the_same(self, hub: Hub) -> None:
        """No instance is handed to two sessions that claim at the same time."""
        await hub.create(*(f"i{number}" for number in range(20)))
        sessions = [await hub.join() for _ in range(5)]
        claimed: list[InstanceKey] = []

        async def claim(number: int) -> None:
            for _ in range(3):
                claims = await hub.claims(limit=2, session=sessions[number])
                claimed.extend(keys(claims.instances))

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(claim(number))
        assert sorted(claimed) == sorted(key(f"i{number}") for number in range(20))

    @requirement("CLM-04")
    async def test_limit_is_kept(self, hub: Hub) -> None:
        """No more are claimed than the limit says; the others stay claimable."""
        await hub.create("one", "two", "three")
        assert len((await hub.claims(limit=2)).instances) == 2
        assert len((await hub.claims(limit=2)).instances) == 1

    @requirement("CLM-05")
    async def test_longest_due_comes_first(self, hub: Hub) -> None:
        """Instances are claimed in the order of the moments at which they became due."""
        for instance_id in ("c", "a", "b"):
            await hub.idle(instance_id)
        for instance_id in ("b", "c", "a"):
            await hub.do(delivery(instance_id, "wake"))
            await hub.wait()
        assert keys((await hub.claims(limit=2)).instances) == [key("b"), key("c")]
        assert keys(await hub.claim()) == [key("a")]

    @requirement("CLM-06")
    async def test_timers_and_messages_share_one_order(self, hub: Hub) -> None:
        """A timer counts from its moment, a message from its acceptance, a start from its time."""
        second, fourth = await hub.later(2), await hub.later(4)
        await hub.idle("timer", timers=(timer(1, fourth),))
        await hub.create(creation("start", not_before=second))
        await hub.wait(3)
        await hub.create("message")
        await hub.wait(3)
        assert keys(await hub.claim()) == [key("start"), key("message"), key("timer")]

    @requirement("CLM-07")
    async def test_only_the_sessions_application_is_claimed(self, hub: Hub) -> None:
        """A session claims instances of its own application only, and is told only of those."""
        start_at = await hub.later()
        await hub.create(
            "mine",
            creation("theirs", key=key("theirs", OTHER_APP)),
            creation("later", key=key("later", OTHER_APP), not_before=start_at),
        )
        claims = await hub.claims()
        assert (keys(claims.instances), claims.next_due_at) == ([key("mine")], None)

    @requirement("CLM-08")
    async def test_limit_zero_only_tells(self, hub: Hub) -> None:
        """With limit 0 nothing is claimed, and the moment of the next instance is told."""
        start_at = await hub.later()
        await hub.create(creation("later", not_before=start_at))
        claims = await hub.claims(limit=0)
        assert (claims.instances, claims.next_due_at) == ((), start_at)
        await hub.create("now")
        claims = await hub.claims(limit=0)
        assert (claims.instances, claims.next_due_at) == ((), None)

    @requirement("CLM-09")
    async def test_next_due_at_is_none_if_more_is_due(self, hub: Hub) -> None:
        """`next_due_at` is None while more is due than was claimed."""
        start_at = await hub.later()
        await hub.create("one", "two", creation("later", not_before=start_at))
        assert (await hub.claims(limit=1)).next_due_at is None
        assert (await hub.claims(limit=1)).next_due_at == start_at

    @requirement("CLM-10")
    async def test_next_due_at_is_the_earliest_unowned(self, hub: Hub) -> None:
        """`next_due_at` is the earliest moment of all that nobody owns; None if none will come."""
        first, second, third = [await hub.later(moments) for moments in (10, 20, 30)]
        await hub.idle("b", timers=(timer(1, third), timer(2, second)))
        await hub.create(creation("a", not_before=third))
        await hub.idle("c", timers=(timer(1, first),))
        assert (await hub.claims()).next_due_at == first
        await hub.do(delivery("c", "wake"))
        owned = await hub.claim_one()
        assert (await hub.claims()).next_due_at == second
        await hub.commit(owned, removed_timers=(1,))
        await hub.do(delivery("b", "wake"), delivery("a", "wake", expedite=True))
        for claimed in await hub.claim():
            await hub.commit(claimed, removed_timers=(1, 2))
        assert (await hub.claims()).next_due_at is None

    @requirement("CLM-11")
    async def test_claim_tells_the_stores_clock(self, hub: Hub) -> None:
        """A claim returns the store's clock."""
        before = await hub.backend.now()
        first = (await hub.claims()).now
        await hub.wait()
        second = (await hub.claims()).now
        assert before <= first
        assert first + 0.9 * hub.moment <= second <= await hub.backend.now()

    @requirement("CLM-12")
    async def test_oldest_messages_up_to_the_cap_are_handed_over(self, hub: Hub) -> None:
        """A claim hands over the oldest messages up to the cap; the rest keep the instance due."""
        await hub.idle()
        sent = [str(number) for number in range(MESSAGES_PER_CLAIM + 10)]
        await hub.do(delivery("one", *sent))
        claimed = await hub.claim_one()
        assert texts(claimed) == sent[:MESSAGES_PER_CLAIM]
        await hub.commit(claimed)
        assert texts(await hub.claim_one()) == sent[MESSAGES_PER_CLAIM:]

    @requirement("CLM-13")
    async def test_record_is_as_claimed(self, hub: Hub) -> None:
        """The record of a claim is the one that is read then, with the revision to commit at."""
        await hub.idle("one", custom_status="so far")
        await hub.do(delivery("one", "a"))
        claimed = await hub.claim_one()
        assert claimed.record == await hub.record(key("one"))
        assert (claimed.record.revision, claimed.record.history_length) == (1, 1)

    @requirement("CLM-14")
    async def test_instance_with_nothing_waiting_is_never_due(self, hub: Hub) -> None:
        """An instance that only waits for the outside is not due, however long it waits."""
        await hub.idle()
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)
        await hub.wait(5)
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)

    @requirement("CLM-15")
    async def test_due_instance_keeps_its_place(self, hub: Hub) -> None:
        """An instance that is due keeps its place in the order, whatever else is delivered to it."""
        await hub.owned("parked")
        await hub.do(parking("parked"))
        await hub.do(delivery("parked", expedite=True))
        await hub.wait()
        await hub.create("waiting")
        await hub.wait()
        await hub.create("new")
        await hub.wait()
        await hub.do(
            delivery("parked", "a", expedite=True), delivery("waiting", "a", expedite=True)
        )
        assert keys(await hub.claim()) == [key("parked"), key("waiting"), key("new")]

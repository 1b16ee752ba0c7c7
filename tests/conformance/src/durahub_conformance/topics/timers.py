"""TMR: timers."""

from __future__ import annotations

from datetime import timedelta

from durahub.backend import MESSAGES_PER_CLAIM, Timer
from durahub.clock import END_OF_TIME

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import delivery, key, keys, texts, timer


class TimerRequirements:
    """Requirements of timers."""

    @requirement("TMR-01")
    async def test_timer_is_due_at_its_moment(self, hub: Hub) -> None:
        """A timer makes its instance due at its moment, not before, and is handed over then."""
        due_at = await hub.later()
        await hub.idle("one", timers=(timer(1, due_at),))
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), due_at)
        await hub.wait()
        claimed = await hub.claim_one()
        assert (claimed.messages, claimed.timers) == ((), (timer(1, due_at),))

    @requirement("TMR-02")
    async def test_due_timers_come_in_order_of_their_moments(self, hub: Hub) -> None:
        """A claim hands over the timers that are due, in order of their moments, and no others."""
        now = await hub.backend.now()
        earlier = [now + number * timedelta(microseconds=-1) for number in range(3)]
        timers = (
            timer(1, earlier[0]),
            timer(2, await hub.later(100)),
            timer(3, earlier[2]),
            timer(4, earlier[1]),
        )
        await hub.idle("one", timers=timers)
        assert (await hub.claim_one()).timers == (timers[2], timers[3], timers[0])

    @requirement("TMR-03")
    async def test_timer_in_the_past_is_due_at_once(self, hub: Hub) -> None:
        """After a turn the instance is due if due timers wait for it."""
        await hub.idle("one", timers=(timer(1, await hub.later(-5)),))
        assert keys(await hub.claim()) == [key("one")]

    @requirement("TMR-04")
    async def test_timer_of_the_same_id_is_replaced(self, hub: Hub) -> None:
        """A new timer replaces the one of the same id."""
        late = await hub.later(10)
        await hub.idle("one", timers=(timer(1, await hub.later()), timer(2, late)))
        await hub.do(delivery("one", "a"))
        replaced = Timer(timer_id=1, due_at=late, payload=b"new")
        await hub.commit(await hub.claim_one(), timers=(replaced,))
        assert (await hub.claims()).next_due_at == late
        await hub.wait(11)
        assert sorted((await hub.claim_one()).timers, key=lambda one: one.timer_id) == [
            replaced,
            timer(2, late),
        ]

    @requirement("TMR-05")
    async def test_end_of_time_never_comes(self, hub: Hub) -> None:
        """A timer of `END_OF_TIME` is never due, is not told as the next, and can be removed."""
        await hub.idle("one", timers=(timer(1, END_OF_TIME),))
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)
        await hub.do(delivery("one", "a"))
        claimed = await hub.claim_one()
        assert claimed.timers == ()
        await hub.commit(claimed, removed_timers=(1,))

    @requirement("TMR-06")
    async def test_timer_stays_until_it_is_removed(self, hub: Hub) -> None:
        """A due timer that a turn does not remove keeps the instance due."""
        now = await hub.backend.now()
        await hub.idle("one", timers=(timer(1, now), timer(2, now)))
        await hub.commit(await hub.claim_one(), removed_timers=(1,))
        claimed = await hub.claim_one()
        assert claimed.timers == (timer(2, now),)
        await hub.commit(claimed)
        assert await hub.claim() == ()

    @requirement("TMR-07")
    async def test_removed_timer_is_gone(self, hub: Hub) -> None:
        """A removed timer does not fire; removing one that is not there is no error."""
        due_at = await hub.later()
        await hub.idle("one", timers=(timer(1, due_at),))
        await hub.do(delivery("one", "a"))
        await hub.commit(await hub.claim_one(), removed_timers=(1, 4711))
        assert (await hub.claims()).next_due_at is None
        await hub.wait(2)
        assert await hub.claim() == ()

    @requirement("TMR-08")
    async def test_due_timers_are_handed_over_up_to_the_cap(self, hub: Hub) -> None:
        """A claim hands over the earliest due timers up to the cap; the rest keep it due."""
        now = await hub.backend.now()
        count = MESSAGES_PER_CLAIM + 10
        timers = [timer(n, now - timedelta(microseconds=count - n)) for n in range(count)]
        await hub.idle("one", timers=tuple(reversed(timers)))
        claimed = await hub.claim_one()
        assert list(claimed.timers) == timers[:MESSAGES_PER_CLAIM]
        await hub.commit(claimed)
        assert list((await hub.claim_one()).timers) == timers[MESSAGES_PER_CLAIM:]

    @requirement("TMR-09")
    async def test_due_timers_come_along_with_messages(self, hub: Hub) -> None:
        """An instance that is claimed for its messages brings its due timers along."""
        due_at = await hub.later()
        await hub.idle("one", timers=(timer(1, due_at),))
        await hub.do(delivery("one", "a"))
        await hub.wait()
        claimed = await hub.claim_one()
        assert (texts(claimed), claimed.timers) == (["a"], (timer(1, due_at),))

    @requirement("TMR-10")
    async def test_timer_comes_back_identical(self, hub: Hub) -> None:
        """A timer keeps its id, its moment to the microsecond, and its bytes."""
        now = (await hub.backend.now()).replace(microsecond=999_999) - timedelta(days=400)
        timers = (
            Timer(timer_id=0, due_at=now, payload=b""),
            Timer(
                timer_id=2**31 - 1,
                due_at=now + timedelta(microseconds=1),
                payload=bytes(range(256)),
            ),
        )
        await hub.idle("one", timers=timers)
        assert (await hub.claim_one()).timers == timers

    @requirement("TMR-11")
    async def test_earliest_timer_decides(self, hub: Hub) -> None:
        """Of several timers the earliest says when the instance is due, then the next one."""
        first, second = await hub.later(2), await hub.later(4)
        await hub.idle("one", timers=(timer(1, second), timer(2, first)))
        assert (await hub.claims()).next_due_at == first
        await hub.wait(2)
        await hub.commit(await hub.claim_one())
        assert (await hub.claims()).next_due_at == second

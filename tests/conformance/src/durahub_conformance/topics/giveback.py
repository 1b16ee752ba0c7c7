"""REL and PRK: giving an instance back without a turn."""

from __future__ import annotations

from dataclasses import replace

from durahub.backend import (
    CommitActivity,
    Delivered,
    NotOwner,
    ParkInstance,
    Released,
    ReleaseInstance,
)
from durahub.types import RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    UPDATED_AT,
    creation,
    delivery,
    key,
    keys,
    message,
    texts,
    timer,
    turn,
)


def parking(instance_id: str) -> ParkInstance:
    """Return a parking."""
    return ParkInstance(key=key(instance_id), reason="too large", updated_at=UPDATED_AT)


class ReleaseRequirements:
    """Requirements of `ReleaseInstance`."""

    @requirement("REL-01")
    async def test_released_instance_is_as_if_never_claimed(self, hub: Hub) -> None:
        """A released instance is due as before, with the same messages, timers and record."""
        now = await hub.backend.now()
        await hub.idle("one", timers=(timer(1, now),))
        await hub.do(delivery("one", "a"))
        await hub.wait()
        await hub.create("two")
        one, two = await hub.claim()
        released = await hub.do(ReleaseInstance(key=key("two")), ReleaseInstance(key=key("one")))
        assert released == [Released(), Released()]
        assert await hub.claim() == (one, two)

    @requirement("REL-02")
    async def test_release_with_not_before_sleeps(self, hub: Hub) -> None:
        """A release with a not-before time makes nothing due before it, whatever waits or comes."""
        await hub.owned("one")
        later = await hub.later()
        await hub.do(ReleaseInstance(key=key("one"), not_before=later))
        await hub.do(delivery("one", "a"))
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), later)
        await hub.wait()
        assert texts(await hub.claim_one()) == ["start", "a"]

    @requirement("REL-03")
    async def test_release_needs_the_owner(self, hub: Hub) -> None:
        """A release of an instance that the session does not own is refused; nothing changes."""
        await hub.create("one")
        before = await hub.rows(key("one"))
        later = await hub.later()
        for instance_id in ("one", "missing"):
            release = ReleaseInstance(key=key(instance_id), not_before=later)
            assert await hub.do(release) == [NotOwner()]
        assert await hub.rows(key("one")) == before

    @requirement("REL-04")
    async def test_expedite_ends_the_sleep(self, hub: Hub) -> None:
        """A delivery that expedites makes a released instance due before its not-before time."""
        await hub.owned("one")
        await hub.do(ReleaseInstance(key=key("one"), not_before=await hub.later()))
        await hub.do(delivery("one", expedite=True))
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("REL-05")
    async def test_released_instance_has_no_owner(self, hub: Hub) -> None:
        """After a release the session's writes to the instance are refused."""
        claimed = await hub.owned("one")
        await hub.do(ReleaseInstance(key=key("one")))
        before = await hub.rows(key("one"))
        release = ReleaseInstance(key=key("one"))
        for operation in (turn(claimed), release, parking("one")):
            assert await hub.do(operation) == [NotOwner()]
        assert await hub.rows(key("one")) == before

    @requirement("REL-06")
    async def test_release_keeps_a_timer_asleep(self, hub: Hub) -> None:
        """After a release with nothing waiting but a later timer, the timer says when it is due."""
        due_at = await hub.later(20)
        await hub.idle("one", timers=(timer(1, due_at),))
        await hub.do(delivery("one", "a"))
        claimed = await hub.claim_one()
        await hub.commit(claimed)
        await hub.do(delivery("one", "b"))
        await hub.commit(await hub.claim_one())
        assert (await hub.claims()).next_due_at == due_at
        await hub.do(delivery("one", "c"))
        await hub.claim_one()
        await hub.do(ReleaseInstance(key=key("one"), not_before=await hub.later(30)))
        await hub.wait(20)
        assert await hub.claim() == ()
        await hub.wait(10)
        again = await hub.claim_one()
        assert (texts(again), again.timers) == (["c"], (timer(1, due_at),))


class ParkRequirements:
    """Requirements of `ParkInstance`."""

    @requirement("PRK-01")
    async def test_parked_instance_is_visible(self, hub: Hub) -> None:
        """A parked instance is STALLED with its reason; all else of it is as before."""
        claimed = await hub.owned("one", input="in")
        assert await hub.do(parking("one")) == [Released()]
        view = await hub.view(key("one"))
        assert view.record.status is RuntimeStatus.STALLED
        assert view.record.parked_reason == "too large"
        assert view.record.last_updated_at == UPDATED_AT
        assert view.record.execution_id == claimed.record.execution_id
        assert view.payloads is not None
        assert view.payloads.input == "in"

    @requirement("PRK-02")
    async def test_parked_instance_is_not_due(self, hub: Hub) -> None:
        """A parked instance is not due, though messages and due timers wait for it."""
        due_at = await hub.later()
        await hub.idle("one", timers=(timer(1, due_at),))
        await hub.do(delivery("one", "a"))
        await hub.claim_one()
        await hub.do(parking("one"))
        await hub.wait(2)
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)

    @requirement("PRK-03")
    async def test_parked_instance_accepts_messages(self, hub: Hub) -> None:
        """A parked instance accepts messages and results, and stays parked."""
        (owned,) = await hub.with_tasks(1)
        await hub.do(delivery("one", "a"))
        await hub.claim_one()
        await hub.do(parking("one"))
        assert await hub.do(delivery("one", "b")) == [Delivered()]
        await hub.do(CommitActivity(task=owned.key, result=message("c")))
        assert await hub.claim() == ()
        assert list(await hub.probe.inbox(key("one"))) == [b"a", b"b", b"c"]

    @requirement("PRK-04")
    async def test_expedite_wakes_a_parked_instance(self, hub: Hub) -> None:
        """A delivery that expedites makes a parked instance due, with all that waited."""
        await hub.owned("one")
        await hub.do(parking("one"), delivery("one", "a"))
        await hub.do(delivery("one", "b", expedite=True))
        claimed = await hub.claim_one()
        assert texts(claimed) == ["start", "a", "b"]
        assert claimed.record.parked_reason == "too large"

    @requirement("PRK-05")
    async def test_expedite_without_messages_wakes_a_parked_instance(self, hub: Hub) -> None:
        """A delivery that only expedites makes a parked instance due."""
        await hub.owned("one")
        await hub.do(parking("one"))
        await hub.do(delivery("one", expedite=True))
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("PRK-06")
    async def test_turn_ends_the_parking(self, hub: Hub) -> None:
        """A committed turn clears the parked reason, and messages make the instance due again."""
        await hub.owned("one")
        await hub.do(parking("one"), delivery("one", expedite=True))
        await hub.commit(await hub.claim_one())
        record = await hub.record(key("one"))
        assert (record.status, record.parked_reason) == (RuntimeStatus.RUNNING, None)
        await hub.do(delivery("one", "a"))
        assert texts(await hub.claim_one()) == ["a"]

    @requirement("PRK-07")
    async def test_parking_needs_the_owner(self, hub: Hub) -> None:
        """A parking of an instance that the session does not own is refused; nothing changes."""
        await hub.create("one")
        before = await hub.rows(key("one"))
        assert await hub.do(parking("one"), parking("missing")) == [NotOwner()] * 2
        assert await hub.rows(key("one")) == before

    @requirement("PRK-08")
    async def test_parked_instance_has_no_owner(self, hub: Hub) -> None:
        """After a parking the session's turn is refused, and a repeated parking too."""
        claimed = await hub.owned("one")
        await hub.do(parking("one"))
        before = await hub.rows(key("one"))
        assert await hub.do(parking("one")) == [NotOwner()]
        record = await hub.record(key("one"))
        assert await hub.do(turn(claimed, revision=record.revision)) == [NotOwner()]
        assert await hub.rows(key("one")) == before

    @requirement("PRK-09")
    async def test_parking_again_needs_another_wake_up(self, hub: Hub) -> None:
        """An instance that was woken and parked again stays parked until it is woken again."""
        await hub.create(creation("one"))
        for _ in range(2):
            assert keys(await hub.claim()) == [key("one")]
            await hub.do(parking("one"))
            assert await hub.claim() == ()
            await hub.do(delivery("one", expedite=True))

    @requirement("PRK-10")
    async def test_parking_appends_history(self, hub: Hub) -> None:
        """A parking appends its events, gap-free, and raises the revision by one."""
        await hub.idle("one")
        await hub.do(delivery("one", "a"))
        before = (await hub.claim_one()).record
        await hub.do(replace(parking("one"), history=(b"stalled", b"again")))
        record = await hub.record(key("one"))
        assert (record.revision, record.history_length) == (before.revision + 1, 3)
        assert list(await hub.probe.history(key("one"))) == [b"turn", b"stalled", b"again"]

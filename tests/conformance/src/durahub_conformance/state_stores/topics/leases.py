"""LEA: leases, how they end, and what that does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.errors import BackendError, SessionFencedError
from durahub_actors.stores import Lease, ReminderId, Saved

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import LEASE_REFUSED, LONG, QUEUE, Stand


class LeaseLaws:
    """Laws of leases."""

    @law("LEA-01")
    async def test_acquired_lease_lives(self, stand: Stand) -> None:
        """An acquired lease is told with all that was given, and the answer tells the store's clock."""
        lease = Lease(name="l", time_to_live=timedelta(minutes=1, microseconds=1), data=b"\x00d")
        before = await stand.store.now()
        beat = await stand.store.acquire(lease)
        assert before <= beat.now <= await stand.store.now()
        assert beat.ended == ()
        assert await stand.store.leases() == (lease,)

    @law("LEA-02")
    async def test_name_is_never_used_again(self, stand: Stand) -> None:
        """A name that was used is refused: alive, released or ended."""
        living, released, ended = await stand.lease(), await stand.lease(), await stand.mortal()
        await stand.store.release(released)
        await stand.wait(3)
        beat = await stand.store.renew([living])
        assert [lease.name for lease in beat.ended] == [ended]
        for name in (living, released, ended):
            with pytest.raises(BackendError):
                await stand.store.acquire(Lease(name=name, time_to_live=timedelta(days=1)))
        assert [lease.name for lease in await stand.store.leases()] == [living]

    @law("LEA-03")
    async def test_renewed_lease_lives(self, stand: Stand) -> None:
        """A lease that is renewed in time does not end, however long it lives."""
        watcher, mortal = await stand.lease(), await stand.mortal()
        for _ in range(4):
            await stand.wait()
            assert (await stand.store.renew([mortal])).ended == ()
            assert (await stand.store.renew([watcher])).ended == ()

    @law("LEA-04")
    async def test_overdue_lease_ends_once(self, stand: Stand) -> None:
        """`renew` ends the leases of others that are overdue, tells them as acquired, and only once."""
        watcher = await stand.lease()
        mortal = Lease(name="mortal", time_to_live=2 * stand.moment, data=b"data")
        await stand.store.acquire(mortal)
        assert (await stand.store.renew([watcher])).ended == ()
        await stand.wait(2)
        assert mortal in await stand.store.leases()
        assert (await stand.store.renew([watcher])).ended == (mortal,)
        assert [lease.name for lease in await stand.store.leases()] == [watcher]
        assert (await stand.store.renew([watcher])).ended == ()

    @law("LEA-05")
    async def test_acquisition_ends_the_overdue(self, stand: Stand) -> None:
        """`acquire` ends overdue leases as `renew` does; so does a renewal of nothing."""
        for ending in ("acquire", "renew"):
            home, mortal = stand.actor(), await stand.mortal()
            found = await stand.remind(home, take=mortal)
            await stand.wait(3)
            if ending == "renew":
                beat = await stand.store.renew([])
            else:
                lease = Lease(name="new", time_to_live=timedelta(days=1))
                beat = await stand.store.acquire(lease)
            assert [lease.name for lease in beat.ended] == [mortal]
            assert found in await stand.due()

    @law("LEA-06")
    async def test_ended_lease_cannot_be_renewed(self, stand: Stand) -> None:
        """A renewal that names an unknown or ended lease is refused."""
        released = await stand.lease()
        await stand.store.release(released)
        for name in (released, "unknown"):
            with pytest.raises(SessionFencedError):
                await stand.store.renew([name])

    @law("LEA-07")
    async def test_refused_renewal_renews_none(self, stand: Stand) -> None:
        """Where one of the names is unknown, none of the others is renewed."""
        watcher = await stand.lease()
        mortal = await stand.lease(3 * stand.moment)
        await stand.wait(2)
        for names in (["unknown", mortal], [mortal, "unknown"]):
            with pytest.raises(SessionFencedError):
                await stand.store.renew(names)
        await stand.wait(1.5)
        assert [lease.name for lease in (await stand.store.renew([watcher])).ended] == [mortal]

    @law("LEA-08")
    async def test_overdue_lease_may_renew_itself(self, stand: Stand) -> None:
        """An overdue lease that nobody has ended may be named by saves, and be renewed."""
        mortal, actor = await stand.mortal(), stand.actor()
        await stand.wait(3)
        assert await stand.one(actor, leases=(mortal,), etag="e") == Saved(etag="e")
        assert (await stand.store.renew([mortal])).ended == ()
        assert [lease.name for lease in (await stand.store.leases())] == [mortal]

    @law("LEA-09")
    async def test_saves_need_living_leases(self, stand: Stand) -> None:
        """A save is carried out only if all leases that it names live."""
        actor, living, released = stand.actor(), await stand.lease(), await stand.lease()
        ended = await stand.mortal()
        names = (living, released, ended)
        assert await stand.one(actor, leases=names, etag="1") == Saved(etag="1")
        await stand.store.release(released)
        await stand.wait(3)
        await stand.store.renew([living])
        for name in (released, ended, "unknown"):
            for leases in ((living, name), (name, living)):
                assert await stand.one(actor, leases=leases, etag="2") == LEASE_REFUSED
        assert await stand.one(actor, leases=(living,), etag="3") == Saved(etag="3")

    @law("LEA-10")
    async def test_release_frees_what_was_held(self, stand: Stand) -> None:
        """`release` frees what the lease held and nothing else; an unknown or ended one is no error."""
        lease, other, actor = await stand.lease(), await stand.lease(), stand.actor()
        mine = {await stand.remind(stand.actor(), take=lease) for _ in range(3)}
        mine.add(await stand.remind(actor, "mine", take=lease))
        theirs = await stand.remind(actor, "theirs", take=other)
        for _ in range(2):
            await stand.store.release(lease)
            assert set(await stand.due()) == mine
            assert await stand.held(lease) == set()
            assert await stand.held(other) == {theirs}
        await stand.store.release("unknown")

    @law("LEA-11")
    async def test_ended_lease_holds_nothing(self, stand: Stand) -> None:
        """What an overdue lease held is free when its end is told, with its place, label and payload."""
        watcher, mortal = await stand.lease(), await stand.mortal()
        past = await stand.past()
        homes = [stand.actor() for _ in range(3)]
        for order, home in enumerate(homes):
            await stand.remind(home, take=mortal, label="x", order=order, payload=b"p", due_at=past)
        kept = await stand.remind(stand.actor(), take=watcher, label="x")
        assert await stand.store.held_labels(QUEUE) == {"x": 4}
        await stand.wait(3)
        assert [lease.name for lease in (await stand.store.renew([watcher])).ended] == [mortal]
        told = await stand.store.due(QUEUE, 10)
        assert [found.id for found in told.reminders] == [
            ReminderId(home, "wake") for home in homes
        ]
        assert {(found.label, found.payload) for found in told.reminders} == {("x", b"p")}
        assert await stand.held(watcher) == {kept}
        assert await stand.store.held_labels(QUEUE) == {"x": 1}
        claim = {"held": {"wake": None}, "leases": (watcher,), "hold": {"wake": watcher}}
        assert await stand.one(homes[0], **claim) == Saved(etag=None)

    @law("LEA-12")
    async def test_leases_hold_apart(self, stand: Stand) -> None:
        """`held` tells what one lease holds; unknown leases hold nothing."""
        lease, other = await stand.lease(), await stand.lease()
        mine = {await stand.remind(stand.actor(), take=lease) for _ in range(3)}
        theirs = {await stand.remind(stand.actor(), take=other)}
        assert await stand.held(lease) == mine
        assert await stand.held(other) == theirs
        assert await stand.held("unknown") == set()

    @law("LEA-13")
    async def test_several_leases_are_renewed_together(self, stand: Stand) -> None:
        """A renewal may name several leases, also twice, and keeps them all alive."""
        mortals = [await stand.mortal() for _ in range(3)]
        for _ in range(3):
            await stand.wait()
            assert (await stand.store.renew([*mortals, mortals[0]])).ended == ()
        await stand.wait(1.5)
        assert (await stand.store.renew(mortals[:1])).ended == ()
        await stand.wait(1.5)
        ended = (await stand.store.renew(mortals[:1])).ended
        assert {lease.name for lease in ended} == set(mortals[1:])

    @law("LEA-14")
    async def test_answers_tell_when_the_next_lease_is_overdue(self, stand: Stand) -> None:
        """`acquire` and `renew` tell when the first lease that they do not name is overdue, None if none is."""
        names: list[str] = []
        for hours in (3, 2, 1):
            before = await stand.store.now()
            name = stand.name("lease")
            await stand.store.acquire(Lease(name=name, time_to_live=timedelta(hours=hours)))
            beat = await stand.store.renew(names)
            assert beat.next_overdue_at is not None
            latest = await stand.store.now() + timedelta(hours=hours)
            assert before + timedelta(hours=hours) <= beat.next_overdue_at <= latest
            told = await stand.store.acquire(Lease(name=f"{name}b", time_to_live=LONG))
            assert told.next_overdue_at == beat.next_overdue_at
            names += [name, f"{name}b"]
        assert (await stand.store.renew(names)).next_overdue_at is None
        mortal = await stand.mortal()
        await stand.wait(3)
        beat = await stand.store.renew(names)
        assert [lease.name for lease in beat.ended] == [mortal]
        assert beat.next_overdue_at is None

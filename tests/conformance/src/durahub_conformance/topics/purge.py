"""PUR: removing every trace."""

from __future__ import annotations

from durahub.backend import (
    InstanceCreated,
    InstanceMissing,
    InstanceNotEnded,
    NotOwner,
    Purged,
    PurgeInstance,
    ReleaseInstance,
)
from durahub.types import ExecutionId, RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    OTHER_APP,
    creation,
    delivery,
    key,
    last_turn,
    task,
    texts,
    timer,
    turn,
)


class PurgeRequirements:
    """Requirements of `PurgeInstance`."""

    @requirement("PUR-01")
    async def test_purge_leaves_nothing(self, hub: Hub) -> None:
        """A purge of an ended instance leaves no row of it in the store."""
        claimed = await hub.owned("one", input="in")
        tasks = (task(claimed, 1), task(claimed, 2))
        await hub.do(last_turn(claimed, activities=tasks, custom_status="far"))
        await hub.claim_tasks(limit=1)
        assert await hub.do(PurgeInstance(key=key("one"))) == [Purged()]
        assert await hub.backend.get([key("one")]) == (None,)
        assert await hub.backend.history([key("one")]) == (None,)
        assert not any((await hub.probe.rows(key("one"))).values())
        assert await hub.claim_tasks() == ()

    @requirement("PUR-02")
    async def test_forced_purge_leaves_nothing(self, hub: Hub) -> None:
        """A forced purge of an instance that waits leaves no row of it in the store."""
        due_at = await hub.later()
        claimed = await hub.owned("one", input="in")
        await hub.commit(claimed, timers=(timer(1, due_at),), activities=(task(claimed, 1),))
        await hub.do(delivery("one", "a"))
        assert await hub.do(PurgeInstance(key=key("one"), force=True)) == [Purged()]
        assert not any((await hub.probe.rows(key("one"))).values())
        assert await hub.claim_tasks() == ()
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)

    @requirement("PUR-03")
    async def test_instance_that_has_not_ended_is_refused(self, hub: Hub) -> None:
        """A purge of an instance that has not ended is refused with its status."""
        await hub.idle("one", status=RuntimeStatus.SUSPENDED)
        await hub.create("two")
        before = await hub.rows(key("one"), key("two"))
        purges = PurgeInstance(key=key("one")), PurgeInstance(key=key("two"))
        assert await hub.do(*purges) == [
            InstanceNotEnded(status=RuntimeStatus.SUSPENDED),
            InstanceNotEnded(status=RuntimeStatus.PENDING),
        ]
        assert await hub.rows(key("one"), key("two")) == before

    @requirement("PUR-04")
    async def test_missing_instance_is_told(self, hub: Hub) -> None:
        """A purge of an instance that does not exist tells so, also when it is repeated or forced."""
        await hub.ended()
        purge = PurgeInstance(key=key("one"))
        assert await hub.do(purge) == [Purged()]
        assert await hub.do(purge) == [InstanceMissing()]
        assert await hub.do(PurgeInstance(key=key("two"), force=True)) == [InstanceMissing()]

    @requirement("PUR-05")
    async def test_execution_id_guards(self, hub: Hub) -> None:
        """A purge that names an execution id removes only that generation."""
        await hub.ended()
        before = await hub.rows(key("one"))
        other = ExecutionId("one/0")
        assert await hub.do(
            PurgeInstance(key=key("one"), execution_id=other),
        ) == [InstanceMissing()]
        assert await hub.do(
            PurgeInstance(key=key("one"), execution_id=other, force=True),
        ) == [InstanceMissing()]
        assert await hub.rows(key("one")) == before
        assert await hub.do(PurgeInstance(key=key("one"), execution_id=ExecutionId("one/1"))) == [
            Purged()
        ]

    @requirement("PUR-06")
    async def test_forced_purge_fences_the_owner(self, hub: Hub) -> None:
        """After a forced purge the owner's writes are refused, also if the id is in use again."""
        claimed = await hub.owned()
        await hub.do(PurgeInstance(key=key("one"), force=True))
        assert await hub.do(turn(claimed)) == [NotOwner()]
        assert not await hub.exists(key("one"))
        await hub.create("one")
        before = await hub.rows(key("one"))
        assert await hub.do(turn(claimed)) == [NotOwner()]
        assert await hub.do(ReleaseInstance(key=key("one"))) == [NotOwner()]
        assert await hub.rows(key("one")) == before

    @requirement("PUR-07")
    async def test_purged_id_is_free(self, hub: Hub) -> None:
        """A purged id can be used again, for a first generation with nothing of the old one."""
        await hub.with_tasks(1)
        await hub.do(delivery("one", "old"), PurgeInstance(key=key("one"), force=True))
        assert await hub.do(creation("one", execution_id=ExecutionId("one/x"))) == [
            InstanceCreated(generation=1)
        ]
        claimed = await hub.claim_one()
        assert texts(claimed) == ["start"]
        assert (claimed.record.generation, claimed.record.history_length) == (1, 0)
        assert list(await hub.probe.history(key("one"))) == []

    @requirement("PUR-08")
    async def test_others_stay(self, hub: Hub) -> None:
        """A purge touches no other instance, however much its id resembles."""
        others = [key(name) for name in ("One", "one ", "on", "one/1", "%", "o_e")]
        others.append(key("one", OTHER_APP))
        await hub.ended()
        await hub.create(*(creation("x", key=other) for other in others))
        before = await hub.rows(*others)
        assert await hub.do(PurgeInstance(key=key("one"))) == [Purged()]
        assert await hub.rows(*others) == before

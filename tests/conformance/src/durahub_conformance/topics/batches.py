"""BAT: how the operations of one batch combine."""

from __future__ import annotations

import pytest
from durahub.backend import (
    ActivityCommitted,
    Applied,
    CommitActivity,
    Delivered,
    InstanceCreated,
    InstanceEnded,
    InstanceExists,
    InstanceMissing,
    NotOwner,
    Purged,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    Room,
    TaskNotOwned,
    TurnCommitted,
)
from durahub.errors import SessionFencedError
from durahub.types import RuntimeStatus, SessionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    creation,
    delivery,
    key,
    last_turn,
    message,
    turn,
)


class BatchRequirements:
    """Requirements of `apply` as a whole."""

    @requirement("BAT-01")
    async def test_refused_operation_does_not_hold_back_the_rest(self, hub: Hub) -> None:
        """Results come in the order of the batch; a refused operation leaves the others alone."""
        await hub.idle("there")
        results = await hub.do(
            delivery("missing", "a"),
            creation("there"),
            delivery("there", "b"),
            creation("new"),
            ReleaseInstance(key=key("there")),
            PurgeInstance(key=key("missing")),
        )
        assert results == [
            InstanceMissing(),
            InstanceExists(existing=await hub.record(key("there"))),
            Delivered(),
            InstanceCreated(generation=1),
            NotOwner(),
            InstanceMissing(),
        ]
        assert list(await hub.probe.inbox(key("there"))) == [b"b"]
        assert list(await hub.probe.inbox(key("new"))) == [b"start"]

    @requirement("BAT-02")
    async def test_purges_come_first(self, hub: Hub) -> None:
        """A purge takes effect before every other operation of its batch."""
        await hub.ended("ended")
        (owned,) = await hub.with_tasks(1, instance_id="alive")
        assert await hub.do(
            delivery("ended", "a"),
            CommitActivity(task=owned.key, result=message("b")),
            ReleaseActivity(task=owned.key),
            PurgeInstance(key=key("ended")),
            PurgeInstance(key=key("alive"), force=True),
        ) == [InstanceMissing(), TaskNotOwned(), TaskNotOwned(), Purged(), Purged()]

    @requirement("BAT-03")
    async def test_releases_come_before_results(self, hub: Hub) -> None:
        """A released task has no owner any more when results are taken."""
        (owned,) = await hub.with_tasks(1)
        assert await hub.do(
            CommitActivity(task=owned.key, result=message("a")), ReleaseActivity(task=owned.key)
        ) == [TaskNotOwned(), Released()]
        assert await hub.claim_tasks() == (owned,)

    @requirement("BAT-04")
    async def test_turns_come_before_deliveries(self, hub: Hub) -> None:
        """A delivery finds its receiver as the turns of the batch left it."""
        claimed = await hub.owned()
        assert await hub.do(delivery("one", "a"), last_turn(claimed)) == [
            InstanceEnded(status=RuntimeStatus.COMPLETED),
            TurnCommitted(revision=1),
        ]

    @requirement("BAT-05")
    async def test_turns_come_before_creations(self, hub: Hub) -> None:
        """A creation finds the children of the batch's turns in place."""
        claimed = await hub.owned()
        (created, committed) = await hub.do(
            creation("child", input="mine"), turn(claimed, children=(creation("child"),))
        )
        assert isinstance(created, InstanceExists)
        assert committed == TurnCommitted(revision=1)

    @requirement("BAT-06")
    async def test_creations_come_before_deliveries(self, hub: Hub) -> None:
        """A delivery reaches an instance that the same batch creates."""
        assert await hub.do(delivery("one", "a"), creation("one")) == [
            Delivered(),
            InstanceCreated(generation=1),
        ]
        assert list(await hub.probe.inbox(key("one"))) == [b"start", b"a"]

    @requirement("BAT-07")
    async def test_outgoing_messages_come_before_deliveries(self, hub: Hub) -> None:
        """A turn's outgoing messages are in the inbox before those of the batch's deliveries."""
        await hub.idle("receiver")
        claimed = await hub.owned()
        await hub.do(
            delivery("receiver", "second"), turn(claimed, outgoing=(delivery("receiver", "first"),))
        )
        assert list(await hub.probe.inbox(key("receiver"))) == [b"first", b"second"]

    @requirement("BAT-08")
    async def test_outgoing_messages_come_after_all_turns(self, hub: Hub) -> None:
        """An outgoing message finds its receiver as all turns of the batch left it."""
        await hub.create("a", "b")
        a, b = sorted(await hub.claim(), key=lambda claimed: claimed.record.key)
        await hub.do(turn(a, outgoing=(delivery("b", "late"),)), last_turn(b))
        assert list(await hub.probe.inbox(key("b"))) == []
        assert (await hub.record(key("b"))).status is RuntimeStatus.COMPLETED

    @requirement("BAT-09")
    async def test_deliveries_and_results_keep_the_order_of_the_batch(self, hub: Hub) -> None:
        """Deliveries and activity results are appended in the order of the batch."""
        one, two = await hub.with_tasks(1, 2)
        assert await hub.do(
            delivery("one", "a"),
            CommitActivity(task=two.key, result=message("b")),
            delivery("one", "c"),
            CommitActivity(task=one.key, result=message("d")),
        ) == [Delivered(), ActivityCommitted(), Delivered(), ActivityCommitted()]
        assert list(await hub.probe.inbox(key("one"))) == [b"a", b"b", b"c", b"d"]

    @requirement("BAT-10")
    async def test_empty_batch_does_nothing(self, hub: Hub) -> None:
        """A batch of nothing returns nothing, and claims nothing whatever the room."""
        await hub.create("one")
        assert await hub.apply(room=Room(instances=5, activities=5)) == Applied(results=())
        with pytest.raises(SessionFencedError):
            await hub.apply(session=SessionId("nobody"))

    @requirement("BAT-11")
    async def test_large_batch_is_carried_out(self, hub: Hub) -> None:
        """A batch of thousands of operations is carried out like a small one."""
        count = 2000
        names = [f"i{number}" for number in range(count)]
        assert await hub.do(*(creation(name) for name in names)) == (
            [InstanceCreated(generation=1)] * count
        )
        claims = await hub.claim()
        assert len(claims) == count
        committed = await hub.do(*(turn(claimed) for claimed in claims))
        assert committed == [TurnCommitted(revision=1)] * count
        delivered = await hub.do(*(delivery(name, "a") for name in reversed(names)))
        assert delivered == [Delivered()] * count
        views = await hub.backend.get([key(name) for name in names])
        assert [view and view.record.revision for view in views] == [1] * count

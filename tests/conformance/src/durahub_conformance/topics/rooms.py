"""ROM: what a batch claims along with its writes."""

from __future__ import annotations

from durahub.backend import CommitActivity, CreateInstance, ReleaseInstance, Room

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    OTHER_APP,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    message,
    task,
    texts,
    timer,
    turn,
)

WIDE = Room(instances=100, activities=100)


class RoomRequirements:
    """Requirements of the room of `apply`."""

    @requirement("ROM-01")
    async def test_touched_and_due_instances_are_claimed(self, hub: Hub) -> None:
        """Instances that a batch created, delivered to or committed are claimed if they are due."""
        await hub.idle("idle")
        claimed = await hub.owned("owned")
        applied = await hub.apply(
            creation("new"),
            delivery("idle", "a"),
            turn(claimed, consumed=(), children=(creation("child"),)),
            room=WIDE,
        )
        found = {one.record.key.instance_id: texts(one) for one in applied.instances}
        assert found == {"new": ["start"], "idle": ["a"], "owned": ["start"], "child": ["start"]}
        assert len(applied.instances) == 4
        assert await hub.claim() == ()

    @requirement("ROM-02")
    async def test_instances_beyond_the_room_stay(self, hub: Hub) -> None:
        """No more instances are claimed than there is room; the others stay claimable."""
        names = ["a", "b", "c"]
        applied = await hub.apply(
            *(creation(name) for name in names), room=Room(instances=2, activities=5)
        )
        rest = await hub.claim()
        assert len(applied.instances) == 2
        assert sorted(keys((*applied.instances, *rest))) == [key(name) for name in names]

    @requirement("ROM-03")
    async def test_no_room_claims_nothing(self, hub: Hub) -> None:
        """Without room nothing is claimed."""
        applied = await hub.apply(creation("one"))
        assert (applied.instances, applied.activities) == ((), ())
        claimed = await hub.claim_one()
        applied = await hub.apply(turn(claimed, activities=(task(claimed, 1),)))
        assert (applied.instances, applied.activities) == ((), ())
        assert await hub.claim_tasks() == (task(claimed, 1),)

    @requirement("ROM-04")
    async def test_untouched_instances_are_not_claimed(self, hub: Hub) -> None:
        """What was due before and is not touched by the batch stays claimable."""
        await hub.create("before")
        applied = await hub.apply(creation("one"), room=WIDE)
        assert keys(applied.instances) == [key("one")]
        assert keys(await hub.claim()) == [key("before")]

    @requirement("ROM-05")
    async def test_other_applications_are_not_claimed(self, hub: Hub) -> None:
        """Instances and tasks of other applications stay unclaimed, whatever the room."""
        there = key("there", OTHER_APP)
        await hub.create("one")
        claimed = await hub.claim_one()
        theirs = task(claimed, 1, app_id=OTHER_APP)
        applied = await hub.apply(
            creation("there", key=there), turn(claimed, activities=(theirs,)), room=WIDE
        )
        assert (applied.instances, applied.activities) == ((), ())
        hub.session = await hub.join(app_id=OTHER_APP)
        assert keys(await hub.claim()) == [there]
        assert await hub.claim_tasks() == (theirs,)

    @requirement("ROM-06")
    async def test_what_is_not_due_is_not_claimed(self, hub: Hub) -> None:
        """Touched instances that sleep, are idle, parked or ended are not claimed."""
        later = await hub.later(100)
        await hub.create("a", "b", "c")
        a, b, c = sorted(await hub.claim(), key=lambda one: one.record.key)
        applied = await hub.apply(
            creation("asleep", not_before=later),
            delivery("asleep", "x"),
            turn(a),
            last_turn(b, consumed=()),
            turn(c, timers=(timer(1, later),)),
            room=WIDE,
        )
        assert applied.instances == ()

    @requirement("ROM-07")
    async def test_owned_instances_are_not_claimed(self, hub: Hub) -> None:
        """A delivery to an instance that is owned claims nothing."""
        claimed = await hub.owned()
        applied = await hub.apply(delivery("one", "a", expedite=True), room=WIDE)
        assert applied.instances == ()
        await hub.commit(claimed)

    @requirement("ROM-08")
    async def test_inserted_tasks_are_claimed(self, hub: Hub) -> None:
        """Activity tasks that a batch inserted are claimed; those beyond the room stay."""
        claimed = await hub.owned()
        tasks = tuple(task(claimed, number) for number in range(5))
        commit = turn(claimed, activities=tasks)
        applied = await hub.apply(commit, room=Room(instances=0, activities=2))
        rest = await hub.claim_tasks()
        assert len(applied.activities) == 2
        by_id = sorted((*applied.activities, *rest), key=lambda one: one.key.task_id)
        assert tuple(by_id) == tasks

    @requirement("ROM-09")
    async def test_older_tasks_are_not_claimed(self, hub: Hub) -> None:
        """Activity tasks that were there before stay as they are."""
        claimed = await hub.owned()
        old = task(claimed, 1)
        await hub.do(turn(claimed, activities=(old,)), delivery("one", "a"))
        again = await hub.claim_one()
        new = task(again, 2)
        commit = turn(again, activities=(task(again, 1, payload=b"again"), new))
        assert (await hub.apply(commit, room=WIDE)).activities == (new,)
        assert await hub.claim_tasks() == (old,)

    @requirement("ROM-10")
    async def test_room_claims_belong_to_the_session(self, hub: Hub) -> None:
        """What was claimed along is owned: it can be committed, and nobody else gets it."""
        applied = await hub.apply(creation("one"), room=WIDE)
        (claimed,) = applied.instances
        assert claimed.record == await hub.record(key("one"))
        applied = await hub.apply(turn(claimed, activities=(task(claimed, 1),)), room=WIDE)
        (owned,) = applied.activities
        assert await hub.claim_tasks() == ()
        applied = await hub.apply(
            CommitActivity(task=owned.key, result=message("result")), room=WIDE
        )
        assert [texts(one) for one in applied.instances] == [["result"]]

    @requirement("ROM-11")
    async def test_receivers_of_outgoing_messages_are_claimed(self, hub: Hub) -> None:
        """The receivers of outgoing messages count as delivered to."""
        await hub.idle("receiver")
        claimed = await hub.owned()
        commit = turn(claimed, outgoing=(delivery("receiver", "a"),))
        applied = await hub.apply(commit, room=WIDE)
        assert keys(applied.instances) == [key("receiver")]

    @requirement("ROM-12")
    async def test_refused_operations_touch_nothing(self, hub: Hub) -> None:
        """An instance that a refused operation names is not claimed by that."""
        await hub.create("one")
        refused: CreateInstance = creation("one")
        release = ReleaseInstance(key=key("one"))
        assert (await hub.apply(refused, release, room=WIDE)).instances == ()
        assert keys(await hub.claim()) == [key("one")]

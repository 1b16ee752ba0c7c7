"""LIM: how much of what is due may be owned at the same time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.backend import ClaimLimit, ClaimLimits, CommitActivity, Room
from durahub.errors import CapabilityNotSupportedError
from durahub.types import TaskKey

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    OTHER_APP,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    message,
    task,
    turn,
)

WIDE = Room(instances=100, activities=100)

ODD_NAMES = ("", "a", "A", "a\0b", "a\0c", "a ", "'\"\\", "é", "\N{SNOWMAN}")


def instances(total: int | None = None, **by_name: int) -> ClaimLimits:
    """Return limits for instances."""
    return ClaimLimits(instances=ClaimLimit(total=total, by_name=by_name))


def activities(total: int | None = None, **by_name: int) -> ClaimLimits:
    """Return limits for activity tasks."""
    return ClaimLimits(activities=ClaimLimit(total=total, by_name=by_name))


async def line_up(hub: Hub, *instance_ids: str) -> None:
    """Create instances, due one after the other and before all else; their ids without digits are names."""
    for instance_id in instance_ids:
        await hub.create(creation(instance_id, name=instance_id.rstrip("0123456789")))
        await hub.harness.advance(timedelta(milliseconds=1))


async def line_up_tasks(hub: Hub, *names: str, instance_id: str = "tasks") -> list[TaskKey]:
    """Leave activity tasks with these names in this order to be claimed; nothing else may be due."""
    claimed = await hub.owned(instance_id)
    tasks = [task(claimed, number, name=name) for number, name in enumerate(names)]
    await hub.commit(claimed, activities=tuple(tasks))
    return [one.key for one in tasks]


class LimitRequirements:
    """Requirements of limits, as far as they are about what is claimed."""

    @requirement("LIM-01", needs="limits")
    async def test_total_of_instances_is_kept(self, hub: Hub) -> None:
        """No more instances are owned than the total allows; the others are claimed later."""
        hub.session = await hub.join(limits=instances(2))
        await line_up(hub, "a1", "b1", "c1", "d1")
        first, second = await hub.claim()
        assert keys((first, second)) == [key("a1"), key("b1")]
        assert await hub.claim() == ()
        await hub.do(last_turn(second))
        assert keys(await hub.claim()) == [key("c1")]

    @requirement("LIM-02", needs="limits")
    async def test_instances_of_a_name_are_limited_and_block_no_others(self, hub: Hub) -> None:
        """No more instances of a name are owned than its limit allows; others pass those that wait."""
        hub.session = await hub.join(limits=instances(a=1, b=2))
        await line_up(hub, "a1", "a2", "b1", "a3", "c1", "c2", "c3", "b2", "b3")
        assert keys(await hub.claim()) == [key(one) for one in ("a1", "b1", "c1", "c2", "c3", "b2")]
        assert await hub.claim() == ()

    @requirement("LIM-03", needs="limits")
    async def test_instances_need_a_place_in_both_limits(self, hub: Hub) -> None:
        """An instance is claimed only if the total and the limit of its name have a place."""
        hub.session = await hub.join(limits=instances(3, a=1))
        await line_up(hub, "a1", "a2", "b1", "b2", "b3")
        first, second, _ = await hub.claim()
        assert keys((first, second)) == [key("a1"), key("b1")]
        await hub.do(last_turn(second))
        assert keys(await hub.claim()) == [key("b3")]
        await hub.do(last_turn(first))
        assert keys(await hub.claim()) == [key("a2")]

    @requirement("LIM-04", needs="limits")
    async def test_total_of_activity_tasks_is_kept(self, hub: Hub) -> None:
        """No more activity tasks are owned than the total allows; the others are claimed later."""
        hub.session = await hub.join(limits=activities(2))
        tasks = await line_up_tasks(hub, "a", "b", "c", "d")
        first, second = await hub.claim_tasks()
        assert [first.key, second.key] == tasks[:2]
        assert await hub.claim_tasks() == ()
        await hub.do(CommitActivity(task=first.key, result=message("done")))
        assert [one.key for one in await hub.claim_tasks()] == [tasks[2]]

    @requirement("LIM-05", needs="limits")
    async def test_activity_tasks_of_a_name_are_limited_and_block_no_others(self, hub: Hub) -> None:
        """No more activity tasks of a name are owned than its limit allows; others pass them."""
        hub.session = await hub.join(limits=activities(a=1, b=2))
        tasks = await line_up_tasks(hub, *"aababcccb")
        claimed = [one.key for one in await hub.claim_tasks()]
        assert claimed == [tasks[place] for place in (0, 2, 4, 5, 6, 7)]
        assert await hub.claim_tasks() == ()

    @requirement("LIM-06", needs="limits")
    async def test_activity_tasks_need_a_place_in_both_limits(self, hub: Hub) -> None:
        """A task is claimed only if the total and the limit of its name have a place."""
        hub.session = await hub.join(limits=activities(3, a=1))
        tasks = await line_up_tasks(hub, *"aabbb")
        claimed = [one.key for one in await hub.claim_tasks()]
        assert claimed == [tasks[0], tasks[2], tasks[3]]
        await hub.do(CommitActivity(task=tasks[2], result=message("done")))
        assert [one.key for one in await hub.claim_tasks()] == [tasks[4]]
        await hub.do(CommitActivity(task=tasks[0], result=message("done")))
        assert [one.key for one in await hub.claim_tasks()] == [tasks[1]]

    @requirement("LIM-07", needs="limits")
    async def test_limit_of_a_claim_and_of_the_session_both_hold(self, hub: Hub) -> None:
        """A claim takes no more than it asks for, whatever places there are, and goes on after it."""
        hub.session = await hub.join(
            limits=ClaimLimits(
                instances=ClaimLimit(by_name={"a": 2}), activities=ClaimLimit(total=9)
            )
        )
        tasks = await line_up_tasks(hub, "x", "y", "z")
        await line_up(hub, "a1", "b1", "a2", "a3", "b2")
        claimed = [keys((await hub.claims(limit=2)).instances) for _ in range(3)]
        assert claimed == [[key("a1"), key("b1")], [key("a2"), key("b2")], []]
        assert [one.key for one in await hub.claim_tasks(limit=2)] == tasks[:2]
        assert [one.key for one in await hub.claim_tasks(limit=2)] == tasks[2:]

    @requirement("LIM-08", needs="limits")
    async def test_limits_of_one_kind_leave_the_other_alone(self, hub: Hub) -> None:
        """Limits for instances hold back no activity task, and the other way round."""
        hub.session = await hub.join(limits=instances(1, activity=0))
        assert len(await hub.with_tasks(1, 2)) == 2
        hub.session = await hub.join(limits=activities(1, workflow=0))
        await hub.create("two", "three")
        assert len(await hub.claim()) == 2

    @requirement("LIM-09", needs="limits")
    async def test_names_are_compared_exactly(self, hub: Hub) -> None:
        """The limit of a name counts that name alone: case, spaces and every character matter."""
        limit = ClaimLimit(by_name=dict.fromkeys(ODD_NAMES, 1))
        hub.session = await hub.join(limits=ClaimLimits(instances=limit, activities=limit))
        claimed = await hub.owned("tasks")
        names = [*ODD_NAMES, *ODD_NAMES]
        tasks = [task(claimed, number, name=name) for number, name in enumerate(names)]
        await hub.commit(claimed, activities=tuple(tasks))
        assert await hub.claim_tasks() == tuple(tasks[: len(ODD_NAMES)])
        await hub.create(*(creation(f"i{place}", name=name) for place, name in enumerate(names)))
        found = [claimed.record.name for claimed in await hub.claim()]
        assert sorted(found) == sorted(ODD_NAMES)
        assert (await hub.claim(), await hub.claim_tasks()) == ((), ())

    @requirement("LIM-10", needs="limits")
    async def test_held_back_is_not_due(self, hub: Hub) -> None:
        """`next_due_at` tells the next moment while all that is due is held back; not while more may come."""
        hub.session = await hub.join(limits=instances(3, a=1))
        later = await hub.later(5)
        await hub.create(creation("later", name="a", not_before=later))
        await line_up(hub, "a1", "a2", "b1", "b2")
        claims = await hub.claims(limit=0)
        assert (claims.instances, claims.next_due_at) == ((), None)
        claims = await hub.claims(limit=2)
        assert (len(claims.instances), claims.next_due_at) == (2, None)
        claims = await hub.claims(limit=1)
        assert (len(claims.instances), claims.next_due_at) == (1, later)
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), later)

    @requirement("LIM-11", needs="limits")
    async def test_room_stays_within_the_limits_for_instances(self, hub: Hub) -> None:
        """`apply` claims along no more instances than the limits allow, counting what is owned."""
        for number, (limits, most) in enumerate(((instances(3), 2), (instances(a=2), 1))):
            hub.session = await hub.join(limits=limits)
            await line_up(hub, f"a{number}1")
            first = await hub.claim_one()
            creations = [creation(f"a{number}{place}", name="a") for place in range(2, 5)]
            found = (await hub.apply(*creations, room=WIDE)).instances
            assert len(found) == most
            assert await hub.claim() == ()
            await hub.do(last_turn(first), *(last_turn(one) for one in found))
            rest = await hub.claim()
            assert sorted(keys((*found, *rest))) == [one.key for one in creations]
            await hub.do(*(last_turn(one) for one in rest))

    @requirement("LIM-12", needs="limits")
    async def test_room_stays_within_the_limits_for_activity_tasks(self, hub: Hub) -> None:
        """`apply` claims along no more activity tasks than the limits allow, counting what is owned."""
        hub.session = await hub.join(limits=activities(4, a=2))
        await line_up_tasks(hub, "a", instance_id="before")
        assert len(await hub.claim_tasks()) == 1
        claimed = await hub.owned("one")
        tasks = [task(claimed, number, name=name) for number, name in enumerate("aabbbb")]
        applied = await hub.apply(turn(claimed, activities=tuple(tasks)), room=WIDE)
        assert [one.name for one in applied.activities] == ["a", "b", "b"]
        assert await hub.claim_tasks() == ()
        for one in applied.activities:
            await hub.do(CommitActivity(task=one.key, result=message("done")))
        assert sorted(one.name for one in await hub.claim_tasks()) == ["a", "b", "b"]

    @requirement("LIM-13", needs="limits")
    async def test_room_lets_no_instance_overtake(self, hub: Hub) -> None:
        """A place that a batch frees goes to what has been due for longer, not to what it makes due."""
        for number, limits in enumerate((instances(1), instances(a=1))):
            hub.session = await hub.join(limits=limits)
            first, second, third = (f"a{number}{place}" for place in range(3))
            await line_up(hub, first, second)
            (claimed,) = (await hub.claims(limit=1)).instances
            await hub.do(delivery(first, "more"))
            await hub.harness.advance(timedelta(milliseconds=1))
            applied = await hub.apply(turn(claimed), creation(third, name="a"), room=WIDE)
            assert applied.instances == ()
            for instance_id in (second, first, third):
                claimed = await hub.claim_one()
                assert claimed.record.key == key(instance_id)
                await hub.do(last_turn(claimed))

    @requirement("LIM-14", needs="limits")
    async def test_room_lets_no_activity_task_overtake(self, hub: Hub) -> None:
        """A place that a batch frees goes to an older activity task, not to one that it inserts."""
        for number, limits in enumerate((activities(1), activities(a=1))):
            hub.session = await hub.join(limits=limits)
            first, second = await line_up_tasks(hub, "a", "a", instance_id=f"old {number}")
            assert [one.key for one in await hub.claim_tasks()] == [first]
            claimed = await hub.owned(f"new {number}")
            third = task(claimed, 9, name="a")
            result = CommitActivity(task=first, result=message("done"))
            room = Room(activities=100)
            applied = await hub.apply(turn(claimed, activities=(third,)), result, room=room)
            assert applied.activities == ()
            for where in (second, third.key):
                assert [one.key for one in await hub.claim_tasks()] == [where]
                await hub.do(CommitActivity(task=where, result=message("done")))
            await hub.do(*(last_turn(one) for one in await hub.claim()))

    @requirement("LIM-15", needs="limits")
    async def test_room_leaves_nothing_that_no_limit_counts(self, hub: Hub) -> None:
        """`apply` claims along what no limit counts, whatever waits for a place."""
        both = ClaimLimit(by_name={"a": 1})
        hub.session = await hub.join(limits=ClaimLimits(instances=both, activities=both))
        await line_up_tasks(hub, "a", "a")
        assert len(await hub.claim_tasks()) == 1
        await line_up(hub, "a1", "a2")
        assert len(await hub.claim()) == 1
        (free,) = (await hub.apply(creation("b1", name="b"), room=WIDE)).instances
        tasks = (task(free, 1, name="b"), task(free, 2, name="b"))
        assert (await hub.apply(turn(free, activities=tasks), room=WIDE)).activities == tasks

    @requirement("LIM-16", needs="limits")
    async def test_room_takes_the_longest_due_of_what_it_touched(self, hub: Hub) -> None:
        """Of what a batch touched, `apply` gives the places to the longest due."""
        await line_up(hub, "a1", "a2", "a3")
        hub.session = await hub.join(limits=instances(a=2))
        touch = [delivery(instance_id, "more") for instance_id in ("a3", "a2", "a1")]
        applied = await hub.apply(creation("a4", name="a"), *touch, room=WIDE)
        assert keys(applied.instances) == [key("a1"), key("a2")]

    @requirement("LIM-17", needs="limits multi_process")
    async def test_all_sessions_of_the_application_count(self, hub: Hub) -> None:
        """A claim counts what every live session of the application owns, with limits or without."""
        limits = ClaimLimits(
            instances=ClaimLimit(total=4, by_name={"a": 1}),
            activities=ClaimLimit(total=4, by_name={"a": 1}),
        )
        limited = [await hub.join(limits=limits) for _ in range(2)]
        await line_up_tasks(hub, *"abccc")
        await line_up(hub, "a1", "b1", "a2", "c1")
        await hub.claims(limit=1)
        await hub.claim_tasks(limit=1)
        applied = await hub.apply(creation("c2", name="c"), room=WIDE, session=limited[0])
        assert applied.instances == ()
        first = await hub.claims(limit=1, session=limited[0])
        assert keys(first.instances) == [key("b1")]
        assert keys(await hub.claim(limited[1])) == [key("c1"), key("c2")]
        assert [one.name for one in await hub.claim_tasks(limit=1, session=limited[0])] == ["b"]
        assert [one.name for one in await hub.claim_tasks(session=limited[1])] == ["c", "c"]
        assert await hub.claim(limited[0]) == ()
        assert await hub.claim_tasks(session=limited[0]) == ()

    @requirement("LIM-18", needs="limits multi_process")
    async def test_session_without_limits_is_not_held_back(self, hub: Hub) -> None:
        """What a session has no limit for it claims, however full the limits of others are."""
        limits = ClaimLimits(instances=ClaimLimit(total=1), activities=ClaimLimit(total=1))
        limited = await hub.join(limits=limits)
        await line_up_tasks(hub, *"abc")
        await line_up(hub, "a1", "a2", "a3")
        assert len(await hub.claim(limited)) == len(await hub.claim_tasks(session=limited)) == 1
        (new,) = (await hub.apply(creation("a4", name="a"), room=WIDE)).instances
        assert new.record.key == key("a4")
        assert len(await hub.claim()) == len(await hub.claim_tasks()) == 2

    @requirement("LIM-19", needs="limits multi_process")
    async def test_each_session_respects_its_own_limits(self, hub: Hub) -> None:
        """Of two sessions with different limits each goes by its own."""
        narrow = await hub.join(limits=instances(1))
        wide = await hub.join(limits=instances(3))
        await line_up(hub, "a1", "a2", "a3", "a4")
        assert keys(await hub.claim(narrow)) == [key("a1")]
        assert await hub.claim(narrow) == ()
        assert keys(await hub.claim(wide)) == [key("a2"), key("a3")]

    @requirement("LIM-20", needs="limits multi_process")
    async def test_only_the_sessions_application_counts(self, hub: Hub) -> None:
        """What other applications own does not count: tasks belong to the application that runs them."""
        limits = ClaimLimits(instances=ClaimLimit(total=1), activities=ClaimLimit(total=1))
        sessions = [await hub.join(app_id=app_id, limits=limits) for app_id in (APP, OTHER_APP)]
        await hub.create("one")
        claimed = await hub.claim_one()
        tasks = [task(claimed, number, app_id=(APP, OTHER_APP)[number % 2]) for number in range(4)]
        await hub.commit(claimed, activities=tuple(tasks))
        for place, session in enumerate(sessions):
            assert await hub.claim_tasks(session=session) == (tasks[place],)
            assert await hub.claim_tasks(session=session) == ()
        theirs = [creation(name, key=key(name, OTHER_APP)) for name in ("two", "three")]
        await hub.create(*theirs, "four", "five")
        for session in sessions:
            assert len(await hub.claim(session)) == 1
            assert await hub.claim(session) == ()

    @requirement("LIM-21", needs="limits multi_process")
    async def test_claims_at_the_same_time_exceed_nothing_together(self, hub: Hub) -> None:
        """Claims that several sessions make at the same time stay within the limits together."""
        limits = ClaimLimits(instances=ClaimLimit(total=5), activities=ClaimLimit(by_name={"a": 5}))
        sessions = [await hub.join(limits=limits) for _ in range(4)]
        await line_up_tasks(hub, *"a" * 20)
        await hub.create(*(f"i{number}" for number in range(20)))
        claimed: list[object] = []

        async def claim(number: int) -> None:
            session = sessions[number % 4]
            new = creation(f"new {number}")
            claimed.extend((await hub.claims(limit=2, session=session)).instances)
            claimed.extend((await hub.apply(new, room=WIDE, session=session)).instances)
            claimed.extend(await hub.claim_tasks(limit=2, session=session))

        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(claim(number))
        assert len(claimed) == 10

    @requirement("LIM-22", without="limits")
    async def test_session_with_limits_is_refused(self, hub: Hub) -> None:
        """A backend without this capability refuses a session with limits, and goes on with others."""
        for limits in (instances(1), instances(a=1), activities(1), activities(a=1)):
            with pytest.raises(CapabilityNotSupportedError):
                await hub.join(limits=limits)
        hub.session = await hub.join()
        await hub.owned()

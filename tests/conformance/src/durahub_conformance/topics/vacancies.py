"""LIM, continued: places that become free again, and who hears of it."""

from __future__ import annotations

from durahub.backend import (
    ClaimedInstance,
    ClaimLimit,
    ClaimLimits,
    CommitActivity,
    Hint,
    Operation,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    WorkDue,
)
from durahub.types import InstanceKey

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.topics.giveback import parking
from durahub_conformance.topics.hints import ATTEMPTS, is_told
from durahub_conformance.topics.limits import instances, line_up, line_up_tasks
from durahub_conformance.values import (
    continuation,
    creation,
    key,
    keys,
    last_turn,
    message,
    task,
    turn,
)

ONE_EACH = ClaimLimits(instances=ClaimLimit(total=1), activities=ClaimLimit(total=1))


async def full(hub: Hub) -> ClaimedInstance:
    """Return the first of two instances, owned by a session that may own no more."""
    hub.session = await hub.join(limits=ONE_EACH, mortal=True)
    await line_up(hub, "first", "second")
    claimed = await hub.claim_one()
    assert await hub.claim() == ()
    return claimed


async def after(hub: Hub, *operations: Operation) -> list[InstanceKey]:
    """Apply what may free a place, and return what is claimed then."""
    await hub.do(*operations)
    return keys(await hub.claim())


class VacancyRequirements:
    """Requirements of limits, as far as they are about what is given back."""

    @requirement("LIM-23", needs="limits")
    async def test_committed_turn_frees_its_place(self, hub: Hub) -> None:
        """A committed turn frees the instance's place, also if the instance goes on at once."""
        await hub.do(continuation(await full(hub)))
        second = await hub.claim_one()
        assert second.record.key == key("second")
        assert await after(hub, turn(second)) == [key("first")]

    @requirement("LIM-24", needs="limits")
    async def test_ended_instance_frees_its_place(self, hub: Hub) -> None:
        """A last turn frees the instance's place."""
        assert await after(hub, last_turn(await full(hub))) == [key("second")]

    @requirement("LIM-25", needs="limits")
    async def test_refused_turn_keeps_its_place(self, hub: Hub) -> None:
        """A turn that is refused because of a child keeps the instance's place: it is still owned."""
        claimed = await full(hub)
        assert await after(hub, turn(claimed, children=(creation("second"),))) == []

    @requirement("LIM-26", needs="limits")
    async def test_released_instance_frees_its_place(self, hub: Hub) -> None:
        """A released instance frees its place, and has the first right to it if it is due."""
        await full(hub)
        assert await after(hub, ReleaseInstance(key=key("first"))) == [key("first")]
        asleep = ReleaseInstance(key=key("first"), not_before=await hub.later(9))
        assert await after(hub, asleep) == [key("second")]

    @requirement("LIM-27", needs="limits")
    async def test_parked_instance_frees_its_place(self, hub: Hub) -> None:
        """A parked instance frees its place."""
        await full(hub)
        assert await after(hub, parking("first")) == [key("second")]

    @requirement("LIM-28", needs="limits")
    async def test_purged_instance_frees_the_places_of_all_it_had(self, hub: Hub) -> None:
        """An instance that is purged by force frees its place and those of its activity tasks."""
        hub.session = await hub.join(limits=ONE_EACH)
        tasks = await line_up_tasks(hub, "a", instance_id="first")
        others = await line_up_tasks(hub, "a", instance_id="second")
        assert [one.key for one in await hub.claim_tasks()] == tasks
        await line_up(hub, "third", "fourth")
        await hub.claim_one()
        purges = [PurgeInstance(key=key(one), force=True) for one in ("first", "third")]
        assert await after(hub, *purges) == [key("fourth")]
        assert [one.key for one in await hub.claim_tasks()] == others

    @requirement("LIM-29", needs="limits")
    async def test_activity_tasks_free_their_places(self, hub: Hub) -> None:
        """A result and a release free the task's place; a released task is the next one again."""
        hub.session = await hub.join(limits=ONE_EACH)
        first, second = await line_up_tasks(hub, "a", "a")
        for end in (
            ReleaseActivity(task=first),
            CommitActivity(task=first, result=message("done")),
        ):
            assert [one.key for one in await hub.claim_tasks()] == [first]
            assert await hub.claim_tasks() == ()
            await hub.do(end)
        assert [one.key for one in await hub.claim_tasks()] == [second]

    @requirement("LIM-30", needs="limits")
    async def test_ended_session_frees_its_places(self, hub: Hub) -> None:
        """`unregister` frees the places of what the session owned."""
        await full(hub)
        await hub.backend.unregister(hub.session)
        assert keys(await hub.claim(await hub.join(limits=ONE_EACH))) == [key("first")]

    @requirement("LIM-31", needs="limits")
    async def test_fenced_session_frees_its_places(self, hub: Hub) -> None:
        """Fencing frees the places of what the session owned."""
        hub.session = await hub.join(limits=ONE_EACH, mortal=True)
        tasks = await line_up_tasks(hub, "a", "a")
        await line_up(hub, "first", "second")
        assert (len(await hub.claim()), len(await hub.claim_tasks())) == (1, 1)
        successor = await hub.fence(hub.session, limits=ONE_EACH)
        assert keys(await hub.claim(successor)) == [key("first")]
        assert [one.key for one in await hub.claim_tasks(session=successor)] == tasks[:1]

    @requirement("LIM-32", needs="limits multi_process")
    async def test_overdue_session_keeps_its_places(self, hub: Hub) -> None:
        """What an overdue session owns counts until the session is fenced."""
        other = await hub.join(limits=ONE_EACH)
        await full(hub)
        await hub.wait(2)
        assert await hub.claim(other) == ()
        await hub.backend.heartbeat(other)
        assert keys(await hub.claim(other)) == [key("first")]

    @requirement("LIM-33", needs="limits")
    async def test_release_except_frees_places(self, hub: Hub) -> None:
        """What `release_except` gives back frees its place; what it keeps does not."""
        hub.session = await hub.join(limits=instances(2))
        await line_up(hub, "first", "second", "third")
        await hub.claim()
        await hub.backend.release_except(hub.session, {key("second")}, set())
        assert keys(await hub.claim()) == [key("first")]

    @requirement("LIM-34", needs="limits durable")
    async def test_limits_outlive_close(self, hub: Hub) -> None:
        """A session keeps its limits, and counts what it owns, when a new backend goes on with it."""
        both = ClaimLimit(total=2, by_name={"a": 1})
        hub.session = await hub.join(limits=ClaimLimits(instances=both, activities=both))
        await line_up_tasks(hub, "a", "a")
        await line_up(hub, "a1", "a2", "b1", "b2")
        assert (len((await hub.claims(limit=1)).instances), len(await hub.claim_tasks())) == (1, 1)
        await hub.reopen()
        assert keys(await hub.claim()) == [key("b1")]
        assert await hub.claim_tasks() == ()

    @requirement("LIM-35", needs="limits hints")
    async def test_limited_sessions_are_told_of_free_places(self, hub: Hub) -> None:
        """A session with limits is told when another one gives back what it may have waited for."""
        claimed = await hub.owned("ended")
        scheduled = [task(claimed, number) for number in range(2 * ATTEMPTS)]
        await hub.do(last_turn(claimed, activities=tuple(scheduled)))
        await hub.create(*(f"i{number}" for number in range(2 * ATTEMPTS)))
        listener = await hub.join(limits=ONE_EACH)
        owned = list((await hub.claims(limit=ATTEMPTS)).instances)
        tasks = list(await hub.claim_tasks(limit=ATTEMPTS))

        async def end_one(_: int) -> None:
            await hub.do(last_turn(owned.pop()))

        async def end_task(_: int) -> None:
            await hub.do(CommitActivity(task=tasks.pop().key, result=message("done")))

        for act in (end_one, end_task):
            assert await is_told(hub, listener, _is_work, act)

    @requirement("LIM-36", needs="limits hints")
    async def test_limited_sessions_are_told_of_what_parking_and_purging_free(
        self, hub: Hub
    ) -> None:
        """Parking and purging by force are told to sessions with limits, too."""
        await hub.create(*(f"i{number}" for number in range(3 * ATTEMPTS)))
        listener = await hub.join(limits=ONE_EACH)
        owned = keys((await hub.claims(limit=2 * ATTEMPTS)).instances)

        async def park(_: int) -> None:
            await hub.do(parking(owned.pop().instance_id))

        async def purge(_: int) -> None:
            await hub.do(PurgeInstance(key=owned.pop(), force=True))

        for act in (park, purge):
            assert await is_told(hub, listener, _is_work, act)


def _is_work(hint: Hint) -> bool:
    return isinstance(hint, WorkDue)

"""END: what has ended, in the order of the ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from durahub.backend import (
    CommitActivity,
    EndedQuery,
    InstanceRecord,
    NextGeneration,
    ParkInstance,
    Purged,
    PurgeInstance,
)
from durahub.clock import END_OF_TIME
from durahub.types import TERMINAL_STATUSES, AppId, ExecutionId, InstanceKey, RuntimeStatus

from durahub_conformance.hub import MANY, Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.topics.texts import ODD_TEXTS
from durahub_conformance.values import (
    APP,
    OTHER_APP,
    UPDATED_AT,
    creation,
    key,
    last_turn,
    message,
    task,
    turn,
)

COMPLETED = RuntimeStatus.COMPLETED


async def ended(
    hub: Hub, status: RuntimeStatus = COMPLETED, app_id: AppId = APP, limit: int = MANY
) -> list[str]:
    """Return the ids of the instances that ended with a status, in order."""
    query = EndedQuery(app_id=app_id, status=status, limit=limit)
    return [record.key.instance_id for record in (await hub.backend.list_ended(query)).instances]


async def end_at(hub: Hub, instance_id: str, moment: datetime) -> InstanceRecord:
    """Create an instance, complete it at a moment, and return its record."""
    await hub.do(last_turn(await hub.owned(instance_id), completed_at=moment))
    return await hub.record(key(instance_id))


def after(number: int) -> datetime:
    """Return one of many moments that differ by microseconds."""
    return UPDATED_AT + timedelta(microseconds=number)


class EndedRequirements:
    """Requirements of `list_ended`."""

    @requirement("END-01")
    async def test_ends_are_in_order_of_their_moments(self, hub: Hub) -> None:
        """What ended comes in order of `completed_at`, whatever the ids and the order of the writes."""
        records = {
            number: await end_at(hub, f"i{number % 3}{number}", after(number))
            for number in (4, 0, 6, 2, 5, 1, 3)
        }
        found = await hub.backend.list_ended(EndedQuery(app_id=APP, status=COMPLETED))
        assert found.instances == tuple(records[number] for number in sorted(records))

    @requirement("END-02")
    async def test_ends_are_of_one_status(self, hub: Hub) -> None:
        """Only instances with the status that is asked for come, and none that has not ended."""
        for status in TERMINAL_STATUSES:
            await hub.ended(status.name, status=status)
        await hub.idle("suspended", status=RuntimeStatus.SUSPENDED)
        await hub.owned("parked")
        await hub.do(ParkInstance(key=key("parked"), reason="why", updated_at=UPDATED_AT))
        following = NextGeneration(
            execution_id=ExecutionId("again/2"), input=None, start=message("x")
        )
        await hub.commit(await hub.owned("again"), history=(), next_generation=following)
        await hub.create("pending")
        for status in TERMINAL_STATUSES:
            assert await ended(hub, status) == [status.name]

    @requirement("END-03")
    async def test_ends_are_of_one_application(self, hub: Hub) -> None:
        """Only instances of the application that is asked for come, however much its id resembles."""
        apps = [AppId(text) for text in ODD_TEXTS]
        for app in apps:
            hub.session = await hub.join(app_id=app)
            await hub.create(creation("", key=InstanceKey(app, app)))
            await hub.do(last_turn(await hub.claim_one()))
        for app in apps:
            assert await ended(hub, app_id=app) == [app]
        assert await ended(hub, app_id=OTHER_APP) == []

    @requirement("END-04")
    async def test_ends_have_a_limit(self, hub: Hub) -> None:
        """At most as many come as are asked for: those that ended first."""
        for number in (3, 1, 0, 2):
            await end_at(hub, str(number), after(number))
        for limit in (1, 3, 4, 5):
            assert await ended(hub, limit=limit) == ["0", "1", "2", "3"][:limit]

    @requirement("END-05")
    async def test_purged_ends_make_room(self, hub: Hub) -> None:
        """What is purged comes no more, and the next ones come in its place, each of them once."""
        for number in range(5):
            await end_at(hub, str(number), after(number))
        for first in ("01", "23", "4"):
            assert await ended(hub, limit=2) == list(first)
            purges = [PurgeInstance(key=key(instance_id)) for instance_id in first]
            assert await hub.do(*purges) == [Purged()] * len(purges)
        assert await ended(hub) == []

    @requirement("END-06")
    async def test_replaced_ends_are_forgotten(self, hub: Hub) -> None:
        """The end of a run whose id is used again comes no more; that of the new run comes in its place."""
        old = await end_at(hub, "again", after(1))
        await end_at(hub, "other", after(2))
        execution_id = ExecutionId("again/2")
        await hub.create(creation("again", execution_id=execution_id, replaces=old.revision))
        assert await ended(hub) == ["other"]
        claimed = await hub.claim_one()
        assert await ended(hub) == ["other"]
        await hub.do(last_turn(claimed, completed_at=after(3)))
        found = await hub.backend.list_ended(EndedQuery(app_id=APP, status=COMPLETED))
        assert [record.execution_id for record in found.instances] == ["other/1", "again/2"]

    @requirement("END-07")
    async def test_ends_come_with_the_time(self, hub: Hub) -> None:
        """What ended comes with the store's clock, also if nothing has."""
        query = EndedQuery(app_id=APP, status=COMPLETED)
        for name in ("first", "second"):
            before = await hub.backend.now()
            found = await hub.backend.list_ended(query)
            assert before <= found.now <= await hub.backend.now()
            await hub.ended(name)
            await hub.wait()

    @requirement("END-08")
    async def test_ends_of_one_moment_all_come(self, hub: Hub) -> None:
        """Of instances that ended at the same moment all come, each of them once, whatever the limit."""
        names = [f"i{number}" for number in range(9)]
        for name in names:
            await hub.ended(name)
        assert sorted(await ended(hub)) == names
        found: list[str] = []
        while some := await ended(hub, limit=4):
            found += some
            await hub.do(*(PurgeInstance(key=key(name)) for name in some))
        assert sorted(found) == names

    @requirement("END-09")
    async def test_odd_moments_are_in_order(self, hub: Hub) -> None:
        """Ends from before 1970 to the end of time are in order, to the microsecond."""
        moments = [
            datetime(1900, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            datetime(2001, 9, 9, 1, 46, 39, 999_999, tzinfo=UTC),
            datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
            END_OF_TIME,
        ]
        for number in (3, 6, 0, 5, 1, 4, 2):
            await end_at(hub, str(number), moments[number])
        found = await hub.backend.list_ended(EndedQuery(app_id=APP, status=COMPLETED))
        assert [record.completed_at for record in found.instances] == moments

    @requirement("END-10")
    async def test_odd_ids_end_like_others(self, hub: Hub) -> None:
        """Any string is the id of an instance that has ended, and none hides another."""
        for text in ODD_TEXTS:
            await hub.ended(text)
        assert sorted(await ended(hub)) == sorted(ODD_TEXTS)

    @requirement("END-11")
    async def test_late_results_change_no_end(self, hub: Hub) -> None:
        """Activities that finish after the end of their instance leave it where it is."""
        claimed = await hub.owned("one")
        await hub.do(last_turn(claimed, activities=(task(claimed, 1),), completed_at=after(1)))
        await end_at(hub, "two", after(2))
        (late,) = await hub.claim_tasks()
        await hub.do(CommitActivity(task=late.key, result=message("late")))
        assert await ended(hub) == ["one", "two"]

    @requirement("END-12", needs="durable")
    async def test_ends_survive_a_restart(self, hub: Hub) -> None:
        """What ended before a restart comes after it, in the same order."""
        for number in (1, 0, 2):
            await end_at(hub, str(number), after(number))
        await hub.reopen()
        assert await ended(hub) == ["0", "1", "2"]

    @requirement("END-13")
    async def test_refused_turn_is_no_end(self, hub: Hub) -> None:
        """A turn that is refused ends nothing, neither its instance nor another of the batch."""
        await hub.create("child")
        claims = {one.record.key.instance_id: one for one in await hub.claim()}
        late = last_turn(claims["child"], revision=7)
        occupied = turn(
            await hub.owned("one"),
            status=COMPLETED,
            completed_at=UPDATED_AT,
            children=(creation("child"),),
        )
        await hub.do(late, occupied)
        assert await ended(hub) == []

"""ACT: activity tasks and their results."""

from __future__ import annotations

import asyncio

from durahub.backend import (
    ActivityCommitted,
    CommitActivity,
    Message,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    TaskNotOwned,
)
from durahub.types import ExecutionId, TaskKey

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    OTHER_APP,
    continuation,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    message,
    task,
    texts,
)


class ActivityRequirements:
    """Requirements of activity tasks."""

    @requirement("ACT-01")
    async def test_oldest_task_comes_first(self, hub: Hub) -> None:
        """Activity tasks are claimed oldest first, up to the limit, each once."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 5), task(claimed, 2)))
        await hub.do(delivery("one", "a"))
        await hub.commit(await hub.claim_one(), activities=(task(claimed, 3),))
        assert await hub.claim_tasks(limit=1) == (task(claimed, 5),)
        assert await hub.claim_tasks() == (task(claimed, 2), task(claimed, 3))
        assert await hub.claim_tasks() == ()

    @requirement("ACT-02")
    async def test_limit_zero_claims_nothing(self, hub: Hub) -> None:
        """With limit 0 no activity task is claimed."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1),))
        assert await hub.claim_tasks(limit=0) == ()
        assert await hub.claim_tasks() == (task(claimed, 1),)

    @requirement("ACT-03")
    async def test_task_belongs_to_the_application_that_runs_it(self, hub: Hub) -> None:
        """A session claims the tasks that its application runs, whoever scheduled them."""
        await hub.create("one")
        claimed = await hub.claim_one()
        mine, theirs = task(claimed, 1), task(claimed, 2, app_id=OTHER_APP)
        await hub.commit(claimed, activities=(theirs, mine))
        assert await hub.claim_tasks() == (mine,)
        hub.session = await hub.join(app_id=OTHER_APP)
        assert await hub.claim_tasks() == (theirs,)

    @requirement("ACT-04")
    async def test_result_takes_the_place_of_the_task(self, hub: Hub) -> None:
        """A result removes its task, and is a message that makes the instance due."""
        one, two = await hub.with_tasks(1, 2)
        result = Message(payload=b"\0result", execution_id=ExecutionId("one/1"))
        assert await hub.do(CommitActivity(task=one.key, result=result)) == [ActivityCommitted()]
        claimed = await hub.claim_one()
        assert [stored.message for stored in claimed.messages] == [result]
        await hub.backend.release_except(hub.session, {key("one")}, set())
        assert await hub.claim_tasks() == (two,)

    @requirement("ACT-05")
    async def test_result_for_an_older_generation_disappears(self, hub: Hub) -> None:
        """A result for a generation that runs no more disappears with its task."""
        (old,) = await hub.with_tasks(1)
        await hub.do(delivery("one", "a"))
        await hub.do(continuation(await hub.claim_one()))
        await hub.commit(await hub.claim_one())
        before = await hub.probe.inbox(key("one"))
        results = await hub.do(CommitActivity(task=old.key, result=message("late")))
        assert results == [ActivityCommitted()]
        assert await hub.probe.inbox(key("one")) == before
        assert await hub.claim() == ()
        assert await hub.do(ReleaseActivity(task=old.key)) == [TaskNotOwned()]

    @requirement("ACT-06")
    async def test_result_for_a_replaced_run_disappears(self, hub: Hub) -> None:
        """A result for a run that was replaced disappears; the new run's task of that id goes on."""
        claimed = await hub.owned()
        await hub.do(last_turn(claimed, activities=(task(claimed, 1),)))
        (old,) = await hub.claim_tasks()
        revision = (await hub.record(key("one"))).revision
        await hub.create(creation("one", execution_id=ExecutionId("one/2"), replaces=revision))
        again = await hub.claim_one()
        await hub.commit(again, activities=(task(again, 1),))
        results = await hub.do(CommitActivity(task=old.key, result=message("late")))
        assert results == [ActivityCommitted()]
        assert list(await hub.probe.inbox(key("one"))) == []
        assert await hub.claim_tasks() == (task(again, 1),)

    @requirement("ACT-07")
    async def test_result_for_an_ended_instance_disappears(self, hub: Hub) -> None:
        """A result for an instance that has ended disappears with its task."""
        claimed = await hub.owned()
        await hub.do(last_turn(claimed, activities=(task(claimed, 1),)))
        (owned,) = await hub.claim_tasks()
        results = await hub.do(CommitActivity(task=owned.key, result=message("late")))
        assert results == [ActivityCommitted()]
        assert list(await hub.probe.inbox(key("one"))) == []
        assert await hub.do(ReleaseActivity(task=owned.key)) == [TaskNotOwned()]

    @requirement("ACT-08")
    async def test_repeated_result_is_refused(self, hub: Hub) -> None:
        """Repeating a result that took effect is refused and appends nothing."""
        (owned,) = await hub.with_tasks(1)
        commit = CommitActivity(task=owned.key, result=message("result"))
        assert await hub.do(commit) == [ActivityCommitted()]
        assert await hub.do(commit) == [TaskNotOwned()]
        assert texts(await hub.claim_one()) == ["result"]

    @requirement("ACT-09")
    async def test_result_of_an_unowned_task_is_refused(self, hub: Hub) -> None:
        """A result of a task that nobody claimed, or that never was, changes nothing."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1),))
        before = await hub.rows(key("one"))
        unknown = TaskKey(key("one"), ExecutionId("one/1"), 2)
        for where in (task(claimed, 1).key, unknown):
            commit = CommitActivity(task=where, result=message("result"))
            assert await hub.do(commit) == [TaskNotOwned()]
            assert await hub.do(ReleaseActivity(task=where)) == [TaskNotOwned()]
        assert await hub.rows(key("one")) == before

    @requirement("ACT-10", needs="multi_process")
    async def test_result_of_another_owners_task_is_refused(self, hub: Hub) -> None:
        """A result of a task that another session owns changes nothing."""
        (owned,) = await hub.with_tasks(1)
        before = await hub.rows(key("one"))
        other = await hub.join()
        commit = CommitActivity(task=owned.key, result=message("result"))
        assert await hub.do(commit, session=other) == [TaskNotOwned()]
        assert await hub.do(ReleaseActivity(task=owned.key), session=other) == [TaskNotOwned()]
        assert await hub.rows(key("one")) == before

    @requirement("ACT-11")
    async def test_result_of_a_purged_instance_is_refused(self, hub: Hub) -> None:
        """A result of a task that was purged with its instance is refused."""
        (owned,) = await hub.with_tasks(1)
        await hub.do(PurgeInstance(key=key("one"), force=True))
        commit = CommitActivity(task=owned.key, result=message("result"))
        assert await hub.do(commit) == [TaskNotOwned()]
        assert not await hub.exists(key("one"))

    @requirement("ACT-12")
    async def test_released_task_is_claimable_again(self, hub: Hub) -> None:
        """A released task can be claimed again, at its old place in the order."""
        one, two, three = await hub.with_tasks(1, 2, 3)
        for released in (three, one):
            results = await hub.do(ReleaseActivity(task=released.key))
            assert results == [Released()]
        assert await hub.do(ReleaseActivity(task=one.key)) == [TaskNotOwned()]
        assert await hub.claim_tasks() == (one, three)
        assert two not in await hub.claim_tasks()

    @requirement("ACT-13")
    async def test_result_does_not_wake_a_sleeper(self, hub: Hub) -> None:
        """A result is a plain message: it does not wake an instance before its not-before time."""
        (owned,) = await hub.with_tasks(1)
        await hub.do(delivery("one", "a"))
        await hub.claim_one()
        await hub.do(ReleaseInstance(key=key("one"), not_before=await hub.later(5)))
        await hub.do(CommitActivity(task=owned.key, result=message("result")))
        assert await hub.claim() == ()
        await hub.wait(5)
        assert texts(await hub.claim_one()) == ["a", "result"]

    @requirement("ACT-14")
    async def test_result_for_an_owned_instance_waits_for_the_turn(self, hub: Hub) -> None:
        """A result for an instance that is owned is accepted, and makes it due after the turn."""
        (owned,) = await hub.with_tasks(1)
        await hub.do(delivery("one", "a"))
        claimed = await hub.claim_one()
        await hub.do(CommitActivity(task=owned.key, result=message("result")))
        assert await hub.claim() == ()
        await hub.commit(claimed)
        assert texts(await hub.claim_one()) == ["result"]

    @requirement("ACT-15")
    async def test_concurrent_claims_share_tasks_without_overlap(self, hub: Hub) -> None:
        """Of claims made at the same time, every activity task goes to exactly one."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=tuple(task(claimed, number) for number in range(20)))
        found: list[int] = []

        async def claim() -> None:
            found.extend(one.key.task_id for one in await hub.claim_tasks(limit=3))

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(claim())
        assert sorted(found) == list(range(20))
        assert keys(await hub.claim()) == []

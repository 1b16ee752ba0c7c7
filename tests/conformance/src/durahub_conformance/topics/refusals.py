"""REF: turns that are refused, and that a refused turn has changed nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from durahub.backend import (
    ChildrenExist,
    CommitTurn,
    InstanceRecord,
    NotOwner,
    PurgeInstance,
    ReleaseInstance,
    Result,
    TurnCommitted,
)
from durahub.types import ExecutionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    creation,
    delivery,
    key,
    last_turn,
    task,
    timer,
    turn,
)

TOUCHED = (key("one"), key("receiver"), key("child"))


async def busy_turn(hub: Hub) -> CommitTurn:
    """Return a turn of an owned instance that would change everything there is."""
    await hub.idle("receiver")
    claimed = await hub.owned("one")
    return turn(
        claimed,
        custom_status="new",
        output="new",
        timers=(timer(1, await hub.later()),),
        activities=(task(claimed, 1),),
        children=(creation("child"),),
        outgoing=(delivery("receiver", "hello"),),
    )


async def is_refused(hub: Hub, commit: CommitTurn) -> bool:
    """Whether a turn is refused for its owner and leaves nothing behind."""
    before = await hub.rows(*TOUCHED)
    (result,) = await hub.do(commit)
    return isinstance(result, NotOwner) and await hub.rows(*TOUCHED) == before


class RefusalRequirements:
    """Requirements of turns that are refused."""

    @requirement("REF-01")
    async def test_wrong_revision_is_refused(self, hub: Hub) -> None:
        """A turn computed from another revision is refused, and nothing at all changes."""
        good = await busy_turn(hub)
        for revision in (good.revision - 1, good.revision + 1):
            assert await is_refused(hub, replace(good, revision=revision))
        assert await hub.do(good) == [TurnCommitted(revision=good.revision + 1)]

    @requirement("REF-02")
    async def test_unowned_instance_is_refused(self, hub: Hub) -> None:
        """A turn of an instance that the session gave back is refused, and nothing changes."""
        good = await busy_turn(hub)
        await hub.do(ReleaseInstance(key=key("one")))
        assert await is_refused(hub, good)

    @requirement("REF-03", needs="multi_process")
    async def test_turn_of_another_owner_is_refused(self, hub: Hub) -> None:
        """A turn of an instance that another session owns is refused, and nothing changes."""
        good = await busy_turn(hub)
        owner, hub.session = hub.session, await hub.join()
        assert await is_refused(hub, good)
        assert await hub.do(good, session=owner) == [TurnCommitted(revision=good.revision + 1)]

    @requirement("REF-04")
    async def test_turn_of_a_missing_instance_is_refused(self, hub: Hub) -> None:
        """A turn of an instance that does not exist is refused."""
        good = await busy_turn(hub)
        assert await is_refused(hub, replace(good, key=key("missing")))
        assert not await hub.exists(key("missing"))

    @requirement("REF-05")
    async def test_repeated_turn_is_refused(self, hub: Hub) -> None:
        """Repeating a turn that took effect is refused and changes nothing, also when claimed again."""
        good = await busy_turn(hub)
        await hub.do(good)
        assert await is_refused(hub, good)
        await hub.do(delivery("one", "more"))
        await hub.claim()
        assert await is_refused(hub, good)

    @requirement("REF-06")
    async def test_occupied_children_are_told(self, hub: Hub) -> None:
        """If ids of children are occupied the turn is refused with all that has them."""
        await hub.ended("ended")
        claimed = await hub.owned("one")
        await hub.create("alive")
        ids = ("alive", "free", "ended")
        results = await hub.do(turn(claimed, children=tuple(creation(one) for one in ids)))
        (result,) = results
        assert isinstance(result, ChildrenExist)
        found = sorted(result.existing, key=lambda record: record.key)
        assert found == [await hub.record(key("alive")), await hub.record(key("ended"))]
        assert not await hub.exists(key("free"))

    @requirement("REF-07")
    async def test_occupied_child_changes_nothing(self, hub: Hub) -> None:
        """A turn with an occupied child changes nothing, and the session still owns the instance."""
        good = await busy_turn(hub)
        await hub.create("occupied")
        before = await hub.rows(*TOUCHED)
        children = (*good.children, creation("occupied"))
        (result,) = await hub.do(replace(good, children=children))
        assert isinstance(result, ChildrenExist)
        assert await hub.rows(*TOUCHED) == before
        assert await hub.do(good) == [TurnCommitted(revision=good.revision + 1)]

    @requirement("REF-08")
    async def test_ended_child_is_replaced_if_named(self, hub: Hub) -> None:
        """A child with `replaces` takes the place of an ended run of that revision, and only that."""
        await hub.ended("child")
        old = await hub.record(key("child"))
        claimed = await hub.owned("one")
        child = creation("child", execution_id=ExecutionId("child/2"), replaces=old.revision + 1)
        (result,) = await hub.do(turn(claimed, children=(child,)))
        assert result == ChildrenExist(existing=(old,))
        child = creation("child", execution_id=ExecutionId("child/2"), replaces=old.revision)
        await hub.commit(claimed, children=(child,))
        new = await hub.record(key("child"))
        assert (new.generation, new.execution_id) == (2, ExecutionId("child/2"))

    @requirement("REF-09")
    async def test_one_of_concurrent_turns_is_written(self, hub: Hub) -> None:
        """Of turns of one revision that come at the same time exactly one is written."""
        claimed = await hub.owned()
        results: list[Result] = []

        async def commit(number: int) -> None:
            results.extend(await hub.do(turn(claimed, history=(b"turn %d" % number,))))

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(commit(number))
        assert results.count(NotOwner()) == 4
        assert len(await hub.probe.history(key("one"))) == 1

    @requirement("REF-10")
    async def test_last_turn_gives_the_instance_up(self, hub: Hub) -> None:
        """After the last turn nobody owns the instance: nothing can be committed to it."""
        claimed = await hub.owned()
        await hub.do(last_turn(claimed))
        ended: InstanceRecord = await hub.record(key("one"))
        assert await is_refused(hub, turn(claimed, revision=ended.revision))

    @requirement("REF-11")
    async def test_turn_of_a_purged_run_is_refused(self, hub: Hub) -> None:
        """A turn of a run that was purged is refused, even if the new run is owned at the same revision."""
        stale = turn(await hub.owned("one"))
        await hub.do(PurgeInstance(key=key("one"), force=True))
        claimed = await hub.owned("one", execution_id=ExecutionId("one/anew"))
        stale = replace(stale, revision=claimed.record.revision)
        assert await is_refused(hub, stale)
        assert await hub.do(turn(claimed)) == [TurnCommitted(revision=claimed.record.revision + 1)]

"""CRE: creating instances, and replacing ended ones."""

from __future__ import annotations

import asyncio

from durahub.backend import (
    InstanceCreated,
    InstanceExists,
    InstanceRecord,
    ParentLink,
    Payloads,
    Result,
)
from durahub.types import ExecutionId, RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    CREATED_AT,
    OTHER_APP,
    creation,
    delivery,
    key,
    last_turn,
    message,
    task,
    texts,
    timer,
    turn,
)

PARENT = ParentLink(key=key("parent", OTHER_APP), execution_id=ExecutionId("p/1"), task_id=7)


class CreateRequirements:
    """Requirements of creations."""

    @requirement("CRE-01")
    async def test_record_is_as_given(self, hub: Hub) -> None:
        """A created instance is PENDING, of generation 1, at revision 0, and as was asked for."""
        start_at = await hub.later()
        await hub.create(
            creation(
                "one",
                version="1.2",
                input="in",
                tags={"a": "1", "b": ""},
                parent=PARENT,
                not_before=start_at,
            )
        )
        view = await hub.view(key("one"))
        assert view.record == InstanceRecord(
            key=key("one"),
            name="workflow",
            version="1.2",
            execution_id=ExecutionId("one/1"),
            created_at=CREATED_AT,
            last_updated_at=view.record.last_updated_at,
            scheduled_start_at=start_at,
            parent=PARENT,
            tags={"a": "1", "b": ""},
        )
        assert view.payloads == Payloads(input="in")

    @requirement("CRE-02")
    async def test_first_message_makes_it_due(self, hub: Hub) -> None:
        """A created instance is unowned and due at once, with its first message."""
        await hub.create("one")
        claimed = await hub.claim_one()
        assert texts(claimed) == ["start"]
        assert claimed.timers == ()
        assert claimed.record == await hub.record(key("one"))

    @requirement("CRE-03")
    async def test_existing_id_is_refused(self, hub: Hub) -> None:
        """On an id that exists the creation is refused with what has it, and nothing changes."""
        await hub.create("one")
        before = await hub.rows(key("one"))
        again = creation("one", name="other", execution_id=ExecutionId("one/x"), input="other")
        assert await hub.do(again) == [InstanceExists(existing=await hub.record(key("one")))]
        assert await hub.rows(key("one")) == before

    @requirement("CRE-04")
    async def test_ended_instance_without_replaces_is_refused(self, hub: Hub) -> None:
        """An ended instance keeps its id unless `replaces` is given."""
        await hub.ended()
        before = await hub.rows(key("one"))
        assert await hub.do(creation("one")) == [
            InstanceExists(existing=await hub.record(key("one")))
        ]
        assert await hub.rows(key("one")) == before

    @requirement("CRE-05")
    async def test_repeating_shows_the_same_execution_id(self, hub: Hub) -> None:
        """Repeating a creation after an unknown outcome shows its own execution id."""
        await hub.create("one")
        (result,) = await hub.do(creation("one"))
        assert isinstance(result, InstanceExists)
        assert result.existing.execution_id == ExecutionId("one/1")

    @requirement("CRE-06")
    async def test_not_before_delays_the_start(self, hub: Hub) -> None:
        """An instance with a not-before time is due at that time and no earlier."""
        start_at = await hub.later()
        await hub.create(creation("one", not_before=start_at))
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), start_at)
        await hub.wait()
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("CRE-07")
    async def test_replacement_starts_the_next_generation(self, hub: Hub) -> None:
        """Replacing an ended run gives the next generation number and a greater revision."""
        await hub.ended()
        old = await hub.record(key("one"))
        new = creation("one", execution_id=ExecutionId("one/2"), replaces=old.revision)
        assert await hub.do(new) == [InstanceCreated(generation=2)]
        record = await hub.record(key("one"))
        assert (record.generation, record.execution_id) == (2, ExecutionId("one/2"))
        assert record.revision > old.revision

    @requirement("CRE-08")
    async def test_replacement_leaves_nothing_of_the_old_run(self, hub: Hub) -> None:
        """A replacement has nothing of the old run: record, payloads, history, messages, timers."""
        await hub.create(
            creation("one", input="old", tags={"old": "1"}, parent=PARENT, version="1")
        )
        await hub.do(last_turn(await hub.claim_one(), custom_status="old", failure=b"old"))
        old = await hub.record(key("one"))
        await hub.create(creation("one", replaces=old.revision))
        view = await hub.view(key("one"))
        assert view.payloads == Payloads()
        assert view.record == InstanceRecord(
            key=key("one"),
            name="workflow",
            execution_id=ExecutionId("one/1"),
            generation=2,
            created_at=CREATED_AT,
            last_updated_at=view.record.last_updated_at,
            revision=view.record.revision,
        )
        assert list(await hub.probe.history(key("one"))) == []
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("CRE-09")
    async def test_replacement_needs_the_revision(self, hub: Hub) -> None:
        """A replacement that names another revision is refused, and nothing changes."""
        await hub.ended()
        before = await hub.rows(key("one"))
        record = await hub.record(key("one"))
        for wrong in (record.revision - 1, record.revision + 1):
            assert await hub.do(creation("one", replaces=wrong)) == [
                InstanceExists(existing=record)
            ]
        assert await hub.rows(key("one")) == before

    @requirement("CRE-10")
    async def test_replacement_needs_an_ended_run(self, hub: Hub) -> None:
        """A replacement of an instance that has not ended is refused, and nothing changes."""
        await hub.idle()
        before = await hub.rows(key("one"))
        record = await hub.record(key("one"))
        assert await hub.do(creation("one", replaces=record.revision)) == [
            InstanceExists(existing=record)
        ]
        assert await hub.rows(key("one")) == before

    @requirement("CRE-11")
    async def test_replacement_of_nothing_creates(self, hub: Hub) -> None:
        """A replacement whose id is free by now is a creation."""
        assert await hub.do(creation("one", replaces=3)) == [InstanceCreated(generation=1)]
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("CRE-12")
    async def test_replacement_keeps_activity_tasks_in_progress(self, hub: Hub) -> None:
        """Activity tasks of the old run that are in progress go on, beside those of the new run."""
        claimed = await hub.owned()
        await hub.do(last_turn(claimed, activities=(task(claimed, 1),)))
        (old,) = await hub.claim_tasks()
        revision = (await hub.record(key("one"))).revision
        await hub.create(
            creation("one", execution_id=ExecutionId("one/2"), replaces=revision),
        )
        again = await hub.claim_one()
        await hub.commit(again, activities=(task(again, 1),))
        await hub.backend.release_except(hub.session, set(), set())
        assert await hub.claim_tasks() == (old, task(again, 1))

    @requirement("CRE-13")
    async def test_replacement_ends_waiting_for_old_timers(self, hub: Hub) -> None:
        """A replacement with a start time sleeps until then, whatever the old run waited for."""
        await hub.idle("one", timers=(timer(1, await hub.later()),))
        await hub.do(delivery("one", "end"))
        await hub.do(last_turn(await hub.claim_one()))
        revision = (await hub.record(key("one"))).revision
        start_at = await hub.later(3)
        await hub.create(creation("one", replaces=revision, not_before=start_at))
        await hub.wait(2)
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), start_at)

    @requirement("CRE-14")
    async def test_one_of_many_creators_succeeds(self, hub: Hub) -> None:
        """Of many creations of one id at the same time exactly one succeeds."""
        results: list[Result] = []

        async def create(number: int) -> None:
            one = creation("one", execution_id=ExecutionId(f"try {number}"))
            results.extend(await hub.do(one))

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(create(number))
        created = [result for result in results if isinstance(result, InstanceCreated)]
        assert len(created) == 1
        assert len(await hub.probe.inbox(key("one"))) == 1

    @requirement("CRE-15")
    async def test_same_id_in_two_applications_is_two_instances(self, hub: Hub) -> None:
        """The application is part of the key: the same id in another one is another instance."""
        await hub.create("one", creation("one", key=key("one", OTHER_APP), input="other"))
        await hub.do(last_turn(await hub.claim_one()))
        assert (await hub.record(key("one", APP))).status is RuntimeStatus.COMPLETED
        other = await hub.view(key("one", OTHER_APP))
        assert other.record.status is RuntimeStatus.PENDING
        assert other.payloads == Payloads(input="other")

    @requirement("CRE-16")
    async def test_old_owner_cannot_commit_into_a_replacement(self, hub: Hub) -> None:
        """A turn of the old run is refused after the replacement, also if the new run is owned."""
        claimed = await hub.owned()
        await hub.do(last_turn(claimed))
        revision = (await hub.record(key("one"))).revision
        await hub.create(creation("one", replaces=revision, start=message("again")))
        again = await hub.claim_one()
        before = await hub.rows(key("one"))
        await hub.do(turn(claimed))
        assert await hub.rows(key("one")) == before
        await hub.commit(again)

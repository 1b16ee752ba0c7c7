"""TRN: what a committed turn changes in its own instance."""

from __future__ import annotations

from dataclasses import replace

from durahub.backend import InstanceHistory, Payloads, ReleaseInstance, TurnCommitted
from durahub.types import ExecutionId, RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    CREATED_AT,
    UPDATED_AT,
    continuation,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    task,
    texts,
    timer,
    turn,
)


class TurnRequirements:
    """Requirements of `CommitTurn` on the instance itself."""

    @requirement("TRN-01")
    async def test_record_takes_over_status_and_times(self, hub: Hub) -> None:
        """The record takes over status and times, and keeps what it was created with."""
        claimed = await hub.owned("one", tags={"a": "1"}, version="1", input="in")
        late = UPDATED_AT.replace(year=2031)
        await hub.commit(
            claimed,
            status=RuntimeStatus.SUSPENDED,
            updated_at=late,
            started_at=UPDATED_AT,
            completed_at=None,
        )
        assert await hub.record(key("one")) == replace(
            claimed.record,
            status=RuntimeStatus.SUSPENDED,
            last_updated_at=late,
            started_at=UPDATED_AT,
            revision=1,
            history_length=1,
        )

    @requirement("TRN-02")
    async def test_payloads_are_taken_over(self, hub: Hub) -> None:
        """Custom status, output and failure are taken over; the input stays."""
        claimed = await hub.owned("one", input="in")
        end = last_turn(claimed, custom_status="far", output="out", failure=b"\0broken")
        await hub.do(end)
        view = await hub.view(key("one"))
        assert view.payloads == Payloads(
            input="in", output="out", custom_status="far", failure=b"\0broken"
        )
        assert view.record.completed_at == UPDATED_AT

    @requirement("TRN-03")
    async def test_none_removes_payloads(self, hub: Hub) -> None:
        """A turn without custom status, output or failure removes what was there."""
        claimed = await hub.owned("one", input="in")
        await hub.commit(claimed, custom_status="far", output="out", failure=b"broken")
        await hub.do(delivery("one", "a"))
        await hub.commit(await hub.claim_one())
        assert (await hub.view(key("one"))).payloads == Payloads(input="in")

    @requirement("TRN-04")
    async def test_revision_rises_by_one(self, hub: Hub) -> None:
        """Every committed turn raises the revision by one and returns it."""
        claimed = await hub.owned()
        await hub.do(turn(claimed), delivery("one", "a"))
        again = await hub.claim_one()
        assert again.record.revision == claimed.record.revision + 1
        assert await hub.do(turn(again)) == [TurnCommitted(revision=again.record.revision + 1)]
        assert (await hub.record(key("one"))).revision == again.record.revision + 1

    @requirement("TRN-05")
    async def test_consumed_messages_disappear(self, hub: Hub) -> None:
        """Exactly the consumed messages disappear; one that is gone already is no error."""
        await hub.idle()
        await hub.do(delivery("one", "a", "b", "c"))
        claimed = await hub.claim_one()
        ids = [stored.message_id for stored in claimed.messages]
        await hub.commit(claimed, consumed=(ids[2], ids[0], 4711))
        again = await hub.claim_one()
        assert texts(again) == ["b"]
        await hub.commit(again, consumed=(ids[0], ids[1]))
        assert list(await hub.probe.inbox(key("one"))) == []

    @requirement("TRN-06")
    async def test_remaining_messages_keep_it_due(self, hub: Hub) -> None:
        """After a turn the instance is unowned, and due if messages wait for it."""
        claimed = await hub.owned()
        await hub.commit(claimed, consumed=())
        again = await hub.claim_one()
        assert again.messages == claimed.messages
        await hub.commit(again)
        assert await hub.claim() == ()

    @requirement("TRN-07")
    async def test_history_is_appended_without_gaps(self, hub: Hub) -> None:
        """Events are appended in their order, turn after turn, and counted in the record."""
        await hub.commit(await hub.owned(), history=(b"1", b"2"))
        for history in ((b"3",), (), (b"4", b"", b"4")):
            await hub.do(delivery("one", "a"))
            await hub.commit(await hub.claim_one(), history=history)
        events = (b"1", b"2", b"3", b"4", b"", b"4")
        record = await hub.record(key("one"))
        assert record.history_length == len(events)
        assert await hub.backend.history([key("one")]) == (
            InstanceHistory(record=record, events=events),
        )
        assert tuple(await hub.probe.history(key("one"))) == events

    @requirement("TRN-08")
    async def test_continue_as_new_starts_a_generation(self, hub: Hub) -> None:
        """A next generation has its number, its execution id, its input and an empty history."""
        await hub.commit(await hub.owned("one", input="in"), custom_status="kept")
        await hub.do(delivery("one", "a"))
        claimed = await hub.claim_one()
        await hub.do(continuation(claimed, custom_status="new"))
        view = await hub.view(key("one"))
        assert view.payloads == Payloads(input="again", custom_status="new")
        assert view.record == replace(
            claimed.record,
            generation=2,
            execution_id=ExecutionId("one/2"),
            history_length=0,
            revision=claimed.record.revision + 1,
        )
        assert view.record.created_at == CREATED_AT
        assert list(await hub.probe.history(key("one"))) == []

    @requirement("TRN-09")
    async def test_continue_as_new_puts_its_start_before_what_waits(self, hub: Hub) -> None:
        """Messages that were not consumed stay for the next generation; its start comes before them."""
        claimed = await hub.owned()
        await hub.do(delivery("one", "a", "b"))
        await hub.do(continuation(claimed))
        assert texts(await hub.claim_one()) == ["start again", "a", "b"]

    @requirement("TRN-10")
    async def test_continue_as_new_removes_all_old_timers(self, hub: Hub) -> None:
        """A next generation has the timers of its first turn and none of the old ones."""
        soon, later = await hub.later(1), await hub.later(2)
        await hub.idle("one", timers=(timer(1, soon), timer(2, soon)))
        await hub.do(delivery("one", "a"))
        await hub.do(continuation(await hub.claim_one(), timers=(timer(2, later),)))
        await hub.commit(await hub.claim_one())
        assert (await hub.claims()).next_due_at == later
        await hub.wait(2)
        assert (await hub.claim_one()).timers == (timer(2, later),)

    @requirement("TRN-11")
    async def test_history_of_a_new_generation_starts_anew(self, hub: Hub) -> None:
        """The first events of a next generation are the first of its history."""
        await hub.commit(await hub.owned(), history=(b"old", b"older"))
        await hub.do(delivery("one", "a"))
        await hub.do(continuation(await hub.claim_one()))
        await hub.commit(await hub.claim_one(), history=(b"new",))
        (found,) = await hub.backend.history([key("one")])
        assert found is not None
        assert found.events == (b"new",)
        assert found.record.history_length == 1

    @requirement("TRN-12")
    async def test_end_removes_messages_and_timers(self, hub: Hub) -> None:
        """On a terminal status messages and timers are removed, those of the last turn too."""
        soon = await hub.later()
        await hub.idle("one", timers=(timer(1, soon),))
        await hub.do(delivery("one", "a", "b"))
        claimed = await hub.claim_one()
        await hub.do(last_turn(claimed, consumed=(), timers=(timer(2, soon),)))
        assert list(await hub.probe.inbox(key("one"))) == []
        assert (await hub.claims()).next_due_at is None
        await hub.wait(2)
        assert await hub.claim() == ()

    @requirement("TRN-13")
    async def test_end_keeps_history_and_activity_tasks(self, hub: Hub) -> None:
        """On a terminal status the history stays, and so do activity tasks, which still run."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1),))
        await hub.do(delivery("one", "end"))
        again = await hub.claim_one()
        await hub.do(last_turn(again, activities=(task(again, 2),)))
        assert list(await hub.probe.history(key("one"))) == [b"turn", b"turn"]
        assert await hub.claim_tasks() == (task(claimed, 1), task(again, 2))

    @requirement("TRN-14")
    async def test_turn_clears_the_not_before_time(self, hub: Hub) -> None:
        """A turn clears the not-before time; the record keeps the start time that was asked for."""
        start_at = await hub.later()
        await hub.idle("two", timers=(timer(1, start_at - hub.moment / 2),))
        await hub.create(creation("one", not_before=start_at))
        await hub.wait()
        two, one = await hub.claim()
        await hub.commit(one, timers=(timer(1, start_at - hub.moment),))
        await hub.do(ReleaseInstance(key=two.record.key))
        assert keys(await hub.claim()) == [key("one"), key("two")]
        assert (await hub.record(key("one"))).scheduled_start_at == start_at

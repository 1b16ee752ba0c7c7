"""EFF: what a committed turn sends, schedules and starts."""

from __future__ import annotations

from durahub.backend import ParentLink, Payloads, TurnCommitted
from durahub.types import ExecutionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    OTHER_APP,
    continuation,
    creation,
    delivery,
    key,
    keys,
    message,
    task,
    texts,
    turn,
)


class EffectRequirements:
    """Requirements of `CommitTurn` on what is beyond the instance."""

    @requirement("EFF-01")
    async def test_children_start_with_the_turn(self, hub: Hub) -> None:
        """Children are created with the turn: due, with their links, in any application."""
        link = ParentLink(key=key("one"), execution_id=ExecutionId("one/1"), task_id=3)
        claimed = await hub.owned()
        theirs = creation("child", key=key("child", OTHER_APP), parent=link)
        await hub.commit(claimed, children=(creation("child", parent=link, input="in"), theirs))
        child = await hub.claim_one()
        assert (child.record.key, child.record.parent) == (key("child"), link)
        assert texts(child) == ["start"]
        assert (await hub.view(key("child"))).payloads == Payloads(input="in")
        assert (await hub.record(key("child", OTHER_APP))).parent == link

    @requirement("EFF-02")
    async def test_outgoing_messages_arrive_in_order(self, hub: Hub) -> None:
        """Outgoing messages are appended to the inboxes of their receivers, in order."""
        await hub.idle("a")
        await hub.idle("b")
        outgoing = (delivery("a", "1", "2"), delivery("b", "3"), delivery("a", "4"))
        await hub.commit(await hub.owned(), outgoing=outgoing)
        assert list(await hub.probe.inbox(key("a"))) == [b"1", b"2", b"4"]
        assert list(await hub.probe.inbox(key("b"))) == [b"3"]
        assert sorted(keys(await hub.claim())) == [key("a"), key("b")]

    @requirement("EFF-03")
    async def test_outgoing_messages_without_receiver_vanish(self, hub: Hub) -> None:
        """A message whose receiver is missing or has ended disappears; the turn is committed."""
        await hub.ended("ended")
        before = await hub.rows(key("ended"))
        outgoing = (delivery("missing", "a"), delivery("ended", "b"))
        await hub.commit(await hub.owned(), outgoing=outgoing)
        assert await hub.rows(key("ended")) == before
        await hub.create("missing")
        assert texts(await hub.claim_one()) == ["start"]

    @requirement("EFF-04")
    async def test_outgoing_messages_reach_own_children(self, hub: Hub) -> None:
        """A message to a child of the same turn arrives after the child's first message."""
        claimed = await hub.owned()
        await hub.commit(
            claimed, children=(creation("child"),), outgoing=(delivery("child", "hello"),)
        )
        assert texts(await hub.claim_one()) == ["start", "hello"]

    @requirement("EFF-05")
    async def test_outgoing_messages_respect_sleep(self, hub: Hub) -> None:
        """An outgoing message wakes a receiver before its not-before time only if it expedites."""
        start_at = await hub.later()
        await hub.create(creation("a", not_before=start_at), creation("b", not_before=start_at))
        outgoing = (delivery("a", "1"), delivery("b", "2", expedite=True))
        await hub.commit(await hub.owned(), outgoing=outgoing)
        assert keys(await hub.claim()) == [key("b")]

    @requirement("EFF-06")
    async def test_outgoing_messages_cross_applications(self, hub: Hub) -> None:
        """An outgoing message reaches an instance of another application."""
        there = key("there", OTHER_APP)
        await hub.create(creation("there", key=there))
        outgoing = (delivery("", "hello", key=there),)
        await hub.commit(await hub.owned(), outgoing=outgoing)
        assert list(await hub.probe.inbox(there)) == [b"start", b"hello"]

    @requirement("EFF-07")
    async def test_activity_tasks_are_claimable_after_the_turn(self, hub: Hub) -> None:
        """The activity tasks of a turn are inserted unowned, and as they were given."""
        claimed = await hub.owned()
        tasks = (
            task(claimed, 1, name="a", payload=bytes(range(256))),
            task(claimed, 2, name="", payload=b""),
        )
        await hub.commit(claimed, activities=tasks)
        assert await hub.claim_tasks() == tasks

    @requirement("EFF-08")
    async def test_existing_activity_task_is_left_as_it_is(self, hub: Hub) -> None:
        """An activity task whose key exists is left as it is, with its owner."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1), task(claimed, 2)))
        (owned,) = await hub.claim_tasks(limit=1)
        await hub.do(delivery("one", "a"))
        again = await hub.claim_one()
        tasks = tuple(task(again, number, payload=b"new") for number in (1, 2, 3))
        await hub.commit(again, activities=tasks)
        assert owned == task(claimed, 1)
        assert await hub.claim_tasks() == (task(claimed, 2), tasks[2])

    @requirement("EFF-09")
    async def test_activity_tasks_outlive_their_generation(self, hub: Hub) -> None:
        """Continue-as-new keeps the activity tasks of the old generation, beside new ones."""
        claimed = await hub.owned()
        await hub.commit(claimed, activities=(task(claimed, 1),))
        await hub.do(delivery("one", "a"))
        await hub.do(continuation(await hub.claim_one()))
        again = await hub.claim_one()
        await hub.commit(again, activities=(task(again, 1),))
        assert await hub.claim_tasks() == (task(claimed, 1), task(again, 1))

    @requirement("EFF-10")
    async def test_outgoing_message_to_an_owned_receiver_waits(self, hub: Hub) -> None:
        """A message to an instance that is owned waits for its turn, and makes it due after it."""
        await hub.create("a", "b")
        a, b = sorted(await hub.claim(), key=lambda claimed: claimed.record.key)
        await hub.commit(a, outgoing=(delivery("b", "hello"),))
        assert await hub.claim() == ()
        await hub.do(delivery("b", "more"))
        await hub.commit(b)
        assert [one.message for one in (await hub.claim_one()).messages] == [
            message("hello"),
            message("more"),
        ]

    @requirement("EFF-11")
    async def test_turns_of_one_batch_are_independent(self, hub: Hub) -> None:
        """Two turns of one batch are both written, with what each sends to the other's children."""
        await hub.create("a", "b")
        a, b = sorted(await hub.claim(), key=lambda claimed: claimed.record.key)
        results = await hub.do(
            turn(a, outgoing=(delivery("child", "from a"),)),
            turn(b, children=(creation("child"),)),
        )
        assert results == [TurnCommitted(revision=1)] * 2
        assert texts(await hub.claim_one()) == ["start", "from a"]

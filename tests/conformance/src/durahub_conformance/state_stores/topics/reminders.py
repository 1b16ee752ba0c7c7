"""REM: reminders, when they are found, and who holds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from durahub.clock import END_OF_TIME
from durahub_actors.stores import DueReminder, ReminderId, Saved

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import HOLDER_REFUSED, QUEUE, Stand


class ReminderLaws:
    """Laws of reminders."""

    @law("REM-01")
    async def test_reminder_is_found_when_it_is_due(self, stand: Stand) -> None:
        """A reminder is found from its moment on, and until then `next_due_at` tells that moment."""
        due_at = await stand.store.now() + 2 * stand.moment
        found = await stand.remind(stand.actor(), due_at=due_at)
        early = await stand.store.due(QUEUE, 10)
        assert early.reminders == ()
        assert early.next_due_at == due_at
        assert early.now < due_at
        await stand.wait(2)
        late = await stand.store.due(QUEUE, 10)
        assert [reminder.id for reminder in late.reminders] == [found]
        assert late.next_due_at is None
        assert late.now >= due_at

    @law("REM-02")
    async def test_due_is_ordered(self, stand: Stand) -> None:
        """Due reminders come by moment, then by `order`, and no more than `limit`."""
        past = await stand.past()
        placed = [(second, order) for second in range(3) for order in (0, 5, 2**63 - 1)]
        expected = [ReminderId(stand.actor(), "wake") for _ in placed]
        for (second, order), home in reversed(list(zip(placed, expected, strict=True))):
            due_at = past + timedelta(microseconds=second)
            await stand.remind(home.home, due_at=due_at, order=order)
        assert await stand.due() == expected
        assert await stand.due(limit=4) == expected[:4]
        assert await stand.due() == expected

    @law("REM-03")
    async def test_next_moment_is_told_when_all_is_told(self, stand: Stand) -> None:
        """`next_due_at` is told only where everything that is due fits into `limit`; so with 0."""
        later = await stand.store.now() + timedelta(hours=1)
        assert (await stand.store.due(QUEUE, 0)).next_due_at is None
        await stand.remind(stand.actor(), due_at=later + timedelta(hours=1))
        await stand.remind(stand.actor(), due_at=later)
        told = await stand.store.due(QUEUE, 0)
        assert told.reminders == ()
        assert told.next_due_at == later
        for _ in range(2):
            await stand.remind(stand.actor())
        assert (await stand.store.due(QUEUE, 3)).next_due_at == later
        assert (await stand.store.due(QUEUE, 2)).next_due_at == later
        assert (await stand.store.due(QUEUE, 1)).next_due_at is None
        none = await stand.store.due(QUEUE, 0)
        assert (none.reminders, none.next_due_at) == ((), None)

    @law("REM-04")
    async def test_held_reminders_are_not_found(self, stand: Stand) -> None:
        """What a lease holds is neither due nor next."""
        lease = await stand.lease()
        later = await stand.store.now() + timedelta(hours=1)
        await stand.remind(stand.actor(), take=lease)
        await stand.remind(stand.actor(), take=lease, due_at=later)
        told = await stand.store.due(QUEUE, 10)
        assert (told.reminders, told.next_due_at) == ((), None)

    @law("REM-05")
    async def test_queues_are_apart(self, stand: Stand) -> None:
        """Reminders of other queues are not found."""
        one = await stand.remind(stand.actor(), queue="one")
        two = await stand.remind(stand.actor(), queue="two")
        assert await stand.due("one") == [one]
        assert await stand.due("two") == [two]
        assert await stand.due("on") == []

    @law("REM-06")
    async def test_reminders_come_back_as_put(self, stand: Stand) -> None:
        """Moment, label and payload come back as put, from before 1970 to the end of time."""
        actor = stand.actor()
        early = datetime(1960, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        payload = bytes(range(256))
        found = await stand.remind(actor, due_at=early, label="label", payload=payload)
        await stand.remind(actor, "never", due_at=END_OF_TIME)
        told = await stand.store.due(QUEUE, 10)
        expected = DueReminder(id=found, due_at=early, label="label", payload=payload)
        assert told.reminders == (expected,)
        assert told.next_due_at == END_OF_TIME

    @law("REM-07")
    async def test_take_holds_what_nobody_holds(self, stand: Stand) -> None:
        """`take` holds a new reminder, one that is free, and one that this lease holds already."""
        actor, lease = stand.actor(), await stand.lease()
        await stand.remind(actor, "free")
        reminder = await stand.reminder(take=lease)
        plain = await stand.reminder()
        remind = {"free": reminder, "new": reminder, "plain": plain}
        for _ in range(2):
            result = await stand.one(actor, leases=(lease,), remind=remind)
            assert result == Saved(etag=None, taken=frozenset({"free", "new"}))
            assert await stand.held(lease) == {
                ReminderId(actor, "free"),
                ReminderId(actor, "new"),
            }
            assert await stand.due() == [ReminderId(actor, "plain")]

    @law("REM-08")
    async def test_replaced_reminder_keeps_its_holder(self, stand: Stand) -> None:
        """A reminder put again has the new values and the old holder, whatever another lease wants."""
        actor, lease, other = stand.actor(), await stand.lease(), await stand.lease()
        found = await stand.remind(actor, take=lease, label="old", payload=b"old")
        wanted = await stand.reminder(queue="new", label="new", payload=b"new", take=other, order=3)
        result = await stand.one(actor, leases=(other,), remind={"wake": wanted})
        assert result == Saved(etag=None)
        assert await stand.held(lease) == {found}
        assert await stand.held(other) == set()
        assert await stand.store.held_labels(QUEUE) == {}
        assert await stand.store.held_labels("new") == {"new": 1}
        await stand.one(actor, hold={"wake": None})
        assert await stand.due() == []
        (told,) = (await stand.store.due("new", 10)).reminders
        assert told == DueReminder(id=found, due_at=wanted.due_at, label="new", payload=b"new")

    @law("REM-09")
    async def test_release_takes_it_from_the_holder(self, stand: Stand) -> None:
        """`release` frees a reminder that is put again; with `take` it changes hands."""
        actor, lease, other = stand.actor(), await stand.lease(), await stand.lease()
        found = await stand.remind(actor, take=lease)
        taking = await stand.reminder(release=True, take=other)
        result = await stand.one(actor, leases=(other,), remind={"wake": taking})
        assert result == Saved(etag=None, taken=frozenset({"wake"}))
        assert (await stand.held(lease), await stand.held(other)) == (set(), {found})
        result = await stand.one(actor, remind={"wake": await stand.reminder(release=True)})
        assert result == Saved(etag=None)
        assert await stand.held(other) == set()
        assert await stand.due() == [found]

    @law("REM-10")
    async def test_hold_sets_the_holder(self, stand: Stand) -> None:
        """`hold` gives a reminder to a lease, or to nobody; one that does not exist is no error."""
        actor, lease, other = stand.actor(), await stand.lease(), await stand.lease()
        found = await stand.remind(actor)
        for holder in (lease, other):
            hold = {"wake": holder, "missing": holder}
            assert await stand.one(actor, leases=(holder,), hold=hold) == Saved(etag=None)
            assert await stand.held(holder) == {found}
            assert await stand.due() == []
        assert await stand.held(lease) == set()
        await stand.one(actor, hold={"wake": None, "missing": None})
        assert await stand.held(other) == set()
        assert await stand.due() == [found]
        assert await stand.store.reminders(actor) == (found,)

    @law("REM-11")
    async def test_hold_comes_after_remind(self, stand: Stand) -> None:
        """`hold` acts on what the same save put, and decides."""
        actor, lease, other = stand.actor(), await stand.lease(), await stand.lease()
        taking = await stand.reminder(take=lease)
        result = await stand.one(
            actor,
            leases=(lease, other),
            remind={"given": taking, "kept": taking},
            hold={"given": other},
        )
        assert result == Saved(etag=None, taken=frozenset({"kept"}))
        assert await stand.held(other) == {ReminderId(actor, "given")}
        assert await stand.held(lease) == {ReminderId(actor, "kept")}

    @law("REM-12")
    async def test_save_asks_who_holds(self, stand: Stand) -> None:
        """A condition on a holder holds for that one alone, and never for what does not exist."""
        actor, lease, other = stand.actor(), await stand.lease(), await stand.lease()
        for holder in (None, lease):
            assert await stand.one(actor, held={"wake": holder}) == HOLDER_REFUSED
        await stand.remind(actor)
        assert await stand.one(actor, held={"wake": lease}) == HOLDER_REFUSED
        claim = {"held": {"wake": None}, "leases": (lease,), "hold": {"wake": lease}}
        assert await stand.one(actor, **claim) == Saved(etag=None)
        assert await stand.one(actor, **claim) == HOLDER_REFUSED
        assert await stand.one(actor, held={"wake": other}) == HOLDER_REFUSED
        assert await stand.one(actor, held={"wake": lease}) == Saved(etag=None)
        two = {"wake": lease, "missing": None}
        assert await stand.one(actor, held=two) == HOLDER_REFUSED

    @law("REM-13")
    async def test_forgotten_reminders_are_gone(self, stand: Stand) -> None:
        """`forget` removes a reminder, held or not; put again by the same save, it is a new one."""
        actor, lease = stand.actor(), await stand.lease()
        await stand.remind(actor, "free")
        for name in ("held", "again"):
            await stand.remind(actor, name, take=lease)
        again = {"again": await stand.reminder()}
        forget = ("free", "held", "again", "missing")
        await stand.one(actor, forget=forget, remind=again)
        assert await stand.held(lease) == set()
        assert await stand.due() == [ReminderId(actor, "again")]
        assert await stand.store.reminders(actor) == (ReminderId(actor, "again"),)
        assert await stand.store.held_labels(QUEUE) == {}

    @law("REM-14")
    async def test_reminders_of_a_home_are_told(self, stand: Stand) -> None:
        """`reminders` tells all reminders of one actor, held or not, and no others."""
        actor, other, lease = stand.actor(), stand.actor(), await stand.lease()
        wanted = {
            await stand.remind(actor, "free"),
            await stand.remind(actor, "held", take=lease),
            await stand.remind(actor, "later", due_at=END_OF_TIME),
        }
        same = await stand.remind(other, "free", take=lease)
        found = await stand.store.reminders(actor)
        assert len(found) == 3
        assert set(found) == wanted
        assert await stand.store.reminders(other) == (same,)
        assert await stand.store.reminders(stand.actor()) == ()

    @law("REM-15")
    async def test_held_labels_are_counted(self, stand: Stand) -> None:
        """`held_labels` counts what any lease holds of a queue, by label; others are missing."""
        lease, other = await stand.lease(), await stand.lease()
        for label, holder in (
            ("a", lease),
            ("a", other),
            ("b", lease),
            ("", lease),
            ("free", None),
        ):
            await stand.remind(stand.actor(), label=label, take=holder)
        await stand.remind(stand.actor(), queue="other", label="a", take=lease)
        assert await stand.store.held_labels(QUEUE) == {"a": 2, "b": 1, "": 1}
        for actor, name in await stand.held(lease):
            await stand.one(actor, hold={name: None})
        assert await stand.store.held_labels(QUEUE) == {"a": 1}
        assert await stand.store.held_labels("missing") == {}

    @law("REM-16")
    async def test_finding_holds_nothing(self, stand: Stand) -> None:
        """`due` changes nothing: the same is found until somebody holds it."""
        lease = await stand.lease()
        first, second = await stand.remind(stand.actor()), await stand.remind(stand.actor())
        for _ in range(2):
            assert set(await stand.due()) == {first, second}
        await stand.one(first.home, leases=(lease,), hold={"wake": lease})
        assert await stand.due() == [second]

    @law("REM-17")
    async def test_reminder_moves_to_another_moment(self, stand: Stand) -> None:
        """A reminder that is put again is found at its new moment alone."""
        actor = stand.actor()
        later = await stand.store.now() + timedelta(hours=1)
        await stand.remind(actor)
        await stand.remind(actor, due_at=later)
        told = await stand.store.due(QUEUE, 10)
        assert (told.reminders, told.next_due_at) == ((), later)
        found = await stand.remind(actor)
        assert await stand.due() == [found]
        assert (await stand.store.due(QUEUE, 10)).next_due_at is None

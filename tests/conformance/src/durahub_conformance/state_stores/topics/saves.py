"""SAV: saves, their conditions, their order, and that they happen completely or not at all."""

from __future__ import annotations

from typing import Any

from durahub_actors.stores import UNCHECKED, ActorState, ReminderId, Save, Saved

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import (
    ETAG_REFUSED,
    HOLDER_REFUSED,
    LEASE_REFUSED,
    Stand,
)


class SaveLaws:
    """Laws of saves."""

    @law("SAV-01")
    async def test_save_creates_an_actor(self, stand: Stand) -> None:
        """A save that expects no state creates the actor with its values and its etag."""
        actor = stand.actor()
        result = await stand.one(actor, expected=None, etag="e", put={"a": b"1", "b": b""})
        assert result == Saved(etag="e")
        assert await stand.state(actor) == ActorState(etag="e", values={"a": b"1", "b": b""})

    @law("SAV-02")
    async def test_save_that_expects_nothing_finds_state(self, stand: Stand) -> None:
        """A save that expects no state is refused where there is some, even without values."""
        actor = stand.actor()
        await stand.put(actor)
        assert await stand.one(actor, expected=None, etag="e", put={"a": b"1"}) == ETAG_REFUSED
        assert await stand.values(actor) == {}

    @law("SAV-03")
    async def test_save_compares_the_etag(self, stand: Stand) -> None:
        """A save that expects an etag is carried out at this one, and refused at others and at none."""
        actor = stand.actor()
        assert await stand.one(actor, expected="1", etag="2") == ETAG_REFUSED
        await stand.one(actor, expected=None, etag="1", put={"a": b"1"})
        assert await stand.one(actor, expected="0", etag="2", put={"a": b"0"}) == ETAG_REFUSED
        assert await stand.one(actor, expected="1", etag="2", put={"a": b"2"}) == Saved(etag="2")
        assert await stand.one(actor, expected="1", etag="3", put={"a": b"3"}) == ETAG_REFUSED
        assert await stand.state(actor) == ActorState(etag="2", values={"a": b"2"})

    @law("SAV-04")
    async def test_unchecked_save_takes_any_etag(self, stand: Stand) -> None:
        """A save without a condition is carried out with and without state."""
        actor = stand.actor()
        for etag in ("1", "2"):
            assert await stand.one(actor, expected=UNCHECKED, etag=etag) == Saved(etag=etag)

    @law("SAV-05")
    async def test_first_failing_condition_is_told(self, stand: Stand) -> None:
        """Conditions are checked in the order of leases, etag, holders; the first that fails is told."""
        actor = stand.actor()
        bad: dict[str, Any] = {"leases": ("nobody",), "expected": "other", "held": {"none": None}}
        assert await stand.one(actor, **bad) == LEASE_REFUSED
        bad["leases"] = (await stand.lease(),)
        assert await stand.one(actor, **bad) == ETAG_REFUSED
        bad["expected"] = None
        assert await stand.one(actor, **bad) == HOLDER_REFUSED

    @law("SAV-06")
    async def test_refused_save_changes_nothing(self, stand: Stand) -> None:
        """Nothing of a refused save happens."""
        actor, lease = stand.actor(), await stand.lease()
        await stand.put(actor, put={"a": b"1", "b": b"2"}, mark={"index": 7, "other": 8})
        kept = await stand.remind(actor, "kept")
        taken = await stand.remind(actor, "taken", take=lease)
        reminder = await stand.reminder(take=lease)
        for erase in (False, True):
            result = await stand.one(
                actor,
                leases=(lease,),
                held={"kept": lease},
                etag="e",
                erase=erase,
                put={"a": b"9", "c": b"9"},
                delete=("b",),
                mark={"index": 9},
                unmark=("other",),
                remind={"new": reminder},
                forget=("kept",),
                hold={"taken": None},
            )
            assert result == HOLDER_REFUSED
        assert await stand.values(actor) == {"a": b"1", "b": b"2"}
        assert await stand.marked() == [(7, actor.id)]
        assert await stand.marked("other") == [(8, actor.id)]
        assert await stand.due() == [kept]
        assert await stand.held(lease) == {taken}

    @law("SAV-07")
    async def test_save_changes_only_what_it_names(self, stand: Stand) -> None:
        """`put` replaces and `delete` removes what they name; everything else stays."""
        actor = stand.actor()
        await stand.put(actor, put={"a": b"1", "b": b"2", "c": b"3", "d": b"4"})
        await stand.put(actor, put={"a": b"9", "d": b"5"}, delete=("b", "d", "missing"))
        assert await stand.values(actor) == {"a": b"9", "c": b"3", "d": b"5"}

    @law("SAV-08")
    async def test_erase_removes_everything(self, stand: Stand) -> None:
        """`erase` removes the state, the marks and the reminders, held or not, of this actor alone."""
        actor, other, lease = stand.actor(), stand.actor(), await stand.lease()
        for each in (actor, other):
            await stand.put(each, put={"a": b"1"}, mark={"index": 7})
            await stand.remind(each, "free")
            await stand.remind(each, "held", take=lease)
        assert await stand.one(actor, erase=True) == Saved(etag=None)
        assert await stand.state(actor) is None
        assert await stand.marked() == [(7, other.id)]
        assert await stand.store.reminders(actor) == ()
        assert await stand.due() == [ReminderId(other, "free")]
        assert await stand.held(lease) == {ReminderId(other, "held")}
        assert await stand.one(actor, erase=True) == Saved(etag=None)
        assert await stand.one(actor, expected=None, etag="new") == Saved(etag="new")

    @law("SAV-09")
    async def test_erase_comes_first(self, stand: Stand) -> None:
        """What a save with `erase` puts is all there is afterwards, and nobody holds its reminders."""
        actor, lease = stand.actor(), await stand.lease()
        old = await stand.put(actor, put={"a": b"1", "b": b"1"}, mark={"index": 7, "other": 7})
        await stand.remind(actor, "wake", take=lease)
        await stand.remind(actor, "gone")
        result = await stand.one(
            actor,
            expected=old,
            etag="new",
            erase=True,
            put={"b": b"2"},
            mark={"index": 8},
            remind={"wake": await stand.reminder()},
            held={"wake": lease},
        )
        assert result == Saved(etag="new")
        assert await stand.state(actor) == ActorState(etag="new", values={"b": b"2"})
        assert await stand.marked() == [(8, actor.id)]
        assert await stand.marked("other") == []
        assert await stand.due() == [ReminderId(actor, "wake")]
        assert await stand.held(lease) == set()

    @law("SAV-10")
    async def test_reminders_need_no_state(self, stand: Stand) -> None:
        """A save without an etag leaves the state, and may put reminders whether there is some or not."""
        with_state, without = stand.actor(), stand.actor()
        etag = await stand.put(with_state, put={"a": b"1"})
        reminder = await stand.reminder()
        assert await stand.one(with_state, remind={"wake": reminder}) == Saved(etag=etag)
        assert await stand.one(without, remind={"wake": reminder}) == Saved(etag=None)
        assert await stand.state(with_state) == ActorState(etag=etag, values={"a": b"1"})
        assert await stand.state(without) is None
        assert len(await stand.due()) == 2
        assert await stand.one(without, expected=None, etag="e") == Saved(etag="e")
        assert len(await stand.due()) == 2

    @law("SAV-11")
    async def test_erased_actor_may_have_reminders(self, stand: Stand) -> None:
        """A save that erases and puts a reminder leaves that reminder and no state."""
        actor = stand.actor()
        await stand.put(actor, put={"a": b"1"})
        await stand.remind(actor, "old")
        result = await stand.one(actor, erase=True, remind={"new": await stand.reminder()})
        assert result == Saved(etag=None)
        assert await stand.state(actor) is None
        assert await stand.store.reminders(actor) == (ReminderId(actor, "new"),)

    @law("SAV-12")
    async def test_saves_of_a_call_are_independent(self, stand: Stand) -> None:
        """A refused save does not hinder the others of its call; results are in their order."""
        first, second, third = (stand.actor() for _ in range(3))
        results = await stand.store.write(
            [
                Save(actor=first, expected=None, etag="1", put={"a": b"1"}),
                Save(actor=second, expected="x", etag="2", put={"a": b"2"}),
                Save(actor=third, expected=None, etag="3", put={"a": b"3"}),
                Save(actor=second, leases=("nobody",), etag="4"),
            ]
        )
        assert results == (Saved(etag="1"), ETAG_REFUSED, Saved(etag="3"), LEASE_REFUSED)
        assert await stand.values(first) == {"a": b"1"}
        assert await stand.values(second) is None
        assert await stand.values(third) == {"a": b"3"}
        assert await stand.store.write([]) == ()

    @law("SAV-13")
    async def test_saves_of_one_actor_take_effect_in_order(self, stand: Stand) -> None:
        """Saves of one actor take effect in the order given, each on what those before it left."""
        actor, lease = stand.actor(), await stand.lease()
        reminder = await stand.reminder()
        results = await stand.store.write(
            [
                Save(actor=actor, expected=None, etag="1", put={"a": b"1"}, mark={"index": 1}),
                Save(actor=actor, expected=None, etag="2", put={"a": b"2"}),
                Save(actor=actor, expected="1", etag="3", put={"b": b"3"}, mark={"index": 3}),
                Save(actor=actor, expected="3", etag="4", remind={"wake": reminder}, delete=("a",)),
                Save(actor=actor, leases=(lease,), held={"wake": None}, hold={"wake": lease}),
                Save(actor=actor, leases=(lease,), held={"wake": None}, hold={"wake": lease}),
                Save(actor=actor, expected="4", held={"wake": lease}, etag="5", put={"c": b"5"}),
            ]
        )
        assert [isinstance(result, Saved) for result in results] == [True, False] + [True] * 3 + [
            False,
            True,
        ]
        assert await stand.state(actor) == ActorState(etag="5", values={"b": b"3", "c": b"5"})
        assert await stand.marked() == [(3, actor.id)]
        assert await stand.held(lease) == {ReminderId(actor, "wake")}

    @law("SAV-14")
    async def test_erasing_and_creating_again_in_one_call(self, stand: Stand) -> None:
        """An actor that one save of a call erases may be created by a later one of the same call."""
        actor = stand.actor()
        old = await stand.put(actor, put={"a": b"1", "b": b"1"})
        results = await stand.store.write(
            [
                Save(actor=actor, expected=old, erase=True),
                Save(actor=actor, expected=None, etag="new", put={"b": b"2"}),
            ]
        )
        assert results == (Saved(etag=None), Saved(etag="new"))
        assert await stand.values(actor) == {"b": b"2"}

    @law("SAV-15")
    async def test_many_and_large_values_are_kept(self, stand: Stand) -> None:
        """A save may put many values and large ones, and a call may have many saves."""
        actor = stand.actor()
        many = {f"key-{number:04}": b"%d" % number for number in range(600)}
        large = bytes(range(256)) * 8192
        await stand.put(actor, put=many | {"large": large})
        assert await stand.values(actor) == many | {"large": large}
        actors = [stand.actor() for _ in range(300)]
        results = await stand.store.write(
            [Save(actor=each, expected=None, etag=each.id, put={"a": b"1"}) for each in actors]
        )
        assert results == tuple(Saved(etag=each.id) for each in actors)
        found = await stand.store.read(actors, keys=["a"])
        assert found == tuple(ActorState(etag=each.id, values={"a": b"1"}) for each in actors)

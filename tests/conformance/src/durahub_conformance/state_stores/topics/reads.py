"""REA: reading values, and finding actors by rank."""

from __future__ import annotations

from durahub_actors.stores import ActorId, ActorState, MarkedActor

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import Stand


class ReadLaws:
    """Laws of reads and indexes."""

    @law("REA-01")
    async def test_reads_keys_and_prefixes(self, stand: Stand) -> None:
        """`read` returns the keys asked for and those with a prefix asked for, once each."""
        actor = stand.actor()
        values = {key: key.encode() for key in ("a", "ab", "abc", "b", "ba", "c")}
        etag = await stand.put(actor, put=values)
        read = stand.store.read
        wanted = {"a": b"a", "ab": b"ab", "abc": b"abc", "ba": b"ba"}
        (state,) = await read([actor], keys=["a", "ab", "missing"], prefixes=["ab", "ba"])
        assert state == ActorState(etag=etag, values=wanted)
        (bare,) = await read([actor])
        assert bare == ActorState(etag=etag, values={})
        (everything,) = await read([actor], prefixes=["", "a"])
        assert everything == ActorState(etag=etag, values=values)

    @law("REA-02")
    async def test_values_are_in_the_order_of_their_keys(self, stand: Stand) -> None:
        """Values come in the order of the UTF-8 bytes of their keys."""
        actor = stand.actor()
        keys = ["", "B", "a", "a-000009", "a-000010", "aa", "z", "é", "\uffff", "\U00010000"]
        await stand.put(actor, put=dict.fromkeys(reversed(keys), b""))
        assert list(await stand.values(actor) or ()) == keys
        (found,) = await stand.store.read([actor], keys=["z", "a", "B"], prefixes=["\U00010000"])
        assert found is not None
        assert list(found.values) == ["B", "a", "z", "\U00010000"]

    @law("REA-03")
    async def test_actors_come_in_the_order_asked_for(self, stand: Stand) -> None:
        """`read` answers for each actor in the order given, None for those without state."""
        first, second, missing = stand.actor(), stand.actor(), stand.actor()
        one = ActorState(etag=await stand.put(first, put={"a": b"1"}), values={"a": b"1"})
        two = ActorState(etag=await stand.put(second, put={"b": b"2"}), values={})
        found = await stand.store.read([second, missing, first, second], keys=["a"])
        assert found == (two, None, one, two)
        assert await stand.store.read([], keys=["a"]) == ()

    @law("REA-04")
    async def test_prefixes_are_literal(self, stand: Stand) -> None:
        """No character of a prefix has a meaning of its own."""
        actor = stand.actor()
        special = ["%", "_", "*", "?", "[a]", "\\", "'", '"', "\x00", "{", "$1"]
        await stand.put(actor, put={each + "x": b"1" for each in special} | {"plain": b"2"})
        for each in special:
            (found,) = await stand.store.read([actor], prefixes=[each])
            assert found is not None
            assert list(found.values) == [each + "x"]

    @law("REA-05")
    async def test_marked_is_ordered_by_rank_and_id(self, stand: Stand) -> None:
        """An index is in the order of ranks, then of the UTF-8 bytes of ids."""
        ids = ["", "B", "a", "aa", "b", "é", "\uffff", "\U00010000"]
        expected = [(rank, each) for rank in (0, 5, 10, 2**53 - 1) for each in ids]
        for rank, each in reversed(expected):
            await stand.put(ActorId(f"type-{rank}", each), mark={"index": rank})
        for rank in (0, 5, 10, 2**53 - 1):
            assert await stand.marked(actor_type=f"type-{rank}") == [(rank, each) for each in ids]
        for rank, each in reversed(expected[: len(ids) * 3]):
            await stand.put(ActorId("type", f"{rank}{each}"), mark={"index": 2**53 - 1 - rank})
        assert [rank for rank, _ in await stand.marked()] == [
            2**53 - 1 - rank for rank in (10, 5, 0) for _ in ids
        ]

    @law("REA-06")
    async def test_marked_comes_in_pages(self, stand: Stand) -> None:
        """`after` goes on behind a rank and an id, whether they are there or not; `limit` holds."""
        everyone = [(rank, f"{rank}{each}") for rank in (1, 2, 3) for each in "abc"]
        for rank, each in everyone:
            await stand.put(ActorId("type", each), mark={"index": rank})
        found: list[tuple[int, str]] = []
        after: tuple[int, str] | None = None
        for size in (4, 4, 1, 0):
            page = await stand.store.marked("type", "index", after=after, limit=4, key="k")
            assert len(page) == size
            found.extend((actor.rank, actor.id) for actor in page)
            after = found[-1]
        assert found == everyone
        page = await stand.store.marked("type", "index", after=(2, "1zzz"), limit=1, key="k")
        assert page == (MarkedActor(id="2a", rank=2, value=None),)
        page = await stand.store.marked("type", "index", after=(2, "2bb"), limit=1, key="k")
        assert page == (MarkedActor(id="2c", rank=2, value=None),)

    @law("REA-07")
    async def test_marks_are_replaced_and_left(self, stand: Stand) -> None:
        """`mark` replaces the rank in an index, `unmark` leaves it, and `mark` comes last."""
        actor = stand.actor()
        await stand.put(actor, mark={"index": 1, "other": 2})
        await stand.put(actor, mark={"index": 3})
        assert await stand.marked() == [(3, actor.id)]
        assert await stand.marked("other") == [(2, actor.id)]
        await stand.put(actor, unmark=("index", "missing"))
        assert await stand.marked() == []
        assert await stand.marked("other") == [(2, actor.id)]
        await stand.put(actor, unmark=("other",), mark={"other": 4})
        assert await stand.marked("other") == [(4, actor.id)]

    @law("REA-08")
    async def test_indexes_are_apart(self, stand: Stand) -> None:
        """Indexes of other names and of other types are apart."""
        await stand.put(ActorId("type", "x"), mark={"index": 1})
        await stand.put(ActorId("other", "x"), mark={"index": 2})
        await stand.put(ActorId("type", "y"), mark={"ended": 3})
        assert await stand.marked() == [(1, "x")]
        assert await stand.marked(actor_type="other") == [(2, "x")]
        assert await stand.marked("ended") == [(3, "y")]
        assert await stand.marked("missing") == []

    @law("REA-09")
    async def test_marked_actors_bring_a_value(self, stand: Stand) -> None:
        """The value of the key asked for comes along, None where there is none."""
        await stand.put(ActorId("type", "x"), mark={"index": 1}, put={"k": b"v", "other": b"w"})
        await stand.put(ActorId("type", "y"), mark={"index": 2}, put={"other": b"w"})
        await stand.put(ActorId("type", "z"), mark={"index": 3}, put={"k": b""})
        found = await stand.store.marked("type", "index", after=None, limit=3, key="k")
        assert found == (
            MarkedActor(id="x", rank=1, value=b"v"),
            MarkedActor(id="y", rank=2, value=None),
            MarkedActor(id="z", rank=3, value=b""),
        )

"""TXT: text and bytes come back as they were given."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.errors import BackendError
from durahub_actors.stores import ActorId, ActorState, Lease, MarkedActor, ReminderId

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.stand import Stand

TEXTS = (
    "",
    " ",
    " leading and trailing ",
    "a",
    "A",
    "a\x00",
    "a\x00b",
    "\x00",
    "e\u0301",
    "\u00e9",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f600",
    "\uffff",
    "\U0010ffff",
    "tab\tline\nreturn\r",
    "'; DROP TABLE actors; --",
    '"quoted" and `ticked`',
    "a||b||c",
    "{tag}:colon:%d%s_*?[x]\\",
    "x" * 500,
)
"""Texts that stores confuse, cut, fold, normalise or take for something else; all are different."""


class TextLaws:
    """Laws of text and bytes."""

    @law("TXT-01")
    async def test_text_of_actors_comes_back(self, stand: Stand) -> None:
        """Types, ids, keys, etags and values come back identical, and different ones stay apart."""
        for number, text in enumerate(TEXTS):
            value = text.encode()
            await stand.one(ActorId(text, text), etag=f"e{text}", put={text: value})
            await stand.one(
                ActorId("type", text), etag=f"t{text}", put={f"k{text}": b"%d" % number}
            )
            await stand.put(ActorId("type", "one"), put={text: value})
        for number, text in enumerate(TEXTS):
            expected = ActorState(etag=f"e{text}", values={text: text.encode()})
            assert await stand.state(ActorId(text, text)) == expected
            expected = ActorState(etag=f"t{text}", values={f"k{text}": b"%d" % number})
            assert await stand.state(ActorId("type", text)) == expected
        assert await stand.values(ActorId("type", "one")) == {text: text.encode() for text in TEXTS}
        (found,) = await stand.store.read([ActorId("type", "one")], keys=["a\x00"])
        assert found is not None
        assert dict(found.values) == {"a\x00": b"a\x00"}

    @law("TXT-02")
    async def test_text_of_marks_comes_back(self, stand: Stand) -> None:
        """Ids come back from indexes of any name and type, and indexes of other names stay apart."""
        for rank, text in enumerate(TEXTS):
            await stand.put(ActorId(text, text), mark={text: rank}, put={text: b"v"})
        for rank, text in enumerate(TEXTS):
            found = await stand.store.marked(text, text, after=None, limit=10, key=text)
            assert found == (MarkedActor(id=text, rank=rank, value=b"v"),)
            after = (rank, text)
            assert await stand.store.marked(text, text, after=after, limit=10, key=text) == ()

    @law("TXT-03")
    async def test_text_of_reminders_comes_back(self, stand: Stand) -> None:
        """Names, queues, labels and payloads come back identical, and different ones stay apart."""
        lease = await stand.lease()
        for text in TEXTS:
            await stand.remind(ActorId(text, text), text, queue=text, label=text)
            await stand.remind(ActorId("type", "one"), text, queue="held", label=text, take=lease)
        for text in TEXTS:
            (found,) = (await stand.store.due(text, 10)).reminders
            assert found.id == ReminderId(ActorId(text, text), text)
            assert found.label == text
        names = [name for _, name in await stand.store.reminders(ActorId("type", "one"))]
        assert sorted(names) == sorted(TEXTS)
        assert await stand.held(lease) == {
            ReminderId(ActorId("type", "one"), text) for text in TEXTS
        }
        assert await stand.store.held_labels("held") == dict.fromkeys(TEXTS, 1)

    @law("TXT-04")
    async def test_text_of_leases_comes_back(self, stand: Stand) -> None:
        """Names and data of leases come back identical, and different ones stay apart."""
        leases = [
            Lease(name=text, time_to_live=timedelta(days=1), data=text.encode()) for text in TEXTS
        ]
        for lease in leases:
            await stand.store.acquire(lease)
        found = await stand.store.leases()
        assert len(found) == len(leases)
        assert set(found) == set(leases)
        await stand.store.renew(TEXTS)
        for text in TEXTS:
            home = stand.actor()
            name = await stand.remind(home, take=text)
            assert await stand.held(text) == {name}
            await stand.store.release(text)
            assert await stand.held(text) == set()
        assert await stand.store.leases() == ()

    @law("TXT-05")
    async def test_bytes_come_back(self, stand: Stand) -> None:
        """Any bytes come back identical: none, zeros, all 256."""
        actor = stand.actor()
        payloads = {
            "none": b"",
            "zero": b"\x00",
            "zeros": b"\x00\x00a\x00",
            "all": bytes(range(256)),
        }
        await stand.put(actor, put=payloads)
        assert await stand.values(actor) == payloads
        for name, payload in payloads.items():
            await stand.remind(stand.actor(), queue=name, payload=payload)
            (found,) = (await stand.store.due(name, 1)).reminders
            assert found.payload == payload

    @law("TXT-06")
    async def test_lone_surrogate_is_refused(self, stand: Stand) -> None:
        """A text with a lone surrogate is no Unicode text: it is refused, and the store works on."""
        actor = stand.actor()
        with pytest.raises(BackendError):
            await stand.one(actor, etag="e", put={"a": b"1", "\ud800": b"2"})
        with pytest.raises(BackendError):
            await stand.one(ActorId("type", "\udfff"), etag="e")
        assert await stand.state(actor) is None
        await stand.put(actor, put={"a": b"1"})

"""Texts come back as they were given, and stay texts for SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durahub.backend import Message
from durahub.clock import END_OF_TIME
from durahub.errors import BackendError
from durahub_postgres.text import from_stored, to_stored
from hypothesis import given
from hypothesis import strategies as st

ODD = st.text(alphabet=st.sampled_from("\0\x01\x0201a")) | st.text()


@given(ODD)
def test_every_text_comes_back_and_holds_no_nul(text: str) -> None:
    stored = to_stored(text)
    assert from_stored(stored) == text
    assert "\0" not in stored


@given(ODD, ODD)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (to_stored(one) == to_stored(other)) == (one == other)


@given(st.text(alphabet=st.characters(exclude_characters="\0\x01")))
def test_ordinary_text_is_stored_as_it_is(text: str) -> None:
    assert to_stored(text) == text


async def test_ids_are_compared_byte_by_byte(hub: Any, make: Any) -> None:
    ids = [
        "",
        "a",
        "A",
        "a ",
        "a\0",
        "a\x01",
        "a\x010",
        "a\x011",
        "a\0b",
        "é",
        "e\u0301",
        "%",
        "_",
        "'",
    ]
    claimed = await hub.start(*(make.creation(one, name=one) for one in ids))
    assert sorted(one.record.key.instance_id for one in claimed) == sorted(ids)
    views = await hub.backend.get([make.key(one) for one in ids])
    assert [view.record.name for view in views] == ids


async def test_ids_of_a_kibibyte_are_kept_apart(hub: Any, make: Any) -> None:
    letters = "".join(chr(33 + (7 * n * n) % 90) for n in range(1023))
    keys = [make.key(letters + last, "é" * 511) for last in "xy"]
    await hub.apply(*(make.creation("", key=key) for key in keys))
    assert [view.record.key for view in await hub.backend.get(keys)] == keys


async def test_id_beyond_all_measure_is_refused_and_work_goes_on(hub: Any, make: Any) -> None:
    endless = "".join(chr(33 + n * n * n % 7919) for n in range(20_000))
    with pytest.raises(BackendError, match="too long") as caught:
        await hub.apply(make.creation(endless))
    assert not caught.value.retryable
    await hub.apply(make.creation("a"))


@pytest.mark.parametrize("field", ["input", "version", "name", "tags", "key"])
async def test_text_that_is_no_unicode_is_refused(hub: Any, make: Any, field: str) -> None:
    wrong: Any = "a\ud800"
    wrong = {"tags": {"t": wrong}, "key": make.key(wrong)}.get(field, wrong)
    with pytest.raises(BackendError, match="lone surrogate"):
        await hub.apply(make.creation("a", **{field: wrong}), make.creation("b"))
    assert await hub.backend.get([make.key("b")]) == (None,)
    await hub.apply(make.creation("b"))


async def test_bytes_come_back_identical(hub: Any, make: Any) -> None:
    everything = bytes(range(256)) * 5000
    (claimed,) = await hub.start(make.creation("a", start=Message(payload=everything)))
    assert claimed.messages[0].message.payload == everything
    await hub.apply(make.turn(claimed, history=(b"", everything), failure=everything))
    (history,) = await hub.backend.history([make.key("a")])
    assert history.events == (b"", everything)


async def test_extreme_moments_come_back_identical(hub: Any, make: Any) -> None:
    first = datetime.min.replace(tzinfo=UTC)
    last = END_OF_TIME - timedelta(microseconds=1)
    creations = [
        make.creation("first", created_at=first, not_before=first),
        make.creation("last", created_at=last, not_before=last),
        make.creation("never", created_at=END_OF_TIME, not_before=END_OF_TIME),
    ]
    (claimed,) = await hub.start(*creations)
    views = await hub.backend.get([one.key for one in creations])
    assert [view.record.created_at for view in views] == [first, last, END_OF_TIME]
    assert [view.record.scheduled_start_at for view in views] == [first, last, END_OF_TIME]
    claims = await hub.backend.claim_instances(make.session, 10)
    assert (claims.instances, claims.next_due_at) == ((), last)
    timers = (make.timer(1, first), make.timer(2, END_OF_TIME), make.timer(3, last))
    (again,) = await hub.start(make.turn(claimed, timers=timers))
    assert again.timers == timers[:1]

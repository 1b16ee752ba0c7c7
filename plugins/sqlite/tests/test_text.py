"""Ids, texts and bytes come back as they were given, or are refused as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durahub.backend import InstanceQuery, Message
from durahub.clock import END_OF_TIME
from durahub.errors import BackendError

IDS = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "a\0",
    "a\0b",
    "\0",
    "ä",
    "a\u0308",
    "🙂",
    "a|b",
    "../x",
    "x\ny",
    "'; DROP TABLE instances; --",
    "?1",
    "{rows}",
    "%_",
    "1",
    "01",
    "1.0",
    "null",
    "x" * 5000,
    "\U0010ffff",
]


async def test_ids_are_compared_byte_by_byte(hub: Any, make: Any) -> None:
    claimed = await hub.start(*(make.creation(one, name=one) for one in IDS))
    assert [one.record.key.instance_id for one in claimed] == IDS
    views = await hub.backend.get([make.key(one) for one in IDS])
    assert [view.record.name for view in views] == IDS
    page = await hub.backend.list_instances(InstanceQuery(app_id=make.app))
    assert [record.key.instance_id for record in page.instances] == IDS


async def test_app_ids_are_compared_byte_by_byte(hub: Any, make: Any) -> None:
    keys = [make.key("i", one) for one in IDS]
    await hub.apply(*(make.creation("i", key=key) for key in keys))
    assert [view.record.key for view in await hub.backend.get(keys)] == keys


@pytest.mark.parametrize("text", [None, "", "\0", "a\0b", "ü🙂", "x" * 1_000_000])
async def test_texts_come_back_identical(hub: Any, make: Any, text: str | None) -> None:
    tags = {} if text is None else {text: text, "b": ""}
    (claimed,) = await hub.start(make.creation("a", input=text, version=text, tags=tags))
    assert claimed.record.tags == tags
    assert claimed.record.version == text
    failure = None if text is None else text.encode()
    await hub.apply(make.turn(claimed, output=text, custom_status=text, failure=failure))
    (view,) = await hub.backend.get([make.key("a")], payloads=True)
    payloads = view.payloads
    assert (payloads.input, payloads.output, payloads.custom_status) == (text, text, text)
    assert payloads.failure == failure
    assert view.record.tags == tags


@pytest.mark.parametrize("field", ["input", "version", "name", "tags", "key"])
async def test_text_that_is_no_unicode_is_refused(hub: Any, make: Any, field: str) -> None:
    wrong: Any = "a\ud800"
    wrong = {"tags": {"t": wrong}, "key": make.key(wrong)}.get(field, wrong)
    with pytest.raises(BackendError, match="lone surrogate"):
        await hub.apply(make.creation("a", **{field: wrong}), make.creation("b"))
    assert await hub.backend.get([make.key("a"), make.key("b")]) == (None, None)
    await hub.apply(make.creation("b"))


async def test_bytes_come_back_identical(hub: Any, make: Any) -> None:
    everything = bytes(range(256)) * 10
    (claimed,) = await hub.start(make.creation("a", start=Message(payload=everything)))
    assert claimed.messages[0].message.payload == everything
    await hub.apply(make.turn(claimed, history=(b"", everything)))
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
    page = await hub.backend.list_instances(InstanceQuery(app_id=make.app))
    assert [record.key.instance_id for record in page.instances] == ["first", "last", "never"]
    claims = await hub.backend.claim_instances(make.session, 10)
    assert (claims.instances, claims.next_due_at) == ((), last)
    timers = (make.timer(1, first), make.timer(2, END_OF_TIME), make.timer(3, last))
    (again,) = await hub.start(make.turn(claimed, timers=timers))
    assert again.timers == timers[:1]

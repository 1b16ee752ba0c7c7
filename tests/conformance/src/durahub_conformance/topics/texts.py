"""TXT: ids, texts and times come back as they went in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from durahub.backend import InstanceQuery, ParentLink, ParkInstance, Payloads, PurgeInstance
from durahub.clock import END_OF_TIME
from durahub.types import AppId, ExecutionId, InstanceKey

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    UPDATED_AT,
    creation,
    delivery,
    key,
    keys,
    last_turn,
    task,
)

ODD_TEXTS = (
    "",
    " ",
    "a",
    "A",
    "a ",
    " a",
    "a\n",
    "a\0",
    "a\0b",
    "%",
    "_",
    "a%",
    "'",
    '"',
    "''; DROP TABLE instances; --",
    "\\",
    "a/b",
    "a:b||c",
    "\u00e9",
    "e\u0301",
    "ß",
    "ss",
    "\N{GRINNING FACE}",
    "\uffff",
    "\u202e",
    "null",
    "0",
    "00",
    "x" * 1024,
    "x" * 1023 + "y",
)
"""Texts that stores like to confuse, with one another or with something else."""


class TextRequirements:
    """Requirements of round trips."""

    @requirement("TXT-01")
    async def test_ids_are_compared_byte_by_byte(self, hub: Hub) -> None:
        """Any string is an id, and no two different ones are confused."""
        await hub.create(*(creation(text, input=text) for text in ODD_TEXTS))
        where = [key(text) for text in ODD_TEXTS]
        assert keys(sorted(await hub.claim(), key=lambda one: one.record.key)) == sorted(where)
        views = await hub.backend.get(where, payloads=True)
        assert [view and view.record.key for view in views] == where
        assert [view and view.payloads for view in views] == [
            Payloads(input=text) for text in ODD_TEXTS
        ]
        page = await hub.backend.list_instances(InstanceQuery(app_id=APP))
        assert [record.key for record in page.instances] == where

    @requirement("TXT-02")
    async def test_writes_find_odd_ids(self, hub: Hub) -> None:
        """Deliveries, turns and purges reach exactly the instance that is named."""
        await hub.create(*(creation(text) for text in ODD_TEXTS))
        for claimed in await hub.claim():
            await hub.commit(claimed)
        for text in ODD_TEXTS:
            await hub.do(delivery(text, "wake"))
            claimed = await hub.claim_one()
            assert claimed.record.key == key(text)
            await hub.do(last_turn(claimed))
            await hub.do(PurgeInstance(key=key(text)))
            assert not await hub.exists(key(text))

    @requirement("TXT-03")
    async def test_app_ids_are_compared_byte_by_byte(self, hub: Hub) -> None:
        """Any string is an application id, and no two different ones are confused."""
        apps = [AppId(text) for text in ODD_TEXTS]
        await hub.create(*(creation("x", key=InstanceKey(app, "x"), input=app) for app in apps))
        for app in apps:
            page = await hub.backend.list_instances(InstanceQuery(app_id=app))
            assert [record.key for record in page.instances] == [InstanceKey(app, "x")]
            assert (await hub.view(InstanceKey(app, "x"))).payloads == Payloads(input=app)

    @requirement("TXT-04")
    async def test_payload_texts_come_back_identical(self, hub: Hub) -> None:
        """Input, output and custom status come back identical, whatever they hold."""
        for number, text in enumerate((*ODD_TEXTS, "\0", "x\0" * 100_000)):
            claimed = await hub.owned(f"i{number}", input=text)
            await hub.do(last_turn(claimed, output=text, custom_status=text, failure=text.encode()))
            assert (await hub.view(key(f"i{number}"))).payloads == Payloads(
                input=text, output=text, custom_status=text, failure=text.encode()
            )

    @requirement("TXT-05")
    async def test_absent_and_empty_are_different(self, hub: Hub) -> None:
        """An absent value comes back absent, an empty one empty."""
        await hub.create(creation("absent"), creation("empty", input="", version=""))
        absent, empty = sorted(await hub.claim(), key=lambda one: one.record.key)
        await hub.do(
            last_turn(absent, output=None),
            last_turn(empty, output="", custom_status="", failure=b""),
        )
        view = await hub.view(key("absent"))
        assert view.payloads == Payloads()
        assert view.record.version is None
        view = await hub.view(key("empty"))
        assert view.payloads == Payloads(input="", output="", custom_status="", failure=b"")
        assert view.record.version == ""

    @requirement("TXT-06")
    async def test_names_and_tags_come_back_identical(self, hub: Hub) -> None:
        """Names, versions, execution ids, tags and parent links come back identical."""
        tags = {text: text[::-1] for text in ODD_TEXTS}
        for number, text in enumerate(ODD_TEXTS):
            parent = ParentLink(
                key=InstanceKey(AppId(text), text), execution_id=ExecutionId(text), task_id=number
            )
            one = creation(
                f"i{number}",
                name=text,
                version=text,
                execution_id=ExecutionId(f"{number}{text}"),
                tags=tags,
                parent=parent,
            )
            await hub.create(one)
            record = await hub.record(key(f"i{number}"))
            assert (record.name, record.version) == (text, text)
            assert record.execution_id == one.execution_id
            assert dict(record.tags) == tags
            assert record.parent == parent

    @requirement("TXT-07")
    async def test_activity_tasks_come_back_identical(self, hub: Hub) -> None:
        """Names and keys of activity tasks come back identical."""
        for text in ODD_TEXTS:
            claimed = await hub.owned(text, execution_id=ExecutionId(f"e{text}"))
            tasks = (task(claimed, 0, name=text), task(claimed, 2**31 - 1, name=text))
            await hub.commit(claimed, activities=tasks)
            assert await hub.claim_tasks() == tasks

    @requirement("TXT-08")
    async def test_times_keep_their_microseconds(self, hub: Hub) -> None:
        """Times come back to the microsecond, aware and in UTC, from far past to the end of time."""
        for number, moment in enumerate(
            (
                datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
                datetime(2038, 1, 19, 3, 14, 8, 999_999, tzinfo=UTC),
                datetime(1900, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
                END_OF_TIME,
            )
        ):
            claimed = await hub.owned(f"i{number}", created_at=moment)
            await hub.do(
                last_turn(claimed, updated_at=moment, started_at=moment, completed_at=moment)
            )
            record = await hub.record(key(f"i{number}"))
            times = (
                record.created_at,
                record.last_updated_at,
                record.started_at,
                record.completed_at,
            )
            assert times == (moment,) * 4
            assert {time.utcoffset() for time in times} == {timedelta(0)}

    @requirement("TXT-09")
    async def test_start_at_the_end_of_time_never_comes(self, hub: Hub) -> None:
        """An instance that starts at `END_OF_TIME` never starts by itself, and says so."""
        await hub.create(creation("never", not_before=END_OF_TIME))
        claims = await hub.claims()
        assert (claims.instances, claims.next_due_at) == ((), None)
        assert (await hub.record(key("never"))).scheduled_start_at == END_OF_TIME

    @requirement("TXT-10")
    async def test_parked_reason_comes_back_identical(self, hub: Hub) -> None:
        """The reason of a parking comes back identical, also when it is empty."""
        for number, text in enumerate(ODD_TEXTS):
            await hub.owned(f"i{number}")
            park = ParkInstance(key=key(f"i{number}"), reason=text, updated_at=UPDATED_AT)
            await hub.do(park)
            assert (await hub.record(key(f"i{number}"))).parked_reason == text
            assert await hub.claim() == ()

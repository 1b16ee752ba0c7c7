"""QRY and HIS: reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from durahub.backend import (
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    Payloads,
    PurgeInstance,
)
from durahub.errors import BackendCorruptionError, BackendError
from durahub.types import RuntimeStatus

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    CREATED_AT,
    OTHER_APP,
    creation,
    key,
    last_turn,
)

MOST_PAGES = 100
"""More pages than any listing of a test has."""


async def listed(hub: Hub, query: InstanceQuery | None = None) -> list[str]:
    """Return the ids on a query's first page."""
    page = await hub.backend.list_instances(query or InstanceQuery(app_id=APP))
    return ids(page)


def ids(page: InstancePage) -> list[str]:
    """Return the ids on a page."""
    return [record.key.instance_id for record in page.instances]


def created(number: int) -> timedelta:
    """Return how long after the first instance another one was created."""
    return timedelta(microseconds=number)


async def create_some(hub: Hub, count: int) -> list[str]:
    """Create instances, one microsecond after the other, and return their ids."""
    names = [f"i{(7 * number) % 10}{number}" for number in range(count)]
    for number, name in enumerate(names):
        await hub.create(creation(name, created_at=CREATED_AT + created(number)))
    return names


class QueryRequirements:
    """Requirements of `get` and `list_instances`."""

    @requirement("QRY-01")
    async def test_get_answers_in_the_order_of_the_keys(self, hub: Hub) -> None:
        """`get` answers in the order of the keys, with None for what does not exist."""
        await hub.create("a", "b")
        wanted = [key("b"), key("missing"), key("a"), key("b", OTHER_APP), key("b")]
        found = await hub.backend.get(wanted)
        assert [view and view.record.key for view in found] == [
            key("b"),
            None,
            key("a"),
            None,
            key("b"),
        ]
        assert await hub.backend.get([]) == ()

    @requirement("QRY-02")
    async def test_get_reads_payloads_when_asked(self, hub: Hub) -> None:
        """`get` returns payloads only when they are asked for."""
        await hub.create(creation("one", input="in"))
        (plain,) = await hub.backend.get([key("one")])
        (full,) = await hub.backend.get([key("one")], payloads=True)
        assert plain is not None
        assert full is not None
        assert plain.payloads is None
        assert full.payloads == Payloads(input="in")
        assert plain.record == full.record

    @requirement("QRY-03")
    async def test_listing_is_in_order_of_creation(self, hub: Hub) -> None:
        """A listing has the instances of one application, in order of creation."""
        names = await create_some(hub, 12)
        await hub.create(creation("theirs", key=key("theirs", OTHER_APP)))
        page = await hub.backend.list_instances(InstanceQuery(app_id=APP))
        assert ids(page) == names
        assert page.next_token is None
        assert page.instances[3] == await hub.record(key(names[3]))
        assert await listed(hub, InstanceQuery(app_id=OTHER_APP)) == ["theirs"]

    @requirement("QRY-04")
    async def test_listing_selects_statuses(self, hub: Hub) -> None:
        """A listing has only the statuses that are asked for."""
        await hub.idle("running")
        await hub.ended("completed")
        await hub.ended("failed", status=RuntimeStatus.FAILED)
        await hub.create("pending")
        for statuses, found in (
            ((RuntimeStatus.FAILED,), ["failed"]),
            ((RuntimeStatus.PENDING, RuntimeStatus.RUNNING), ["running", "pending"]),
            ((RuntimeStatus.TERMINATED,), []),
            ((), ["running", "completed", "failed", "pending"]),
        ):
            assert await listed(hub, InstanceQuery(app_id=APP, statuses=statuses)) == found

    @requirement("QRY-05")
    async def test_listing_selects_times(self, hub: Hub) -> None:
        """A listing has what was created at or after one moment, and before the other."""
        names = await create_some(hub, 4)
        first, last = CREATED_AT + created(1), CREATED_AT + created(3)
        assert await listed(hub, InstanceQuery(app_id=APP, created_from=first)) == names[1:]
        assert await listed(hub, InstanceQuery(app_id=APP, created_to=last)) == names[:3]
        both = InstanceQuery(app_id=APP, created_from=first, created_to=last)
        assert await listed(hub, both) == names[1:3]

    @requirement("QRY-06")
    async def test_all_conditions_must_hold(self, hub: Hub) -> None:
        """A listing has what meets all conditions at once, over all its pages."""
        names = await create_some(hub, 10)
        claims = await hub.claim()
        await hub.do(*(last_turn(one) for one in claims if one.record.key.instance_id != names[5]))
        query = InstanceQuery(
            app_id=APP,
            statuses=(RuntimeStatus.COMPLETED,),
            created_from=CREATED_AT + created(2),
            created_to=CREATED_AT + created(9),
            page_size=2,
        )
        assert await walk(hub, query) == [*names[2:5], *names[6:9]]

    @requirement("QRY-07")
    async def test_pages_have_the_size_asked_for(self, hub: Hub) -> None:
        """A page holds at most what was asked for; walking the pages shows each instance once."""
        names = await create_some(hub, 7)
        for size in (1, 3, 7, 8):
            query = InstanceQuery(app_id=APP, page_size=size)
            assert await listed(hub, query) == names[:size]
            assert await walk(hub, query) == names

    @requirement("QRY-08")
    async def test_pages_are_stable(self, hub: Hub) -> None:
        """What is created or purged between two pages makes no other appear twice or not at all."""
        names = await create_some(hub, 8)
        for claimed in await hub.claim():
            await hub.do(last_turn(claimed))
        query = InstanceQuery(app_id=APP, page_size=3)
        first = await hub.backend.list_instances(query)
        purged = [names[0], names[2], names[4]]
        await hub.do(*(PurgeInstance(key=key(name)) for name in purged))
        await hub.create(creation("", created_at=CREATED_AT - created(1)), "zzz")
        rest = await walk(hub, query, first.next_token)
        found = [name for name in ids(first) + rest if name not in {"", "zzz"}]
        assert found == [*names[:4], *names[5:]]

    @requirement("QRY-09")
    @pytest.mark.parametrize("token", ["", "nonsense", "9" * 5000, "é\0"])
    async def test_foreign_page_token_is_refused(self, hub: Hub, token: str) -> None:
        """A page token that is not one of this backend raises `BackendError`."""
        await hub.create("one")
        query = InstanceQuery(app_id=APP, page_token=token)
        with pytest.raises(BackendError):
            await hub.backend.list_instances(query)

    @requirement("QRY-10")
    async def test_empty_hub_has_one_empty_page(self, hub: Hub) -> None:
        """A listing of nothing is one empty page, the last."""
        page = await hub.backend.list_instances(InstanceQuery(app_id=APP))
        assert page == InstancePage(instances=(), next_token=None)


class HistoryRequirements:
    """Requirements of `history`."""

    @requirement("HIS-01")
    async def test_history_answers_in_the_order_of_the_keys(self, hub: Hub) -> None:
        """`history` answers in the order of the keys, with None for what does not exist."""
        await hub.idle("a", history=(b"a",))
        await hub.idle("b", history=(b"b1", b"b2"))
        await hub.create("new")
        found = await hub.backend.history([key("b"), key("missing"), key("new"), key("a")])
        assert found == (
            InstanceHistory(record=await hub.record(key("b")), events=(b"b1", b"b2")),
            None,
            InstanceHistory(record=await hub.record(key("new")), events=()),
            InstanceHistory(record=await hub.record(key("a")), events=(b"a",)),
        )
        assert await hub.backend.history([]) == ()

    @requirement("HIS-02")
    async def test_events_come_back_identical(self, hub: Hub) -> None:
        """Events come back byte for byte: empty, binary, large, and many."""
        events = (
            b"",
            bytes(range(256)),
            b"\0",
            bytes(range(256)) * 4096,
            *(b"%d" % number for number in range(2000)),
        )
        await hub.idle("one", history=events)
        (found,) = await hub.backend.history([key("one")])
        assert found is not None
        assert found.events == events
        assert found.record.history_length == len(events)

    @requirement("HIS-03", needs="durable")
    async def test_damaged_history_is_told(self, hub: Hub) -> None:
        """A history with a gap raises `BackendCorruptionError` that names the instance."""
        await hub.idle("broken one", history=(b"1", b"2", b"3"))
        await hub.idle("sound one", history=(b"1", b"2", b"3"))
        await hub.backend.close()
        await hub.probe.lose_event(key("broken one"))
        await hub.reopen()
        with pytest.raises(BackendCorruptionError, match="broken one"):
            await hub.backend.history([key("sound one"), key("broken one")])
        (found,) = await hub.backend.history([key("sound one")])
        assert found is not None
        assert found.events == (b"1", b"2", b"3")


async def walk(hub: Hub, query: InstanceQuery, token: str | None = None) -> list[str]:
    """Return the ids on a query's pages, from one page on."""
    found: list[str] = []
    for _ in range(MOST_PAGES):
        page = await hub.backend.list_instances(replace(query, page_token=token))
        assert len(page.instances) <= query.page_size
        found += ids(page)
        token = page.next_token
        if token is None:
            return found
    raise AssertionError(f"{MOST_PAGES} pages are no end")

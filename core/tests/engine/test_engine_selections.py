"""Searching: bounded work, whatever is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from durahub.engine import Engine
from durahub.engine.client import BulkPage, Selection
from durahub.engine.client.selections import COUNTED_AT_ONCE, READS_PER_CALL
from durahub.errors import BackendUnavailableError, InstanceStalledError, InvalidRequestError
from durahub.protocol import messages as pb
from durahub.types import RuntimeStatus

from .hub import WatchedBackend, get, nothing, purge, row, running, start, status
from .making import text
from .worker import waiting_for, working

LATER = datetime(2999, 1, 1, tzinfo=UTC)
MANY = 300


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with running() as engine:
        yield engine


def reads(engine: Engine) -> int:
    backend = engine._backend
    assert isinstance(backend, WatchedBackend)
    return backend.calls["list_instances"]


async def fill(engine: Engine, count: int = MANY) -> list[str]:
    """Create instances that start much later, every hundredth with another name."""
    ids = [f"i{number}" for number in range(count)]
    for number, instance_id in enumerate(ids):
        await start(engine, instance_id, "Rare" if number % 100 == 99 else "Flow", at=LATER)
    return ids


async def everything(engine: Engine, selection: Selection, limit: int) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        before = reads(engine)
        page = await engine.client.find(selection, limit=limit, page_token=token)
        assert reads(engine) - before <= READS_PER_CALL
        assert len(page.instances) <= limit
        found += [record.key.instance_id for record in page.instances]
        token = page.next_token
        if token is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 50, 1000])
async def test_a_rare_one_is_found_with_a_bounded_number_of_reads_per_call(
    engine: Engine, limit: int
) -> None:
    await fill(engine)
    found = await everything(engine, Selection(name="Rare"), limit)
    assert found == ["i99", "i199", "i299"]


async def test_a_full_page_takes_one_read(engine: Engine) -> None:
    await fill(engine, 20)
    page = await engine.client.find(Selection(), limit=10)
    assert (len(page.instances), reads(engine)) == (10, 1)


async def test_nothing_that_matches_is_an_end_or_an_empty_page(engine: Engine) -> None:
    await fill(engine, 50)
    page = await engine.client.find(Selection(name="None"), limit=1)
    assert page.instances == ()
    assert page.next_token is not None
    assert await everything(engine, Selection(name="None"), 1) == []


async def test_a_count_is_complete_or_says_where_to_go_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert COUNTED_AT_ONCE > 100
    await fill(engine, 45)
    monkeypatch.setattr("durahub.engine.client.selections.COUNTED_AT_ONCE", 1)
    first = await engine.client.count(Selection())
    assert first.by_status == {RuntimeStatus.PENDING: READS_PER_CALL}
    second = await engine.client.count(Selection(), page_token=first.next_token)
    third = await engine.client.count(Selection(), page_token=second.next_token)
    assert third.by_status == {RuntimeStatus.PENDING: 5}
    assert third.next_token is None


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("Flow", "Flow", True),
        ("flow", "Flow", False),
        ("F*", "Flow", True),
        ("*", "", True),
        ("F??w", "Flow", True),
        ("F?w", "Flow", False),
        ("[a]", "[a]", True),
        ("[a]", "a", False),
        ("a.c", "abc", False),
        ("a*", "a\nb", True),
    ],
)
async def test_a_name_is_a_glob_of_stars_and_question_marks(
    engine: Engine, glob: str, name: str, *, fits: bool
) -> None:
    await start(engine, "one", name, at=LATER)
    assert await everything(engine, Selection(name=glob), 10) == (["one"] if fits else [])


async def test_a_nasty_glob_takes_no_time(engine: Engine) -> None:
    await start(engine, "one", "a" * 1000, at=LATER)
    assert await everything(engine, Selection(name="*a" * 400 + "b"), 10) == []


async def test_a_token_that_no_store_gave_out_is_refused(engine: Engine) -> None:
    for call in (
        engine.client.find(Selection(), limit=1, page_token="nonsense"),
        engine.client.count(Selection(), page_token="nonsense"),
    ):
        with pytest.raises(InvalidRequestError, match="page token"):
            await call


async def test_tags_and_parents_select(engine: Engine) -> None:
    for instance_id, tags in (("a", {"k": "1", "l": ""}), ("b", {"k": "2"}), ("c", {})):
        request = pb.CreateInstanceRequest(instanceId=instance_id, name="Flow", tags=tags)
        request.scheduledStartTimestamp.FromDatetime(LATER)
        await engine.client.start(request)
    assert await everything(engine, Selection(tags={"k": None}), 10) == ["a", "b"]
    assert await everything(engine, Selection(tags={"k": "2"}), 10) == ["b"]
    assert await everything(engine, Selection(tags={"k": None, "l": ""}), 10) == ["a"]
    assert await everything(engine, Selection(parent_id="a"), 10) == []
    assert not Selection(tags={"k": None}).is_everything
    assert Selection(may_see=bool).is_everything


async def test_a_bulk_reports_what_refuses_and_does_the_rest() -> None:
    async with running() as engine, working(engine, {"Flow": waiting_for(1)}):
        for instance_id in ("a", "b", "c"):
            await start(engine, instance_id)
        backend = engine._backend
        assert isinstance(backend, WatchedBackend)

        async def meanwhile(name: str) -> None:
            if name == "list_instances":
                backend.after = nothing
                parked = row(engine, "b")
                parked.record = replace(parked.record, status=RuntimeStatus.STALLED)
                await purge(engine, "c", force=True)

        backend.after = meanwhile
        page = BulkPage(selection=Selection(), limit=10)
        outcome = await engine.client.suspend_each(page)
        assert outcome.matched == ("a", "b", "c")
        assert outcome.done == ("a",)
        ((failed, error),) = outcome.failed
        assert (failed, type(error)) == ("b", InstanceStalledError)


async def test_a_bulk_that_loses_its_store_says_so_and_can_be_repeated() -> None:
    async with running() as engine, working(engine, {"Flow": waiting_for(1)}):
        for number in range(5):
            await start(engine, f"i{number}")
        backend = engine._backend
        assert isinstance(backend, WatchedBackend)

        async def fail(name: str) -> None:
            if name == "get":
                raise BackendUnavailableError("away")

        before, backend.before = backend.before, fail
        page = BulkPage(selection=Selection(), limit=10)
        with pytest.raises(BackendUnavailableError):
            await engine.client.terminate_each(page, output='"x"')
        backend.before = before
        outcome = await engine.client.terminate_each(page, output='"x"')
        assert outcome.done == tuple(f"i{number}" for number in range(5))
        for number in range(5):
            request = pb.GetInstanceRequest(instanceId=f"i{number}")
            await engine.client.wait_for_completion(request)
            assert (await get(engine, f"i{number}")).workflowState.output == text('"x"')


async def test_a_bulk_of_statuses_that_do_not_fit_does_nothing(engine: Engine) -> None:
    await start(engine, "a", at=LATER)
    page = BulkPage(selection=Selection(statuses=(RuntimeStatus.COMPLETED,)), limit=10)
    assert (await engine.client.suspend_each(page)).matched == ()
    assert await status(engine, "a") == "PENDING"

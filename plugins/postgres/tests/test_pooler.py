"""Behind a pooler in transaction mode: detected, and correct without any state of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from durahub.backend import CommitActivity, InstanceCreated, InstanceQuery, Message
from durahub.errors import SessionFencedError
from durahub.types import SessionId
from durahub_postgres import PostgresBackend

from .pooler import Pooler, pooler


@pytest.fixture
async def pool(trusting_postgres_url: str, tmp_path: Path) -> AsyncIterator[Pooler]:
    parsed = urlsplit(trusting_postgres_url)
    directory = parse_qs(parsed.query).get("host", [""])[0]
    assert directory, "the tests' server listens on a Unix socket"
    async with pooler(f"{directory}/.s.PGSQL.{parsed.port or 5432}", tmp_path) as made:
        yield made


@pytest.fixture
def pooled_url(pool: Pooler, tmp_path: Path) -> str:
    assert pool.transactions == 0
    return f"postgresql://postgres@/postgres?host={tmp_path}"


@pytest.mark.parametrize("notifications", ["auto", "off"])
async def test_everything_works_behind_a_pooler(
    pool: Pooler,
    pooled_url: str,
    new_backend: Callable[..., Any],
    make: Any,
    notifications: str,
) -> None:
    backend = await new_backend(connectionString=pooled_url, notifications=notifications)
    await backend.create_hub()
    await backend.register(make.registration())
    before = pool.transactions
    for number in range(10):
        applied = await backend.apply(make.session, [make.creation(f"i{number}")], make.room)
        assert applied.results == (InstanceCreated(generation=1),)
        (claimed,) = applied.instances
        turn = make.turn(claimed, activities=(make.task(claimed, 1),))
        applied = await backend.apply(make.session, [turn], make.room)
        (task,) = applied.activities
        commit = CommitActivity(task=task.key, result=Message(payload=b"r"))
        applied = await backend.apply(make.session, [commit], make.room)
        assert len(applied.instances) == 1
    assert pool.transactions >= before + 30
    await backend.heartbeat(make.session)
    assert len((await backend.list_instances(InstanceQuery(app_id=make.app))).instances) == 10
    with pytest.raises(SessionFencedError):
        await backend.heartbeat(SessionId("unknown"))


async def test_nobody_listens_behind_a_pooler(
    pooled_url: str, new_backend: Callable[..., Any], make: Any
) -> None:
    backend = await new_backend(connectionString=pooled_url)
    await backend.create_hub()
    await backend.register(make.registration())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(backend.wakeups(make.session)), 0.3)
    # What nobody holds can't be found free: the session lives on without the guard lock.
    await backend.register(make.registration("session-2"))
    await backend.heartbeat(make.session)


def test_configuration_says_what_capability_is_lost(settings: Callable[..., Any]) -> None:

    assert PostgresBackend(settings(notifications="auto")).capabilities.hints
    assert not PostgresBackend(settings(notifications="off")).capabilities.hints

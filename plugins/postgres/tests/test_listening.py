"""Hints: who is told what, that nobody is told in vain, and what a lost connection costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from durahub.backend import (
    ClaimLimit,
    ClaimLimits,
    Forwarded,
    InstanceChanged,
    ReleaseInstance,
    Room,
    WorkDue,
)
from durahub.errors import BackendError, SessionFencedError
from durahub.types import AppId, RuntimeStatus, SessionId

PATIENCE_S = 5.0


@asynccontextmanager
async def listening(backend: Any, session_id: str) -> AsyncIterator[asyncio.Queue[Any]]:
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def follow() -> None:
        async for hint in backend.wakeups(SessionId(session_id)):
            heard.put_nowait(hint)

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        yield heard
        following.cancel()


async def hear(heard: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await heard.get()


async def settle(hub: Any, count: int = 1) -> None:
    """Wait until so many sessions listen."""
    query = "SELECT count(*) FROM sessions WHERE guarded AND ended_at IS NULL"
    async with asyncio.timeout(PATIENCE_S):
        while await hub.sql.fetchval(query) < count:  # noqa: ASYNC110 - the database changes
            await asyncio.sleep(0.01)


@pytest.fixture
async def notified(hub: Any) -> list[str]:
    """Everything that the task hub notifies."""
    payloads: list[str] = []
    await hub.sql.add_listener(
        f"durahub:{hub.schema}", lambda *arguments: payloads.append(arguments[3])
    )
    return payloads


@pytest.fixture
async def peer(new_backend: Callable[..., Any], make: Any) -> Any:
    backend = await new_backend()
    await backend.create_hub()
    await backend.register(make.registration("peer"))
    return backend


async def test_only_others_that_need_it_are_told(
    hub: Any, make: Any, peer: Any, notified: list[str]
) -> None:
    async with listening(peer, "peer") as heard:
        await settle(hub)
        await hub.apply(make.creation("mine"))
        await hub.backend.apply(make.session, [make.creation("left")])
        assert await hear(heard) == WorkDue()
        (claimed,) = (await peer.claim_instances(SessionId("peer"), 5)).instances
        turn = make.turn(claimed, status=RuntimeStatus.COMPLETED)
        await peer.apply(SessionId("peer"), [turn])
        await hub.backend.apply(make.session, [ReleaseInstance(key=make.key("mine"))])
        assert await hear(heard) == WorkDue()
        assert heard.empty()
    await hub.sql.execute("SELECT 1")
    # What a session keeps, or does to no status, is nobody's business.
    assert len(notified) == 3


async def test_changes_name_the_instance(hub: Any, make: Any, peer: Any) -> None:
    async with listening(peer, "peer") as heard:
        await settle(hub)
        for instance_id in ("\x01" * 1200, "one", 'x"\0\x01é' * 20):
            (claimed,) = await hub.start(make.creation(instance_id))
            await hub.apply(make.turn(claimed))
            if len(instance_id) < 1000:  # a longer one does not fit into a notification
                assert await hear(heard) == InstanceChanged(make.key(instance_id))


async def test_session_alone_tells_nobody(hub: Any, make: Any, notified: list[str]) -> None:
    (claimed,) = await hub.start(make.creation("one"))
    await hub.backend.apply(make.session, [make.turn(claimed, consumed=())])
    await hub.sql.execute("SELECT 1")
    assert notified == []


async def test_other_applications_are_told_of_their_own_work_and_of_all_changes(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    other = AppId("other")
    backend = await new_backend()
    await backend.register(make.registration("theirs", other))
    async with listening(backend, "theirs") as heard:
        await settle(hub)
        await hub.backend.apply(make.session, [make.creation("mine")])
        await hub.backend.apply(make.session, [make.creation("x", key=make.key("x", other))])
        assert await hear(heard) == WorkDue()
        (claimed,) = (await hub.backend.claim_instances(make.session, 10)).instances
        tasks = (make.task(claimed, 1), make.task(claimed, 2, other))
        await hub.apply(make.turn(claimed, activities=tasks))
        changed = InstanceChanged(make.key("mine"))
        assert {await hear(heard), await hear(heard)} == {WorkDue(), changed}
        assert heard.empty()


async def test_end_of_a_session_tells_who_may_take_over(hub: Any, make: Any, peer: Any) -> None:
    await hub.start(make.creation("one"))
    async with listening(peer, "peer") as heard:
        await settle(hub)
        await hub.backend.unregister(make.session)
        assert await hear(heard) == WorkDue()


async def test_only_the_target_is_told_of_an_envelope(
    hub: Any, make: Any, peer: Any, new_backend: Callable[..., Any], notified: list[str]
) -> None:
    named = SessionId('odd " \0 name')
    backend = await new_backend()
    await backend.register(make.registration(named))
    async with listening(peer, "peer") as heard, listening(backend, named) as overheard:
        await settle(hub, 2)
        assert await hub.backend.forward(make.session, SessionId("peer"), b"1")
        assert await hear(heard) == Forwarded()
        assert not await hub.backend.forward(make.session, SessionId("unknown"), b"1")
        assert await hub.backend.forward(make.session, named, b"2")
        assert await hear(overheard) == Forwarded()
        assert heard.empty()
        assert overheard.empty()
    assert len(notified) == 2


async def test_freed_place_is_told_to_who_has_limits(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    limited = await new_backend()
    limits = ClaimLimits(instances=ClaimLimit(total=1))
    await limited.register(make.registration("limited", limits=limits))
    one, two = await hub.start(make.creation("one"), make.creation("two"))
    await hub.apply(make.creation("three"), room=Room())
    async with listening(limited, "limited") as heard:
        await settle(hub)
        await hub.apply(make.turn(one, status=RuntimeStatus.COMPLETED))
        assert {type(await hear(heard)), type(await hear(heard))} == {WorkDue, InstanceChanged}
        await hub.start(make.delivery("three"))
        await hub.apply(make.turn(two, status=RuntimeStatus.COMPLETED))
        assert await hear(heard) == InstanceChanged(make.key("two"))
        assert heard.empty()  # nothing waits for the place


async def test_lost_connection_comes_back_with_a_hint(hub: Any, make: Any, peer: Any) -> None:
    async with listening(peer, "peer") as heard:
        await settle(hub)
        for _ in range(3):
            await hub.sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = (SELECT connections FROM sessions WHERE session_id = 'peer')"
            )
            assert await hear(heard) == WorkDue()
        await hub.apply(make.creation("one"), room=Room())
        assert await hear(heard) == WorkDue()


async def test_listening_ends_with_the_session_or_the_backend(peer: Any) -> None:
    with pytest.raises(SessionFencedError):
        await anext(peer.wakeups(SessionId("unknown")))
    await peer.close()
    with pytest.raises(BackendError):
        await anext(peer.wakeups(SessionId("peer")))

"""Who is dead, who only looks it, and that the dead write nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from durahub.backend import Delivered, PurgeInstance
from durahub.errors import BackendUnavailableError, SessionFencedError
from durahub.types import SessionId

LIFE_S = 2.0


@asynccontextmanager
async def listening(backend: Any, session_id: str) -> AsyncIterator[list[Any]]:
    """Follow the hints of a session, which also holds its guard lock."""
    heard: list[Any] = []

    async def follow() -> None:
        async for hint in backend.wakeups(session_id):
            heard.append(hint)  # noqa: PERF401 - it never ends

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        yield heard
        following.cancel()


async def until(condition: Callable[[], Awaitable[bool]], patience_s: float = 10) -> None:
    async with asyncio.timeout(patience_s):
        while not await condition():  # noqa: ASYNC110 - the database changes, and tells nobody
            await asyncio.sleep(0.02)


@pytest.fixture
async def mortal(new_backend: Callable[..., Any], make: Any) -> Any:
    """Another process with a short-lived session."""
    backend = await new_backend()
    await backend.create_hub()
    await backend.register(make.registration("mortal", life_s=LIFE_S))
    return backend


async def is_guarded(hub: Any) -> bool:
    query = "SELECT guarded FROM sessions WHERE session_id = 'mortal'"
    return bool(await hub.sql.fetchval(query))


async def fence(hub: Any, make: Any) -> Any:
    """Beat until a heartbeat fences somebody, and return that one."""
    async with asyncio.timeout(10):
        while not (beat := await hub.backend.heartbeat(make.session)).fenced:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
    return beat


async def listener_of(hub: Any) -> int | None:
    query = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = $1 AND granted"
    )
    found: int | None = await hub.sql.fetchval(
        query, (await hub.sql.fetchval("SELECT guard_class()")) % 2**32
    )
    return found


async def test_ended_process_is_noticed_before_its_time(hub: Any, make: Any, mortal: Any) -> None:
    async with listening(mortal, "mortal"):
        await until(lambda: is_guarded(hub))
        assert (await hub.backend.heartbeat(make.session)).fenced == ()
    beaten = (await mortal.heartbeat(SessionId("mortal"))).now
    await until(lambda: nobody_listens(hub))
    beat = await fence(hub, make)
    assert beat.fenced == ("mortal",)
    assert LIFE_S / 2 <= (beat.now - beaten).total_seconds() < 0.9 * LIFE_S


async def nobody_listens(hub: Any) -> bool:
    return await listener_of(hub) is None


async def test_lost_connection_does_not_end_a_living_session(
    hub: Any, make: Any, mortal: Any
) -> None:
    async with listening(mortal, "mortal"):
        await until(lambda: is_guarded(hub))
        for _ in range(8):
            await mortal.heartbeat(SessionId("mortal"))
            await hub.sql.execute("SELECT pg_terminate_backend($1)", await listener_of(hub))
            for _ in range(5):
                assert (await hub.backend.heartbeat(make.session)).fenced == ()
                await asyncio.sleep(LIFE_S / 3 / 6)
            await until(lambda: somebody_listens(hub))


async def somebody_listens(hub: Any) -> bool:
    return await listener_of(hub) is not None


async def test_frozen_process_has_its_whole_life(hub: Any, make: Any, mortal: Any) -> None:
    async with listening(mortal, "mortal"):
        await until(lambda: is_guarded(hub))
        beaten = (await mortal.heartbeat(SessionId("mortal"))).now
        beat = await fence(hub, make)
        assert (beat.now - beaten).total_seconds() >= LIFE_S


async def test_nothing_is_written_after_fencing(hub: Any, make: Any, mortal: Any) -> None:
    await hub.apply(make.creation("one"))
    acknowledged = unknown = 0

    async def write() -> None:
        nonlocal acknowledged, unknown
        while True:
            delivery = make.delivery("one", b"x")
            try:
                applied = await mortal.apply(SessionId("mortal"), [delivery])
            except SessionFencedError:
                return
            except BackendUnavailableError:
                unknown += 1  # its transaction was older than its session's life
                continue
            assert applied.results == (Delivered(),)
            acknowledged += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(write())
        await asyncio.sleep(0.2)
        await hub.sql.execute(
            "UPDATE sessions SET time_to_live = '100 ms' WHERE session_id = 'mortal'"
        )
        await fence(hub, make)
        stored = await hub.sql.fetchval("SELECT count(*) FROM messages")
    assert acknowledged > 0
    assert acknowledged + 1 <= stored <= acknowledged + unknown + 1
    assert await hub.sql.fetchval("SELECT count(*) FROM messages") == stored


@pytest.mark.usefixtures("mortal")
async def test_session_is_fenced_once_by_many(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    others = [await new_backend() for _ in range(3)]
    beats = [
        await other.register(make.registration(f"other {number}"))
        for number, other in enumerate(others)
    ]
    await asyncio.sleep(LIFE_S)
    beats += await asyncio.gather(
        *(other.heartbeat(SessionId(f"other {number}")) for number, other in enumerate(others)),
        hub.backend.heartbeat(make.session),
    )
    await hub.backend.heartbeat(make.session)
    fenced = [one for beat in beats for one in beat.fenced]
    assert fenced == ["mortal"]


@pytest.mark.usefixtures("mortal")
async def test_transaction_of_a_frozen_process_is_cut_off(
    hub: Any, make: Any, postgres_url: str
) -> None:
    name = await hub.sql.fetchval("SELECT connections FROM sessions WHERE session_id = 'mortal'")
    stuck = await asyncpg.connect(postgres_url, server_settings={"application_name": name})
    await stuck.execute("BEGIN")
    await stuck.execute(f"SELECT {hub.schema}.alive('mortal')")
    await asyncio.sleep(LIFE_S)
    fenced = [(await hub.backend.heartbeat(make.session)).fenced]

    async def is_fenced() -> bool:
        fenced.append((await hub.backend.heartbeat(make.session)).fenced)
        return fenced[-1] == ("mortal",)

    await until(is_fenced)
    assert fenced[0] == ()
    assert stuck.is_closed()


async def test_late_answer_does_not_keep_what_was_given_back(
    hub: Any, make: Any, postgres_url: str
) -> None:
    """A claim whose answer was lost may still be running when the engine gives everything back."""
    await hub.backend.apply(make.session, [make.creation("one")])
    lost = await asyncpg.connect(postgres_url)
    await lost.execute("BEGIN")
    await lost.execute(f"SELECT {hub.schema}.claim_instances('{make.session}', 10)")
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(hub.backend.release_except(make.session, set(), set()))
        await asyncio.sleep(0.1)
        assert not giving.done()
        await lost.execute("COMMIT")
    await lost.close()
    assert len((await hub.backend.claim_instances(make.session, 10)).instances) == 1


async def test_purged_by_force_is_lost_for_its_owner(hub: Any, make: Any, mortal: Any) -> None:
    applied = await mortal.apply(SessionId("mortal"), [make.creation("one")], make.room)
    await hub.apply(PurgeInstance(key=make.key("one"), force=True))
    (result,) = (await mortal.apply(SessionId("mortal"), [make.turn(applied.instances[0])])).results
    assert type(result).__name__ == "NotOwner"


async def forwarded(hub: Any) -> list[bytes]:
    return [row[0] for row in await hub.sql.fetch("SELECT payload FROM forwarded ORDER BY number")]


async def test_envelopes_end_with_their_session(hub: Any, make: Any, mortal: Any) -> None:
    await mortal.register(make.registration("leaving"))
    for to in ("mortal", "leaving", make.session):
        assert await mortal.forward("mortal", to, to.encode())
    await mortal.unregister("leaving")
    assert await forwarded(hub) == [b"mortal", make.session.encode()]
    await asyncio.sleep(LIFE_S)
    await fence(hub, make)
    assert await forwarded(hub) == [make.session.encode()]


async def test_who_forwards_to_the_dead_does_not_keep_them_alive(
    hub: Any, make: Any, mortal: Any, postgres_url: str
) -> None:
    """What came too late to be removed with its session is removed with the next one."""
    await mortal.register(make.registration("leaving"))
    await asyncio.sleep(LIFE_S)
    forwarding = await asyncpg.connect(postgres_url)
    await forwarding.execute("BEGIN")
    await forwarding.execute(f"SELECT {hub.schema}.forward('{make.session}', 'mortal', 'x')")
    assert (await hub.backend.heartbeat(make.session)).fenced == ("mortal",)
    await forwarding.execute("COMMIT")
    await forwarding.close()
    assert await forwarded(hub) == [b"x"]
    await mortal.unregister("leaving")
    assert await forwarded(hub) == []

"""LIF: opening, creating, closing, and what survives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from durahub.backend import Backend, Delivered, EndedQuery, InstanceQuery
from durahub.errors import BackendError, BackendLockedError, TaskHubNotFoundError
from durahub.types import RuntimeStatus, SessionId

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import (
    APP,
    UPDATED_AT,
    creation,
    delivery,
    key,
    task,
    texts,
    timer,
    turn,
)


def hub_calls(backend: Backend, hub: Hub) -> list[Callable[[], Awaitable[object]]]:
    """Return one call of every method that needs a task hub."""
    nobody = SessionId("nobody")
    return [
        lambda: backend.register(hub.new_session()),
        lambda: backend.heartbeat(nobody),
        lambda: backend.unregister(nobody),
        lambda: backend.release_except(nobody, set(), set()),
        lambda: backend.apply(nobody, [creation("one")]),
        lambda: backend.claim_instances(nobody, 1),
        lambda: backend.claim_activities(nobody, 1),
        lambda: backend.get([key("one")]),
        lambda: backend.history([key("one")]),
        lambda: backend.list_instances(InstanceQuery(app_id=APP)),
        lambda: backend.list_ended(EndedQuery(app_id=APP, status=RuntimeStatus.COMPLETED)),
    ]


def all_calls(backend: Backend, hub: Hub) -> list[Callable[[], Awaitable[object]]]:
    """Return one call of every method that needs an open backend."""
    return [
        backend.create_hub,
        backend.delete_hub,
        backend.schema_status,
        backend.pending_migrations,
        lambda: backend.migrate(lambda _: None),
        backend.now,
        *hub_calls(backend, hub),
    ]


async def outcomes(calls: list[Callable[[], Awaitable[object]]]) -> list[type[object]]:
    """Return which error class each call raised; the type of what it returned otherwise."""
    found: list[type[object]] = []
    for call in calls:
        try:
            found.append(type(await call()))
        except BackendError as error:
            found.append(type(error))
    return found


class LifecycleRequirements:
    """Requirements of a backend's life."""

    @requirement("LIF-01")
    async def test_capabilities_are_known_before_open_and_stay(self, hub: Hub) -> None:
        """The capabilities and the description are known before `open`, and stay the same."""
        await hub.backend.close()
        fresh = hub.harness.backend()
        before, place = fresh.capabilities, fresh.describe()
        assert place
        await hub.open(fresh)
        assert (fresh.capabilities, fresh.describe()) == (before, place)

    @requirement("LIF-02")
    async def test_use_before_open_raises_backend_error(self, hub: Hub) -> None:
        """Using a backend before `open` raises `BackendError`, whatever is called."""
        await hub.backend.close()
        found = await outcomes(all_calls(hub.harness.backend(), hub))
        assert all(issubclass(one, BackendError) for one in found), found

    @requirement("LIF-03")
    async def test_use_after_close_raises_backend_error(self, hub: Hub) -> None:
        """Using a backend after `close` raises `BackendError`, whatever is called."""
        await hub.backend.close()
        found = await outcomes(all_calls(hub.backend, hub))
        assert all(issubclass(one, BackendError) for one in found), found

    @requirement("LIF-04")
    async def test_close_is_idempotent(self, hub: Hub) -> None:
        """`close` may be called again, and on a backend that never was open."""
        await hub.backend.close()
        await hub.backend.close()
        await hub.harness.backend().close()

    @requirement("LIF-05")
    async def test_create_hub_keeps_what_exists(self, hub: Hub) -> None:
        """`create_hub` on an existing task hub keeps all that is stored."""
        claimed = await hub.owned()
        before = await hub.rows(claimed.record.key)
        await hub.backend.create_hub()
        assert await hub.rows(claimed.record.key) == before
        await hub.commit(claimed)

    @requirement("LIF-06")
    async def test_delete_hub_removes_everything(self, hub: Hub) -> None:
        """`delete_hub` removes the hub with everything in it; nothing to remove is no error."""
        await hub.with_tasks(1)
        await hub.backend.delete_hub()
        await hub.backend.delete_hub()
        await hub.backend.create_hub()
        hub.session = await hub.join()
        assert not await hub.exists(key("one"))
        assert await hub.claim() == ()
        assert await hub.claim_tasks() == ()

    @requirement("LIF-07")
    async def test_missing_hub_raises_task_hub_not_found(self, hub: Hub) -> None:
        """Without a task hub everything but its creation raises `TaskHubNotFoundError`."""
        await hub.backend.delete_hub()
        assert set(await outcomes(hub_calls(hub.backend, hub))) == {TaskHubNotFoundError}

    @requirement("LIF-08")
    async def test_schema_status_tells_what_is_there(self, hub: Hub) -> None:
        """`schema_status` finds no version without a task hub, and the current one after creation."""
        status = await hub.backend.schema_status()
        assert status.found == status.current
        await hub.backend.delete_hub()
        assert await hub.backend.schema_status() == (None, status.current)

    @requirement("LIF-09")
    async def test_now_is_the_stores_clock(self, hub: Hub) -> None:
        """`now` is the store's clock: aware, in UTC, and moving as the store's time does."""
        before = await hub.backend.now()
        await hub.wait()
        after = await hub.backend.now()
        assert before.utcoffset() is not None
        assert not before.utcoffset()
        assert after - before >= 0.9 * hub.moment
        if hub.harness.clock is not None:
            assert after == hub.harness.clock.now()

    @requirement("LIF-10")
    async def test_close_waits_for_calls_in_progress(self, hub: Hub) -> None:
        """A call that is in progress when `close` comes succeeds durably, or raises and left nothing."""
        results: list[tuple[object, str]] = []

        async def deliver(text: str) -> None:
            try:
                results.append((await hub.do(delivery("one", text)), text))
            except BackendError as error:
                results.append((error, text))

        await hub.idle()
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(deliver(f"message {number}"))
            group.create_task(hub.backend.close())
        kept = [text for result, text in results if result == [Delivered()]]
        assert len(results) == 10
        inbox = await hub.probe.inbox(key("one"))
        assert sorted(inbox) == sorted(text.encode() for text in kept)

    @requirement("LIF-11", needs="durable")
    async def test_acknowledged_state_survives_a_restart(self, hub: Hub) -> None:
        """What `apply` acknowledged is there after the backend was closed and another one opened."""
        claimed = await hub.owned("one", input="in", not_before=await hub.backend.now())
        due_at = await hub.later()
        await hub.do(
            turn(
                claimed,
                timers=(timer(1, due_at),),
                activities=(task(claimed, 1),),
                children=(creation("child"),),
                custom_status="so far",
            ),
            delivery("one", "hello"),
        )
        before = await hub.view(key("one")), await hub.backend.history([key("one")])
        await hub.reopen()
        assert (await hub.view(key("one")), await hub.backend.history([key("one")])) == before
        await hub.wait()
        hub.session = await hub.join()
        one, child = sorted(await hub.claim(), key=lambda found: found.record.key != key("one"))
        assert texts(one) == ["hello"]
        assert one.timers == (timer(1, due_at),)
        assert texts(child) == ["start"]
        assert await hub.claim_tasks() == (task(claimed, 1),)

    @requirement("LIF-12", needs="durable")
    async def test_sessions_outlive_close(self, hub: Hub) -> None:
        """`close` leaves sessions as they are: a new backend goes on with one and what it owns."""
        claimed = await hub.owned()
        await hub.reopen()
        await hub.backend.heartbeat(hub.session)
        await hub.commit(claimed)

    @requirement("LIF-13", without="multi_process")
    async def test_second_user_of_an_exclusive_store_is_refused(self, hub: Hub) -> None:
        """A store for one process refuses a second one with `BackendLockedError` and goes on."""
        claimed = await hub.owned()
        with pytest.raises(BackendLockedError):
            await hub.open(hub.harness.backend())
        await hub.commit(claimed)

    @requirement("LIF-14", needs="multi_process")
    async def test_two_backends_share_one_hub(self, hub: Hub) -> None:
        """What one process wrote is seen, claimed and continued by another one."""
        await hub.create("one")
        other = await hub.open(hub.harness.backend())
        await other.create_hub()
        session = hub.new_session()
        await other.register(session)
        (claimed,) = (await other.claim_instances(session.session_id, 10)).instances
        assert await hub.claim() == ()
        await other.apply(session.session_id, [turn(claimed, updated_at=UPDATED_AT)])
        assert (await hub.record(key("one"))).last_updated_at == UPDATED_AT

    @requirement("LIF-15")
    async def test_migrate_does_what_is_pending(self, hub: Hub) -> None:
        """`migrate` carries out and reports what `pending_migrations`, changing nothing, has announced."""
        await hub.backend.delete_hub()
        names = [migration.name for migration in await hub.backend.pending_migrations()]
        assert names
        assert all(name and name.isprintable() for name in names)
        assert (await hub.backend.schema_status()).found is None
        reported: list[str] = []
        await hub.backend.migrate(reported.append)
        assert reported == names
        status = await hub.backend.schema_status()
        assert status.found == status.current
        hub.session = await hub.join()
        await hub.owned()

    @requirement("LIF-16")
    async def test_migrate_of_a_current_hub_does_nothing(self, hub: Hub) -> None:
        """In a task hub of the current version nothing is pending, and `migrate` keeps all that is stored."""
        claimed = await hub.owned()
        before = await hub.rows(claimed.record.key)
        assert await hub.backend.pending_migrations() == ()
        reported: list[str] = []
        await hub.backend.migrate(reported.append)
        assert reported == []
        assert await hub.rows(claimed.record.key) == before
        await hub.commit(claimed)

    @requirement("LIF-17")
    async def test_session_time_to_live_is_known_before_open_and_stays(self, hub: Hub) -> None:
        """`session_time_to_live` is positive, known before `open`, and stays the same."""
        await hub.backend.close()
        fresh = hub.harness.backend()
        before = fresh.session_time_to_live
        assert before > timedelta(0)
        await hub.open(fresh)
        assert fresh.session_time_to_live == before

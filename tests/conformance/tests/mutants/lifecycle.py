"""Mutants that are wrong about opening, closing and the task hub."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import (
    NATIVE,
    Applied,
    Backend,
    Delivered,
    Hint,
    Migration,
    SchemaStatus,
    WorkDue,
)
from durahub.backend.listeners import Listeners
from durahub.clock import EPOCH
from durahub.errors import BackendError
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(MemoryBackend, "capabilities", "LIF-01")
def capabilities_change(original: Any, backend: Any) -> Any:
    hints = NATIVE if backend._clock else original(backend).durable
    return replace(original(backend), hints=hints)


@mutant(MemoryBackend, "describe", "LIF-01")
def nothing_is_described(original: Any, backend: Any) -> str:
    return ""


@mutant(MemoryBackend, "_now", "LIF-02")
def open_is_not_needed(original: Any, backend: Any) -> Any:
    return backend._clock.now() if backend._clock else EPOCH


@mutant(MemoryBackend, "schema_status", "LIF-02")
async def schema_is_told_while_closed(original: Any, backend: Any) -> Any:
    return SchemaStatus(1 if backend._store.exists else None, 1)


@mutant(MemoryBackend, "close", "LIF-03")
async def close_does_nothing(original: Any, backend: Any) -> None:
    await asyncio.sleep(0)


@mutant(MemoryBackend, "close", "LIF-04")
async def close_is_once(original: Any, backend: Any) -> None:
    backend._now()
    await original(backend)


@mutant(MemoryBackend, "close", "LIF-12")
async def close_ends_sessions(original: Any, backend: Any) -> None:
    for session_id, row in backend._store.sessions.items():
        if row.alive:
            backend._store.end(session_id)
    await original(backend)


@mutant(MemoryBackend, "close", "LIF-11")
async def close_loses_timers(original: Any, backend: Any) -> None:
    for row in backend._store.instances.values():
        row.timers.clear()
    await original(backend)


@mutant(MemoryBackend, "create_hub", "LIF-05")
async def create_hub_starts_afresh(original: Any, backend: Any) -> None:
    backend._now()
    backend._store.delete()
    await original(backend)


@mutant(MemoryBackend, "delete_hub", "LIF-06")
async def delete_hub_keeps_instances(original: Any, backend: Any) -> None:
    backend._now()
    backend._store.exists = False


@mutant(MemoryBackend, "delete_hub", "LIF-06")
async def delete_hub_is_once(original: Any, backend: Any) -> None:
    backend._hub_now()
    await original(backend)


@mutant(MemoryBackend, "_hub_now", "LIF-07")
def hub_is_not_needed(original: Any, backend: Any) -> Any:
    return backend._now()


@mutant(MemoryBackend, "schema_status", "LIF-08")
async def schema_is_always_there(original: Any, backend: Any) -> Any:
    status: SchemaStatus = await original(backend)
    return status._replace(found=status.current)


@mutant(MemoryBackend, "now", "LIF-09")
async def now_is_naive(original: Any, backend: Any) -> Any:
    return (await original(backend)).replace(tzinfo=None)


@mutant(MemoryBackend, "now", "LIF-09")
async def now_stands_still(original: Any, backend: Any) -> Any:
    await original(backend)
    return EPOCH + timedelta(days=19000)


@mutant(MemoryBackend, "apply", "LIF-10")
async def acknowledges_what_close_prevents(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    await asyncio.sleep(0)
    if backend._clock is None and operations:
        return Applied(results=tuple(Delivered() for _ in operations))
    return await original(backend, session, operations, *room)


@mutant(MemoryBackend, "open", "LIF-13")
async def exclusive_store_is_shared(original: Any, backend: Any, services: Any) -> None:
    backend._store.users = 0
    await original(backend, services)


@mutant(MemoryBackend, "open", "LIF-14")
async def each_backend_has_its_own_hub(original: Any, backend: Any, services: Any) -> None:
    if backend._store.users:
        backend._store = MemoryStore()
    await original(backend, services)


@mutant(Backend, "pending_migrations", "LIF-02 LIF-15")
async def nothing_is_ever_pending(original: Any, backend: Any) -> Any:
    return ()


@mutant(Backend, "pending_migrations", "LIF-16")
async def all_is_always_pending(original: Any, backend: Any) -> Any:
    return (Migration("schema version 1"),)


@mutant(Backend, "pending_migrations", "LIF-15")
async def looking_migrates(original: Any, backend: Any) -> Any:
    pending = await original(backend)
    await backend.create_hub()
    return pending


@mutant(Backend, "migrate", "LIF-15")
async def migration_is_reported_and_not_done(original: Any, backend: Any, report: Any) -> None:
    for migration in await backend.pending_migrations():
        report(migration.name)


@mutant(Backend, "migrate", "LIF-15")
async def migration_is_done_and_not_reported(original: Any, backend: Any, report: Any) -> None:
    await original(backend, lambda _: None)


@mutant(Backend, "migrate", "LIF-16")
async def migrate_starts_afresh(original: Any, backend: Any, report: Any) -> None:
    await backend.delete_hub()
    await original(backend, report)


@mutant(Backend, "session_time_to_live", "LIF-17")
def sessions_die_at_once(original: Any, backend: Any) -> timedelta:
    return timedelta(0)


@mutant(Backend, "session_time_to_live", "LIF-17")
def time_to_live_is_known_when_open(original: Any, backend: Any) -> timedelta:
    return timedelta(seconds=30 if backend._clock else 1)


# Cancellation


@mutant(MemoryBackend, "apply", "CAN-01")
async def turn_is_two_steps(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    without = [replace(one, outgoing=()) if hasattr(one, "outgoing") else one for one in operations]
    applied = await original(backend, session, without, *room)
    await asyncio.sleep(0)
    for one in operations:
        await original(backend, session, getattr(one, "outgoing", ()))
    return applied


@mutant(MemoryBackend, "apply", "CAN-02")
async def delivery_is_step_by_step(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    for one in operations:
        for message in getattr(one, "messages", ())[:-1]:
            await original(backend, session, [replace(one, messages=(message,))])
            await asyncio.sleep(0)
    rest = [
        replace(one, messages=one.messages[-1:]) if hasattr(one, "messages") else one
        for one in operations
    ]
    return await original(backend, session, rest, *room)


@mutant(MemoryBackend, "claim_instances", "CAN-03")
async def cancelled_claim_forgets(original: Any, backend: Any, *args: Any) -> Any:
    claims = await original(backend, *args)
    for claimed in claims.instances:
        backend._store.instances[claimed.record.key].inbox.clear()
        backend._store.sessions[args[0]].instances.pop(claimed.record.key)
    await asyncio.sleep(0)
    for claimed in claims.instances:
        row = backend._store.instances[claimed.record.key]
        row.inbox = {one.message_id: one for one in claimed.messages} | row.inbox
        backend._store.sessions[args[0]].instances[claimed.record.key] = None
    return claims


@mutant(MemoryBackend, "apply", "CAN-04")
async def cancelled_apply_leaves_a_lock(original: Any, backend: Any, *args: Any) -> Any:
    if getattr(backend, "locked", False):
        raise BackendError("locked")
    backend.locked = True
    await asyncio.sleep(0)
    applied = await original(backend, *args)
    backend.locked = False
    return applied


# Hints


@mutant(Listeners, "tell", "HNT-01")
def nobody_hears_of_work(
    original: Any, listeners: Any, teller: Any, due: Any, changed: Any
) -> None:
    original(listeners, teller, (), changed)


@mutant(Listeners, "tell", "HNT-02")
def nobody_hears_of_changes(
    original: Any, listeners: Any, teller: Any, due: Any, changed: Any
) -> None:
    original(listeners, teller, due, ())


@mutant(Listeners, "tell", "HNT-04")
def tellers_hear_themselves(
    original: Any, listeners: Any, teller: Any, due: Any, changed: Any
) -> None:
    original(listeners, "", due, changed)


@mutant(Batch, "insert", "HNT-05")
def nobody_hears_of_what_is_scheduled(original: Any, batch: Any, creation: Any) -> None:
    original(batch, creation)
    batch.scheduled.clear()


@mutant(Batch, "insert_tasks", "HNT-06")
def only_the_schedulers_application_hears_of_activities(
    original: Any, batch: Any, turn: Any
) -> None:
    original(batch, turn)
    batch.inserted = {key: None for key in batch.inserted if _is_own(batch, key)}


def _is_own(batch: Any, key: Any) -> bool:
    return bool(batch._store.tasks[key].task.app_id == key.instance.app_id)


@mutant(MemoryBackend, "unregister", "HNT-07")
async def ends_are_told_only_of_owners(original: Any, backend: Any, session_id: Any) -> None:
    row = backend._store.sessions[session_id]
    if row.instances or row.tasks:
        await original(backend, session_id)
    else:
        backend._store.end(session_id)


@mutant(Listeners, "listen", "HNT-08")
async def changes_are_told_only_to_the_own_application(
    original: Any, listeners: Any, session: Any
) -> Any:
    async for hint in original(listeners, session):
        if hint == WorkDue() or hint.key.app_id == session.app_id:
            yield hint


@mutant(MemoryBackend, "wakeups", "HNT-03")
async def hints_end(original: Any, backend: Any, session_id: Any) -> Any:
    hints: tuple[Hint, ...] = ()
    for hint in hints:
        yield hint

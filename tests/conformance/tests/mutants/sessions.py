"""Mutants that are wrong about who lives and who owns."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import Heartbeat
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_rows import SessionRow
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(MemoryStore, "living", "SES-07")
def fenced_sessions_may_go_on(original: Any, store: MemoryStore, session_id: Any) -> SessionRow:
    return store.sessions.get(session_id) or original(store, session_id)


@mutant(MemoryStore, "living", "SES-15")
def unknown_sessions_are_registered(original: Any, store: MemoryStore, session_id: Any) -> Any:
    if session_id not in store.sessions:
        any_row = next(iter(store.sessions.values()))
        store.sessions[session_id] = replace(any_row, instances={}, tasks={}, alive=True)
    return original(store, session_id)


@mutant(MemoryBackend, "heartbeat", "SES-15")
async def heartbeats_are_accepted_from_anyone(original: Any, backend: Any, session_id: Any) -> Any:
    row = backend._store.sessions.get(session_id)
    if row is None or not row.alive:
        return Heartbeat(now=await backend.now(), fenced=())
    return await original(backend, session_id)


@mutant(MemoryBackend, "claim_activities", "SES-15")
async def fenced_sessions_get_no_tasks_and_no_error(
    original: Any, backend: Any, session_id: Any, limit: int
) -> Any:
    row = backend._store.sessions.get(session_id)
    if row is None or not row.alive:
        return ()
    return await original(backend, session_id, limit)


@mutant(MemoryBackend, "claim_instances", "SES-08")
async def fenced_sessions_may_claim(
    original: Any, backend: Any, session_id: Any, limit: int
) -> Any:
    backend._store.sessions[session_id].alive = True
    return await original(backend, session_id, limit)


@mutant(MemoryBackend, "release_except", "SES-09")
async def fenced_sessions_give_back_silently(
    original: Any, backend: Any, session_id: Any, instances: Any, tasks: Any
) -> None:
    if backend._store.sessions[session_id].alive:
        await original(backend, session_id, instances, tasks)


@mutant(MemoryStore, "register", "SES-02")
def session_ids_are_used_again(original: Any, store: MemoryStore, session: Any, now: Any) -> None:
    store.sessions.pop(session.session_id, None)
    original(store, session, now)


@mutant(MemoryStore, "overdue", "SES-05")
def nobody_is_ever_fenced(original: Any, store: MemoryStore, now: Any) -> Any:
    return ()


@mutant(MemoryStore, "overdue", "SES-03")
def everybody_is_fenced(original: Any, store: MemoryStore, now: Any) -> Any:
    alive = [key for key, row in store.sessions.items() if row.alive]
    return tuple(alive[:-1])


@mutant(MemoryStore, "overdue", "SES-04")
def the_dead_are_fenced_again(original: Any, store: MemoryStore, now: Any) -> Any:
    rows = store.sessions.items()
    return tuple(k for k, row in rows if replace(row, alive=True).is_overdue(now))


@mutant(MemoryBackend, "register", "SES-06")
async def register_does_not_fence(original: Any, backend: Any, session: Any) -> Any:
    now = backend._hub_now()
    backend._store.register(session, now)
    return Heartbeat(now=now, fenced=())


@mutant(MemoryBackend, "register", "SES-01")
async def register_tells_the_wrong_time(original: Any, backend: Any, session: Any) -> Any:
    heartbeat = await original(backend, session)
    return replace(heartbeat, now=heartbeat.now - timedelta(days=1))


@mutant(MemoryBackend, "heartbeat", "SES-16")
async def overdue_sessions_fence_themselves(original: Any, backend: Any, session_id: Any) -> Any:
    now = backend._hub_now()
    if backend._store.living(session_id).is_overdue(now):
        backend._store.end(session_id)
    return await original(backend, session_id)


@mutant(MemoryBackend, "heartbeat", "SES-04")
async def heartbeats_fence_nobody(original: Any, backend: Any, session_id: Any) -> Any:
    now = backend._hub_now()
    backend._store.living(session_id).last_heartbeat = now
    return Heartbeat(now=now, fenced=())


@mutant(MemoryStore, "next_overdue_at", "SES-22")
def who_is_overdue_is_told_too_late(original: Any, store: MemoryStore, but: Any) -> Any:
    moment = original(store, but)
    return moment and moment + timedelta(hours=1)


@mutant(MemoryStore, "next_overdue_at", "SES-22")
def it_is_told_when_oneself_is_overdue(original: Any, store: MemoryStore, but: Any) -> Any:
    return store.sessions[but].overdue_at


@mutant(MemoryBackend, "heartbeat", "SES-03")
async def heartbeats_do_not_count(original: Any, backend: Any, session_id: Any) -> Any:
    row = backend._store.living(session_id)
    last = row.last_heartbeat
    heartbeat = await original(backend, session_id)
    row.last_heartbeat = last
    return heartbeat


@mutant(MemoryStore, "end", "SES-12")
def the_dead_keep_what_they_owned(original: Any, store: MemoryStore, session_id: Any) -> None:
    store.sessions[session_id].alive = False


@mutant(MemoryStore, "end", "SES-10 SES-12")
def the_dead_keep_their_tasks(original: Any, store: MemoryStore, session_id: Any) -> None:
    store.sessions[session_id].tasks.clear()
    original(store, session_id)


@mutant(MemoryStore, "end", "SES-11")
def fencing_forgets_who_was_woken(original: Any, store: MemoryStore, session_id: Any) -> None:
    for key in store.sessions[session_id].instances:
        store.instances[key].woken_at = None
    original(store, session_id)


@mutant(MemoryStore, "end", "SES-21")
def fencing_loses_timers(original: Any, store: MemoryStore, session_id: Any) -> None:
    for key in store.sessions[session_id].instances:
        store.instances[key].timers.clear()
    original(store, session_id)


@mutant(MemoryBackend, "unregister", "SES-14")
async def unregister_is_no_end(original: Any, backend: Any, session_id: Any) -> None:
    backend._hub_now()


@mutant(MemoryBackend, "unregister", "SES-13")
async def unregister_is_strict(original: Any, backend: Any, session_id: Any) -> None:
    backend._hub_now()
    backend._store.living(session_id)
    await original(backend, session_id)


@mutant(MemoryBackend, "release_except", "SES-17")
async def release_except_gives_back_everything(
    original: Any, backend: Any, session_id: Any, instances: Any, tasks: Any
) -> None:
    await original(backend, session_id, set(), set())


@mutant(MemoryBackend, "release_except", "CAN-03")
async def release_except_gives_back_nothing(
    original: Any, backend: Any, session_id: Any, instances: Any, tasks: Any
) -> None:
    backend._hub_now()
    backend._store.living(session_id)


@mutant(MemoryBackend, "release_except", "SES-18")
async def release_except_takes_from_everyone(
    original: Any, backend: Any, session_id: Any, instances: Any, tasks: Any
) -> None:
    for other, row in backend._store.sessions.items():
        if row.alive:
            await original(backend, other, instances, tasks)


@mutant(MemoryBackend, "heartbeat", "SES-19")
async def ownership_ends_by_itself(original: Any, backend: Any, session_id: Any) -> Any:
    backend._hub_now()
    for key in tuple(backend._store.living(session_id).instances):
        backend._store.disown(backend._store.instances[key])
    return await original(backend, session_id)


@mutant(MemoryBackend, "claim_instances", "SES-20")
async def the_overdue_are_robbed(original: Any, backend: Any, session_id: Any, limit: int) -> Any:
    now = backend._hub_now()
    for row in backend._store.sessions.values():
        for key in tuple(row.instances) if row.is_overdue(now) else ():
            backend._store.disown(backend._store.instances[key])
    return await original(backend, session_id, limit)

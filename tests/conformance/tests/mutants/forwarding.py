"""Mutants that are wrong about what one session hands to another."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from typing import Any

from durahub.backend import Envelope
from durahub.backend.listeners import Listeners
from durahub.errors import SessionFencedError
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(MemoryStore, "forward", "FWD-01")
def forwarded_bytes_are_cut_at_nul(original: Any, store: Any, row: Any, payload: bytes) -> None:
    original(store, row, payload.split(b"\0")[0])


@mutant(MemoryStore, "forward", "FWD-01")
def the_youngest_comes_first(original: Any, store: Any, row: Any, payload: bytes) -> None:
    before = dict(row.forwarded)
    original(store, row, payload)
    for number in before:
        row.forwarded[number] = row.forwarded.pop(number)


@mutant(MemoryStore, "forward", "FWD-01")
def what_is_there_is_not_forwarded_again(
    original: Any, store: Any, row: Any, payload: bytes
) -> None:
    if payload not in row.forwarded.values():
        original(store, row, payload)


@mutant(MemoryBackend, "take_forwarded", "FWD-02 FWD-03 FWD-13")
async def what_is_returned_is_gone(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    envelopes = await original(backend, session_id, handled, limit)
    await original(backend, session_id, [envelope.number for envelope in envelopes], 0)
    return envelopes


@mutant(MemoryBackend, "take_forwarded", "FWD-02")
async def what_is_older_counts_as_handled(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    forwarded = backend._store.living(session_id).forwarded
    older = [number for number in forwarded if handled and number <= max(handled)]
    return await original(backend, session_id, older, limit)


@mutant(MemoryBackend, "take_forwarded", "FWD-02")
async def numbers_are_places(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    forwarded = backend._store.living(session_id).forwarded
    numbers = [number for place, number in enumerate(forwarded) if place in handled]
    envelopes = await original(backend, session_id, numbers, limit)
    return tuple(Envelope(number=place, payload=one.payload) for place, one in enumerate(envelopes))


@mutant(MemoryBackend, "take_forwarded", "FWD-03")
async def the_limit_is_ignored(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    return await original(backend, session_id, handled, 1000)


@mutant(MemoryBackend, "take_forwarded", "FWD-04")
async def anybody_takes_what_is_forwarded(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    backend._store.living(session_id)
    found = [key for key, row in backend._store.sessions.items() if row.forwarded]
    return await original(backend, found[0] if found else session_id, handled, limit)


@mutant(MemoryBackend, "take_forwarded", "FWD-04")
async def anybody_removes_what_is_forwarded(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    for row in backend._store.sessions.values():
        for number in handled:
            row.forwarded.pop(number, None)
    return await original(backend, session_id, handled, limit)


@mutant(MemoryBackend, "forward", "FWD-05 FWD-14")
async def the_dead_are_forwarded_to(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    await original(backend, session_id, to, payload)
    return True


@mutant(MemoryBackend, "forward", "FWD-06")
async def everybody_is_forwarded_to(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    backend._store.living(session_id)
    backend._store.forward(backend._store.living(to), payload)
    return True


@mutant(MemoryBackend, "forward", "FWD-07")
async def the_dead_forward(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    row = backend._store.sessions.get(session_id)
    sender = to if row is None or not row.alive else session_id
    kept: bool = await original(backend, sender, to, payload)
    return kept


@mutant(MemoryBackend, "forward", "FWD-07")
async def the_dead_are_refused_too_late(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    kept: bool = await original(backend, to, to, payload)
    backend._store.living(session_id)
    return kept


@mutant(MemoryBackend, "take_forwarded", "FWD-08")
async def the_dead_are_given_nothing_and_no_error(
    original: Any, backend: Any, session_id: Any, handled: Any, limit: int
) -> Any:
    try:
        return await original(backend, session_id, handled, limit)
    except SessionFencedError:
        return ()


@mutant(MemoryBackend, "forward", "FWD-09")
async def the_overdue_are_not_forwarded_to(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    if to in backend._store.overdue(backend._hub_now()):
        return False
    kept: bool = await original(backend, session_id, to, payload)
    return kept


@mutant(MemoryStore, "forward", "FWD-10")
def any_number_of_envelopes_waits(original: Any, store: Any, row: Any, payload: bytes) -> None:
    row.forwarded[next(store._positions)] = payload


@mutant(MemoryBackend, "forward", "FWD-10")
async def the_oldest_envelope_makes_room(
    original: Any, backend: Any, session_id: Any, to: Any, payload: bytes
) -> bool:
    forwarded = backend._store.living(to).forwarded
    if len(forwarded) >= 1000:
        del forwarded[next(iter(forwarded))]
    kept: bool = await original(backend, session_id, to, payload)
    return kept


@mutant(Listeners, "tell_of_envelope", "FWD-11")
def nobody_is_told_of_envelopes(original: Any, listeners: Any, to: Any) -> None:
    pass


@mutant(Listeners, "tell_of_envelope", "FWD-11")
def everybody_is_told_of_envelopes(original: Any, listeners: Any, to: Any) -> None:
    for session, _ in listeners._queues:
        original(listeners, session.session_id)


@mutant(MemoryBackend, "close", "FWD-12")
async def what_is_forwarded_ends_with_the_process(original: Any, backend: Any) -> None:
    for row in backend._store.sessions.values():
        row.forwarded.clear()
    await original(backend)

"""Mutants that are wrong about processes that are killed, or that run at the same time."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from durahub.errors import BackendLockedError, BackendUnavailableError

from ..file_harness import FileBackend, FileStore  # noqa: TID252 - the tests of the kit
from .registry import mutant

PATIENCE_S = 1.0


@mutant(FileStore, "save", "CRA-01")
def it_is_saved_now_and_then(original: Any, store: FileStore) -> None:
    store.__dict__["_unsaved"] = store.__dict__.get("_unsaved", 0) + 1
    if store.__dict__["_unsaved"] % 4 == 0:
        original(store)


@mutant(FileBackend, "apply", "CRA-01")
async def turns_are_written_in_two_steps(original: Any, backend: Any, *args: Any) -> Any:
    session_id, operations, *room = args
    outgoing = [one for op in operations for one in getattr(op, "outgoing", ())]
    if outgoing:
        # What the turn sends is durable some time before the turn is.
        await original(backend, session_id, outgoing)
        await asyncio.sleep(0.05)
        for operation in operations:
            object.__setattr__(operation, "outgoing", ())
    return await original(backend, session_id, operations, *room)


@mutant(FileBackend, "apply", "CRA-01")
async def what_a_turn_sends_is_lost_with_its_process(
    original: Any, backend: Any, *args: Any
) -> Any:
    session_id, operations, *room = args
    outgoing = [one for op in operations for one in getattr(op, "outgoing", ())]
    for operation in operations:
        if getattr(operation, "outgoing", ()):
            object.__setattr__(operation, "outgoing", ())
    applied = await original(backend, session_id, operations, *room)
    if outgoing:
        # The turn is durable, and what it sent is only in memory for some time.
        await asyncio.sleep(0.05)
        await original(backend, session_id, outgoing)
    return applied


@mutant(FileBackend, "register", "CRA-02")
async def registering_brings_the_dead_to_life(original: Any, backend: Any, session: Any) -> Any:
    heartbeat = await original(backend, session)
    with backend._store.transaction():
        for row in backend._store.sessions.values():
            row.alive = True
    return heartbeat


@mutant(FileBackend, "open", "CRA-03")
async def who_is_killed_leaves_a_lock(original: Any, backend: Any, services: Any) -> None:
    try:
        os.close(os.open(backend._store.file.with_suffix(".user"), os.O_CREAT | os.O_EXCL))
    except FileExistsError as error:
        owner = backend._store.file.with_suffix(".user").read_text()
        if owner != str(os.getpid()):
            raise BackendLockedError("somebody has the file") from error
    backend._store.file.with_suffix(".user").write_text(str(os.getpid()))
    await original(backend, services)


@mutant(FileStore, "exclusively", "CRA-04")
@contextmanager
def whoever_is_killed_keeps_the_lock(original: Any, store: FileStore) -> Iterator[None]:
    lock = store.file.with_suffix(".mutex")
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with suppress(FileExistsError):
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        if time.monotonic() > deadline_s:
            raise BackendUnavailableError("the lock is not given back")
        time.sleep(0.001)  # noqa: TID251 - a mutant may block
    try:
        time.sleep(0.02)  # noqa: TID251 - so that it is killed here
        yield
    finally:
        lock.unlink()


@mutant(FileStore, "exclusively", "CRA-05")
@contextmanager
def nobody_keeps_the_others_out(original: Any, store: FileStore) -> Iterator[None]:
    yield
    time.sleep(0.005)  # noqa: TID251 - so that others read what is about to change

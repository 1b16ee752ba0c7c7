"""Mutants that are wrong about creating, replacing and purging."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from durahub.backend import InstanceCreated, InstanceExists, InstanceMissing, Purged
from durahub.testing import memory_store
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore
from durahub.types import AppId, InstanceKey, RuntimeStatus

from .registry import mutant


@mutant(Batch, "occupant", "CRE-03 CRE-05")
def existing_instance_is_overwritten(original: Any, batch: Any, creation: Any) -> None:
    return None


@mutant(Batch, "occupant", "CRE-04")
def ended_instance_is_overwritten(original: Any, batch: Any, creation: Any) -> Any:
    found = original(batch, creation)
    return None if found and found.status.is_terminal else found


@mutant(Batch, "occupant", "CRE-09")
def any_revision_is_replaced(original: Any, batch: Any, creation: Any) -> Any:
    found = original(batch, creation)
    replaceable = found and found.status.is_terminal and creation.replaces is not None
    return None if replaceable else found


@mutant(Batch, "occupant", "CRE-10")
def running_instance_is_replaced(original: Any, batch: Any, creation: Any) -> Any:
    found = original(batch, creation)
    return None if found and found.revision == creation.replaces else found


@mutant(Batch, "occupant", "CRE-11")
def replaced_instance_must_exist(original: Any, batch: Any, creation: Any) -> Any:
    row = batch._store.instances.get(creation.key)
    if row is None and creation.replaces is not None:
        return next((one.record for one in batch._store.instances.values()), creation)
    return original(batch, creation)


@mutant(Batch, "create", "CRE-03")
def refused_creation_returns_what_was_asked_for(original: Any, batch: Any, creation: Any) -> Any:
    result = original(batch, creation)
    if isinstance(result, InstanceExists):
        existing = replace(result.existing, execution_id=creation.execution_id)
        return InstanceExists(existing=existing)
    return result


@mutant(Batch, "create", "CRE-03")
def refused_creation_delivers_its_start(original: Any, batch: Any, creation: Any) -> Any:
    result = original(batch, creation)
    if isinstance(result, InstanceExists):
        row = batch._store.instances[creation.key]
        row.append((creation.start,), batch._now)
    return result


@mutant(Batch, "create", "CRE-07")
def creation_tells_generation_one(original: Any, batch: Any, creation: Any) -> Any:
    result = original(batch, creation)
    return InstanceCreated(generation=1) if isinstance(result, InstanceCreated) else result


@mutant(MemoryStore, "insert", "CRE-02")
def start_is_not_delivered(original: Any, store: Any, creation: Any, now: Any) -> None:
    original(store, creation, now)
    row = store.instances[creation.key]
    row.inbox.clear()
    store.reschedule(row)


@mutant(MemoryStore, "insert", "CRE-08")
def replacement_keeps_the_inputs_of_the_old_run(
    original: Any, store: Any, creation: Any, now: Any
) -> None:
    old = store.instances.get(creation.key)
    original(store, creation, now)
    if old is not None:
        row = store.instances[creation.key]
        row.payloads, row.history = old.payloads, old.history


@mutant(MemoryStore, "insert", "CRE-13")
def replacement_keeps_the_sleep_of_the_old_run(
    original: Any, store: Any, creation: Any, now: Any
) -> None:
    old = store.instances.get(creation.key)
    original(store, creation, now)
    if old is not None:
        row = store.instances[creation.key]
        row.not_before = old.not_before
        store.reschedule(row)


@mutant(MemoryStore, "insert", "ACT-06 CRE-12")
def replacement_loses_tasks(original: Any, store: Any, creation: Any, now: Any) -> None:
    old = store.instances.get(creation.key)
    if old is not None:
        for task in tuple(old.tasks):
            store.remove_task(store.tasks[task])
    original(store, creation, now)


@mutant(memory_store, "record_of_creation", "CRE-07")
def replacement_has_the_old_generation(original: Any, creation: Any, old: Any) -> Any:
    record = original(creation, old)
    return replace(record, generation=old.generation if old else 1)


@mutant(memory_store, "record_of_creation", "CRE-16")
def replacement_starts_at_revision_zero(original: Any, creation: Any, old: Any) -> Any:
    return replace(original(creation, old), revision=0)


@mutant(memory_store, "record_of_creation", "CRE-08")
def replacement_keeps_old_tags(original: Any, creation: Any, old: Any) -> Any:
    record = original(creation, old)
    return replace(record, tags=old.tags) if old else record


@mutant(memory_store, "record_of_creation", "PUR-03")
def new_instance_is_running(original: Any, creation: Any, old: Any) -> Any:
    return replace(original(creation, old), status=RuntimeStatus.RUNNING)


@mutant(MemoryBackend, "apply", "CRE-14")
async def creation_looks_and_then_leaps(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    found = await backend.get([one.key for one in operations if hasattr(one, "start")])
    await asyncio.sleep(0)
    if found == (None,):
        backend._store.instances.pop(operations[0].key, None)
    return await original(backend, session, operations, *room)


@mutant(Batch, "run", "CRE-15")
def application_is_no_part_of_the_key(original: Any, batch: Any, operations: Any) -> Any:
    app = AppId("app")
    return original(
        batch,
        [
            replace(one, key=InstanceKey(app, one.key.instance_id))
            if hasattr(one, "start")
            else one
            for one in operations
        ],
    )


# Purging


@mutant(MemoryStore, "remove", "ACT-11 PUR-01 PUR-02")
def purge_leaves_tasks(original: Any, store: Any, row: Any) -> None:
    row.tasks.clear()
    original(store, row)


@mutant(MemoryStore, "remove", "PUR-07")
def purge_of_what_waits_only_empties(original: Any, store: Any, row: Any) -> None:
    if row.record.status.is_terminal:
        original(store, row)
    else:
        row.inbox.clear()
        row.timers.clear()
        store.disown(row)


@mutant(MemoryStore, "remove", "PUR-08 TXT-02")
def purge_takes_what_looks_alike(original: Any, store: Any, row: Any) -> None:
    original(store, row)
    for key, other in tuple(store.instances.items()):
        if key.instance_id.casefold() == row.key.instance_id.casefold():
            original(store, other)


@mutant(Batch, "purge", "PUR-06")
def forced_purge_spares_the_owner(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    return Purged() if row is not None and row.owner else original(batch, operation)


@mutant(Batch, "purge", "PUR-04")
def purge_of_the_missing_succeeds(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    return Purged() if isinstance(result, InstanceMissing) else result


@mutant(Batch, "purge", "PUR-05")
def purge_ignores_the_guard_when_forced(original: Any, batch: Any, operation: Any) -> Any:
    return original(batch, replace(operation, execution_id=None) if operation.force else operation)

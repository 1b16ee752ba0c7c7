"""Mutants that lose places when something is given back, or tell nobody."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import NO_LIMITS, ChildrenExist, Places
from durahub.backend.listeners import Listeners
from durahub.testing import memory_limits
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_rows import SessionRow
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(memory_limits, "instance_places", "LIM-23")
def what_has_begun_keeps_its_place(original: Any, store: Any, session: SessionRow) -> Places:
    begun = [row.record.name for row in store.instances.values() if row.record.revision]
    return memory_limits._places(session.session.limits.instances, begun)


@mutant(memory_limits, "instance_places", "LIM-24")
def what_has_ended_keeps_its_place(original: Any, store: Any, session: SessionRow) -> Places:
    rows = store.instances.values()
    names = [row.record.name for row in rows if row.owner or row.record.status.is_terminal]
    return memory_limits._places(session.session.limits.instances, names)


@mutant(Batch, "commit_turn", "LIM-25")
def refused_turns_give_back(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    if isinstance(result, ChildrenExist):
        batch._store.disown(batch._store.instances[operation.key])
    return result


def keep_a_place(batch: Any, operation: Any) -> None:
    batch._session.instances[operation.key] = None


@mutant(Batch, "release", "LIM-26")
def released_instances_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    keep_a_place(batch, operation)
    return result


@mutant(Batch, "park", "LIM-27")
def parked_instances_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    keep_a_place(batch, operation)
    return result


@mutant(Batch, "purge", "LIM-28")
def purged_instances_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances[operation.key]
    result = original(batch, operation)
    batch._store.instances[operation.key] = row
    keep_a_place(batch, operation)
    return result


def keep_a_tasks_place(batch: Any, row: Any) -> None:
    batch._store.tasks[row.task.key] = row
    batch._session.tasks[row.task.key] = None


@mutant(Batch, "purge", "LIM-28")
def purged_tasks_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    tasks = list(batch._store.instances[operation.key].tasks)
    rows = [batch._store.tasks[task] for task in tasks]
    result = original(batch, operation)
    for row in rows:
        keep_a_tasks_place(batch, row)
    return result


@mutant(Batch, "release_task", "LIM-29")
def released_tasks_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    keep_a_tasks_place(batch, batch._store.tasks[operation.task])
    return result


@mutant(Batch, "commit_activity", "LIM-29")
def results_keep_a_place(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.tasks[operation.task]
    result = original(batch, operation)
    keep_a_tasks_place(batch, row)
    return result


@mutant(memory_limits, "instance_places", "LIM-30 LIM-31")
def the_dead_keep_a_place(original: Any, store: Any, session: SessionRow) -> Places:
    places: Places = original(store, session)
    for row in store.sessions.values():
        if not row.alive:
            places.take("")
    return places


@mutant(MemoryBackend, "release_except", "LIM-33")
async def release_except_frees_no_place(
    original: Any, backend: Any, session_id: Any, instances: Any, tasks: Any
) -> None:
    row = backend._store.living(session_id)
    owned = dict(row.instances)
    await original(backend, session_id, instances, tasks)
    row.instances.update(owned)


@mutant(MemoryBackend, "open", "LIM-34")
async def open_forgets_limits(original: Any, backend: Any, services: Any) -> None:
    await original(backend, services)
    for row in backend._store.sessions.values():
        row.session = replace(row.session, limits=NO_LIMITS)


@mutant(Listeners, "tell_limited", "LIM-35 LIM-36")
def nobody_hears_of_places(original: Any, listeners: Any, *args: Any) -> None:
    return


@mutant(MemoryStore, "own", "LIM-36")
def places_of_instances_are_not_told(original: Any, store: Any, row: Any, owner: Any) -> None:
    original(store, row, owner)
    store.vacated.clear()


@mutant(MemoryStore, "disown_task", "LIM-35")
def places_of_tasks_are_not_told(original: Any, store: Any, row: Any) -> None:
    original(store, row)
    store.vacated.clear()

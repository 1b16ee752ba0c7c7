"""Mutants that are wrong about whom an answer without a token may be for."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from typing import Any

from durahub.errors import SessionFencedError
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_store import MemoryStore
from durahub.types import SessionId

from .registry import mutant


@mutant(MemoryStore, "owners", "OWN-01 OWN-02 OWN-03 OWN-04 FWD-14")
def everybody_is_an_owner(original: Any, store: Any, *name: Any) -> Any:
    return list(store.sessions)


@mutant(MemoryBackend, "owners", "OWN-01 OWN-02")
async def the_asker_is_left_out(original: Any, backend: Any, asker: Any, *name: Any) -> Any:
    return tuple(one for one in await original(backend, asker, *name) if one != asker)


@mutant(MemoryStore, "owners", "OWN-01")
def nobody_owns_instances(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> list[SessionId]:
    return [] if task_id is None else list(original(store, app_id, instance_id, task_id))


@mutant(MemoryStore, "owners", "OWN-01")
def instances_of_all_applications_count(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> Any:
    if task_id is not None:
        return original(store, app_id, instance_id, task_id)
    rows = store.sessions.items()
    return [key for key, row in rows if any(one[1] == instance_id for one in row.instances)]


@mutant(MemoryStore, "owners", "OWN-02")
def ids_end_at_nul(original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any) -> Any:
    return original(store, app_id, instance_id.split("\0", maxsplit=1)[0], task_id)


@mutant(MemoryStore, "owners", "OWN-02")
def numbers_of_tasks_are_ignored(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> Any:
    rows = store.sessions.items()
    return [
        key
        for key, row in rows
        if any(one.instance.instance_id == instance_id for one in row.tasks)
    ]


@mutant(MemoryStore, "owners", "OWN-03")
def the_first_owner_is_enough(original: Any, store: Any, *name: Any) -> Any:
    return original(store, *name)[:1]


@mutant(MemoryStore, "owners", "OWN-03")
def owners_are_named_for_each_task(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> Any:
    return [
        key
        for key in original(store, app_id, instance_id, task_id)
        for one in store.sessions[key].tasks
        if one.instance.instance_id == instance_id
    ]


@mutant(MemoryStore, "owners", "OWN-03")
def only_tasks_of_own_instances_count(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> Any:
    if task_id is None:
        return original(store, app_id, instance_id, task_id)
    return [
        key
        for key in original(store, app_id, instance_id, task_id)
        if any(
            (one.instance.instance_id, one.instance.app_id) == (instance_id, app_id)
            for one in store.sessions[key].tasks
        )
    ]


@mutant(MemoryStore, "owners", "OWN-04")
def whoever_runs_a_task_counts(
    original: Any, store: Any, app_id: Any, instance_id: str, task_id: Any
) -> Any:
    apps = {row.session.app_id for row in store.sessions.values()}
    return [key for one in apps for key in original(store, one, instance_id, task_id)]


@mutant(MemoryStore, "disown", "OWN-05")
def owners_are_remembered(original: Any, store: Any, row: Any) -> None:
    owner = row.owner
    original(store, row)
    if owner is not None:
        store.sessions[owner].instances[row.key] = None


@mutant(MemoryBackend, "owners", "OWN-06")
async def anybody_may_ask_for_owners(original: Any, backend: Any, asker: Any, *name: Any) -> Any:
    try:
        return await original(backend, asker, *name)
    except SessionFencedError:
        return ()

"""Mutants that are wrong about activity tasks."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from durahub.backend import ActivityCommitted, Deliver, Delivered
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(MemoryBackend, "claim_activities", "ACT-02")
async def task_limit_zero_is_one(original: Any, backend: Any, session: Any, limit: int) -> Any:
    return await original(backend, session, limit or 1)


@mutant(MemoryBackend, "claim_activities", "ACT-01")
async def task_limit_is_ignored(original: Any, backend: Any, session: Any, limit: int) -> Any:
    return await original(backend, session, limit and 10_000)


@mutant(MemoryBackend, "claim_activities", "ACT-15")
async def task_claims_race(original: Any, backend: Any, session: Any, limit: int) -> Any:
    app_id = backend._store.living(session).session.app_id
    rows = [r for r in backend._store.tasks.values() if not r.owner and r.task.app_id == app_id]
    await asyncio.sleep(0)
    return tuple(
        backend._store.claim_task(backend._store.living(session), row) for row in rows[:limit]
    )


@mutant(MemoryBackend, "claim_activities", "SES-19")
async def claimed_tasks_are_claimed_again(
    original: Any, backend: Any, session: Any, limit: int
) -> Any:
    tasks = await original(backend, session, limit)
    for task in tasks:
        backend._store._unowned[task.app_id].put(task.key, 0)
    return tasks


@mutant(MemoryStore, "insert_task", "ACT-01")
def newest_task_comes_first(original: Any, store: Any, task: Any) -> None:
    original(store, task)
    row = store.tasks[task.key]
    row.position = -row.position
    store._unowned[task.app_id].put(task.key, row.position)


@mutant(MemoryStore, "insert_task", "ACT-03")
def tasks_run_where_they_were_scheduled(original: Any, store: Any, task: Any) -> None:
    original(store, replace(task, app_id=task.key.instance.app_id))


@mutant(MemoryStore, "insert_task", "EFF-09")
def task_ids_are_unique_without_generation(original: Any, store: Any, task: Any) -> None:
    same = [
        k for k in store.tasks if (k.instance, k.task_id) == (task.key.instance, task.key.task_id)
    ]
    if not same:
        original(store, task)


@mutant(MemoryStore, "disown_task", "ACT-12")
def released_task_goes_to_the_end(original: Any, store: Any, row: Any) -> None:
    if row.owner is not None:
        row.position = next(store._positions)
    original(store, row)


@mutant(MemoryStore, "claim_task", "EFF-07")
def claimed_task_has_no_payload(original: Any, store: Any, session: Any, row: Any) -> Any:
    return replace(original(store, session, row), payload=b"")


@mutant(Batch, "owned_task", "ACT-09")
def task_owner_is_not_checked(original: Any, batch: Any, key: Any) -> Any:
    return batch._store.tasks.get(key)


@mutant(Batch, "owned_task", "ACT-10")
def any_task_owner_will_do(original: Any, batch: Any, key: Any) -> Any:
    row = batch._store.tasks.get(key)
    return row if row is not None and row.owner else None


@mutant(Batch, "release_task", "BAT-03")
def released_task_stays_owned(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned_task(operation.task)
    result = original(batch, operation)
    if row is not None:
        row.owner = batch._session.session.session_id
        batch._session.tasks[row.task.key] = None
    return result


@mutant(Batch, "commit_activity", "ACT-08")
def result_is_lost(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned_task(operation.task)
    if row is None:
        return original(batch, operation)
    batch._store.remove_task(row)
    return ActivityCommitted()


@mutant(Batch, "commit_activity", "ACT-07")
def task_outlives_its_result(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned_task(operation.task)
    result = original(batch, operation)
    if row is not None:
        batch._store.insert_task(row.task)
        batch._store.claim_task(batch._session, batch._store.tasks[row.task.key])
    return result


@mutant(Batch, "commit_activity", "ACT-05")
def result_of_any_generation_is_delivered(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned_task(operation.task)
    if row is None:
        return original(batch, operation)
    batch._store.remove_task(row)
    batch.deliver(Deliver(key=operation.task.instance, messages=(operation.result,)))
    return ActivityCommitted()


@mutant(Batch, "commit_activity", "ACT-07")
def result_reaches_the_ended(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned_task(operation.task)
    result = original(batch, operation)
    if row is not None:
        instance = batch._store.instances[operation.task.instance]
        if instance.record.status.is_terminal:
            instance.append((operation.result,), batch._now)
    return result


@mutant(Batch, "commit_activity", "ACT-08")
def result_of_a_missing_task_is_accepted(original: Any, batch: Any, operation: Any) -> Any:
    if operation.task not in batch._store.tasks:
        return ActivityCommitted()
    return original(batch, operation)


@mutant(Batch, "commit_activity", "ACT-13")
def result_expedites(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    row = batch._store.instances.get(operation.task.instance)
    if isinstance(result, ActivityCommitted) and row is not None:
        batch.deliver(Deliver(key=row.key, messages=(), expedite=True))
    return result


@mutant(Batch, "commit_activity", "ACT-14")
def result_for_the_owned_is_lost(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.task.instance)
    deliver = batch.deliver
    batch.deliver = lambda one: Delivered() if row and row.owner else deliver(one)
    result = original(batch, operation)
    del batch.deliver
    return result

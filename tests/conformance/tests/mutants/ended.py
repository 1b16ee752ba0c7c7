"""Mutants that are wrong about what has ended."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import TurnCommitted
from durahub.clock import EPOCH
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore
from durahub.types import TERMINAL_STATUSES, RuntimeStatus

from .registry import mutant


@mutant(MemoryBackend, "list_ended", "END-01 END-04")
async def ends_are_reversed(original: Any, backend: Any, query: Any) -> Any:
    found = await original(backend, query)
    return replace(found, instances=found.instances[::-1])


@mutant(MemoryStore, "longest_ended", "END-01 END-04 END-05")
def ends_are_in_order_of_creation(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    rows = sorted(original(store, app_id, status, 10_000), key=lambda row: -row.position)
    return rows[:limit]


@mutant(MemoryStore, "longest_ended", "END-01 END-06")
def ends_are_in_order_of_ids(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    return sorted(original(store, app_id, status, 10_000), key=lambda row: row.key)[:limit]


@mutant(MemoryStore, "longest_ended", "END-09")
def moments_have_no_sign(original: Any, store: Any, app_id: Any, status: Any, limit: Any) -> Any:
    rows = original(store, app_id, status, 10_000)
    return sorted(rows, key=lambda row: abs(row.record.completed_at - EPOCH))[:limit]


@mutant(MemoryStore, "longest_ended", "END-01")
def ends_are_in_order_of_seconds(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    rows = sorted(original(store, app_id, status, 10_000), key=lambda row: -row.position)
    second = timedelta(seconds=1)
    return sorted(rows, key=lambda row: (row.record.completed_at - EPOCH) // second)[:limit]


@mutant(MemoryStore, "longest_ended", "END-02")
def ends_are_of_every_status(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    rows = [row for one in TERMINAL_STATUSES for row in original(store, app_id, one, limit)]
    return sorted(rows, key=lambda row: row.record.completed_at)[:limit]


@mutant(MemoryStore, "longest_ended", "END-02")
def what_is_parked_has_ended(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    parked = [
        row
        for row in store.instances.values()
        if row.key.app_id == app_id and row.record.status is RuntimeStatus.STALLED
    ]
    return [*original(store, app_id, status, limit), *parked][:limit]


@mutant(MemoryStore, "longest_ended", "END-03")
def ends_are_of_every_application(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    apps = {key.app_id for key in store.instances}
    rows = [row for app in apps for row in original(store, app, status, limit)]
    return sorted(rows, key=lambda row: row.record.completed_at)[:limit]


@mutant(MemoryStore, "longest_ended", "END-04")
def limit_of_ends_is_ignored(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    return original(store, app_id, status, 10_000)


@mutant(MemoryStore, "longest_ended", "END-04 END-05")
def limit_takes_the_last_ends(
    original: Any, store: Any, app_id: Any, status: Any, limit: Any
) -> Any:
    return original(store, app_id, status, 10_000)[-limit:]


@mutant(MemoryStore, "_unlist", "END-05 END-06")
def ends_are_never_forgotten(original: Any, store: Any, row: Any) -> None:
    created = store._created[row.key.app_id]
    del created[bisect_left(created, (row.position, row.key))]


@mutant(MemoryBackend, "list_ended", "END-07")
async def ends_come_without_the_time(original: Any, backend: Any, query: Any) -> Any:
    return replace(await original(backend, query), now=EPOCH)


@mutant(MemoryBackend, "list_ended", "END-07")
async def time_is_that_of_the_last_end(original: Any, backend: Any, query: Any) -> Any:
    found = await original(backend, query)
    moments = [record.completed_at for record in found.instances]
    return replace(found, now=max(moments, default=found.now))


@mutant(MemoryBackend, "list_ended", "END-08")
async def ends_of_one_moment_hide_each_other(original: Any, backend: Any, query: Any) -> Any:
    found = await original(backend, query)
    firsts = {record.completed_at: record for record in reversed(found.instances)}
    return replace(found, instances=tuple(reversed(firsts.values())))


@mutant(MemoryBackend, "list_ended", "END-10")
async def ids_of_ends_lose_what_follows_nul(original: Any, backend: Any, query: Any) -> Any:
    found = await original(backend, query)
    firsts = {record.key.instance_id.partition("\0")[0]: record for record in found.instances}
    return replace(found, instances=tuple(firsts.values()))


@mutant(Batch, "commit_activity", "END-11")
def late_results_end_anew(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances[operation.task.instance]
    if row.record.status.is_terminal:
        batch._store._unlist(row)
        insort(batch._store._created[row.key.app_id], (row.position, row.key))
        row.record = replace(row.record, completed_at=batch._now)
        batch._store.list_end(row)
    return original(batch, operation)


@mutant(MemoryBackend, "close", "END-12")
async def close_forgets_ends(original: Any, backend: Any) -> None:
    backend._store._ended.clear()
    await original(backend)


@mutant(Batch, "commit_turn", "END-13")
def refused_turns_end_all_the_same(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    row = batch._store.instances.get(operation.key)
    if operation.status.is_terminal and not isinstance(result, TurnCommitted) and row is not None:
        ended = batch._store._ended[row.key.app_id, operation.status]
        insort(ended, (operation.completed_at, row.position, row.key))
    return result

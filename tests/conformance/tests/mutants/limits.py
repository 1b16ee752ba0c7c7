"""Mutants that are wrong about what limits hold back."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from durahub.backend import ClaimLimit, ClaimLimits, InstanceClaims, Places
from durahub.testing import memory, memory_apply, memory_limits
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_rows import InstanceRow, SessionRow
from durahub.testing.memory_store import MemoryStore

from ..memory_harness import UnlimitedMemoryBackend  # noqa: TID252 - the tests' root has no name
from .registry import mutant

MANY = 10_000


@mutant(memory_limits, "_places", "LIM-01 LIM-04 LIM-11 LIM-12")
def totals_are_ignored(original: Any, limit: ClaimLimit, names: Iterable[str]) -> Places:
    return original(replace(limit, total=None), names)


@mutant(memory_limits, "_places", "LIM-02 LIM-05 LIM-11 LIM-12")
def names_are_ignored(original: Any, limit: ClaimLimit, names: Iterable[str]) -> Places:
    return original(replace(limit, by_name={}), names)


@mutant(memory_limits, "_places", "LIM-03 LIM-06")
def limits_of_names_replace_the_total(original: Any, limit: ClaimLimit, names: Any) -> Places:
    return original(replace(limit, total=None if limit.by_name else limit.total), names)


@mutant(memory, "admitted_instances", "LIM-02")
def held_back_instances_block_others(
    original: Any, store: MemoryStore, session: SessionRow, most: int, now: Any
) -> Any:
    rows, next_due_at = original(store, session, most, now)
    waking = store.waking(session.session.app_id)
    return [row for row, first in zip(rows, waking, strict=False) if row is first], next_due_at


@mutant(memory, "admitted_tasks", "LIM-05")
def held_back_tasks_block_others(
    original: Any, store: MemoryStore, session: SessionRow, most: int
) -> Any:
    rows = original(store, session, most)
    waiting = store.unowned_tasks(session.session.app_id)
    return [row for row, first in zip(rows, waiting, strict=False) if row is first]


@mutant(memory, "admitted_instances", "LIM-07")
def admitted_instances_are_all_claimed(
    original: Any, store: Any, session: Any, most: int, now: Any
) -> Any:
    return original(store, session, most and MANY, now)


@mutant(memory, "admitted_tasks", "LIM-07")
def admitted_tasks_are_all_claimed(original: Any, store: Any, session: Any, most: int) -> Any:
    return original(store, session, MANY)


@mutant(MemoryStore, "register", "LIM-08")
def limits_hold_for_both_kinds(original: Any, store: MemoryStore, session: Any, now: Any) -> None:
    given = session.limits
    limit = given.instances or given.activities
    both = ClaimLimits(instances=limit, activities=limit)
    original(store, replace(session, limits=both), now)


@mutant(Places, "take", "LIM-09")
def names_are_compared_loosely(original: Any, places: Places, name: str) -> Any:
    return original(places, name.partition("\0")[0])


@mutant(Places, "take", "LIM-09")
def names_are_folded(original: Any, places: Places, name: str) -> Any:
    return original(places, name.casefold())


@mutant(memory, "admitted_instances", "LIM-10")
def held_back_counts_as_due(original: Any, store: Any, session: Any, most: int, now: Any) -> Any:
    rows, next_due_at = original(store, session, most, now)
    due = [row for row in store.waking(session.session.app_id) if row.is_due(now)]
    return rows, next_due_at if len(due) == len(rows) else None


@mutant(memory, "admitted_instances", "LIM-10")
def next_moment_is_told_while_more_is_due(
    original: Any, store: Any, session: Any, most: int, now: Any
) -> Any:
    rows, _ = original(store, session, most, now)
    asleep = [row for row in store.waking(session.session.app_id) if not row.is_due(now)]
    return rows, min((row.wake_at() for row in asleep), default=None)


@mutant(memory_apply, "instances_along", "LIM-11")
def room_ignores_limits_for_instances(
    original: Any, store: Any, session: Any, touched: Any, now: Any
) -> Any:
    return touched


@mutant(memory_apply, "tasks_along", "LIM-12")
def room_ignores_limits_for_tasks(original: Any, store: Any, session: Any, inserted: Any) -> Any:
    return inserted


@mutant(memory_apply, "instances_along", "LIM-13")
def made_due_overtakes(original: Any, store: Any, session: Any, touched: Any, now: Any) -> Any:
    places = memory_limits.instance_places(store, session)
    return [row for row in touched if places.take(row.record.name)]


@mutant(memory_apply, "tasks_along", "LIM-14")
def inserted_overtakes(original: Any, store: Any, session: Any, inserted: Any) -> Any:
    places = memory_limits.task_places(store, session)
    return [row for row in inserted if places.take(row.task.name)]


@mutant(memory_apply, "instances_along", "LIM-15")
def whatever_waits_keeps_all_instances_back(
    original: Any, store: Any, session: Any, touched: Any, now: Any
) -> Any:
    due = [row for row in store.waking(session.session.app_id) if row.is_due(now)]
    return original(store, session, touched, now) if len(due) == len(touched) else []


@mutant(memory_apply, "tasks_along", "LIM-15")
def whatever_waits_keeps_all_tasks_back(
    original: Any, store: Any, session: Any, inserted: Any
) -> Any:
    unowned = list(store.unowned_tasks(session.session.app_id))
    return original(store, session, inserted) if len(unowned) == len(inserted) else []


@mutant(memory_apply, "instances_along", "LIM-16")
def last_touched_comes_first(
    original: Any, store: Any, session: Any, touched: list[InstanceRow], now: Any
) -> Any:
    places = memory_limits.instance_places(store, session)
    return [row for row in reversed(touched) if places.take(row.record.name)][::-1]


@mutant(memory_limits, "instance_places", "LIM-17")
def only_own_instances_count(original: Any, store: MemoryStore, session: SessionRow) -> Places:
    names = [store.instances[key].record.name for key in session.instances]
    return memory_limits._places(session.session.limits.instances, names)


@mutant(memory_limits, "task_places", "LIM-17")
def only_own_tasks_count(original: Any, store: MemoryStore, session: SessionRow) -> Places:
    names = [store.tasks[key].task.name for key in session.tasks]
    return memory_limits._places(session.session.limits.activities, names)


@mutant(memory_limits, "_owners", "LIM-17")
def only_limited_sessions_count(original: Any, store: Any, app_id: Any) -> Any:
    return [row for row in original(store, app_id) if row.session.limits]


@mutant(MemoryStore, "living", "LIM-18")
def limits_hold_for_everyone(original: Any, store: MemoryStore, session_id: Any) -> Any:
    row = original(store, session_id)
    limits = [other.session.limits for other in store.sessions.values() if other.session.limits]
    if limits and not row.session.limits:
        row.session = replace(row.session, limits=limits[0])
    return row


@mutant(MemoryStore, "living", "LIM-19")
def first_limits_hold_for_all(original: Any, store: MemoryStore, session_id: Any) -> Any:
    row = original(store, session_id)
    limits = [other.session.limits for other in store.sessions.values() if other.session.limits]
    if limits and row.session.limits:
        row.session = replace(row.session, limits=limits[0])
    return row


@mutant(memory_limits, "_owners", "LIM-20")
def other_applications_count(original: Any, store: MemoryStore, app_id: Any) -> Any:
    return [row for row in store.sessions.values() if row.alive]


@mutant(memory_limits, "task_places", "LIM-20")
def tasks_count_where_they_come_from(original: Any, store: MemoryStore, session: Any) -> Places:
    owned = [row.task for row in store.tasks.values() if row.owner is not None]
    app_id = session.session.app_id
    names = [task.name for task in owned if task.key.instance.app_id == app_id]
    return memory_limits._places(session.session.limits.activities, names)


@mutant(MemoryBackend, "claim_instances", "LIM-21")
async def places_are_counted_too_early(
    original: Any, backend: Any, session_id: Any, limit: int
) -> Any:
    now, session = backend._hub_now(), backend._store.living(session_id)
    rows, next_due_at = memory_limits.admitted_instances(backend._store, session, limit, now)
    await asyncio.sleep(0)
    free = [row for row in rows if row.is_due(now)]
    claimed = tuple(backend._store.claim(session, row, now) for row in free)
    return InstanceClaims(instances=claimed, next_due_at=next_due_at, now=now)


@mutant(UnlimitedMemoryBackend, "register", "LIM-22")
async def limits_are_ignored_silently(original: Any, backend: Any, session: Any) -> Any:
    return await MemoryBackend.register(backend, session)


@mutant(MemoryBackend, "claim_instances", "LIM-32")
async def places_of_the_overdue_are_free(
    original: Any, backend: Any, session_id: Any, limit: int
) -> Any:
    now = backend._hub_now()
    overdue = [row for row in backend._store.sessions.values() if row.is_overdue(now)]
    for row in overdue:
        row.alive = False
    claims = await original(backend, session_id, limit)
    for row in overdue:
        row.alive = True
    return claims

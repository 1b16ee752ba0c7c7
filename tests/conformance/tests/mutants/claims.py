"""Mutants that are wrong about what is due, for whom, and in which order."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import InstanceClaims
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_rows import InstanceRow

from .registry import mutant

A_BIT = timedelta(microseconds=1)


@mutant(InstanceRow, "is_due", "ROM-07")
def ownership_is_ignored(original: Any, row: Any, now: Any) -> Any:
    return (wake_at := row.wake_at()) is not None and wake_at <= now


@mutant(MemoryBackend, "claim_instances", "CLM-02 CLM-03")
async def claims_race(original: Any, backend: Any, session_id: Any, limit: int) -> Any:
    now = backend._hub_now()
    session = backend._store.living(session_id)
    due = [row for row in backend._store.instances.values() if row.is_due(now)][:limit]
    await asyncio.sleep(0)
    for row in due:
        backend._store.own(row, session_id)
        backend._store.reschedule(row)
    next_due_at = backend._next_due_at(session, now)
    claimed = tuple(row.claimed(now) for row in due)
    return InstanceClaims(instances=claimed, next_due_at=next_due_at, now=now)


@mutant(MemoryBackend, "claim_instances", "CLM-04")
async def limit_is_ignored(original: Any, backend: Any, session_id: Any, limit: int) -> Any:
    return await original(backend, session_id, limit and 10_000)


@mutant(MemoryBackend, "claim_instances", "CLM-08")
async def limit_zero_is_one(original: Any, backend: Any, session_id: Any, limit: int) -> Any:
    return await original(backend, session_id, limit or 1)


@mutant(MemoryBackend, "claim_instances", "CLM-05")
async def claims_come_out_reversed(original: Any, backend: Any, *args: Any) -> Any:
    claims = await original(backend, *args)
    return replace(claims, instances=claims.instances[::-1])


@mutant(MemoryBackend, "claim_instances", "CLM-06")
async def claims_come_in_order_of_creation(original: Any, backend: Any, *args: Any) -> Any:
    claims = await original(backend, *args)
    position = backend._store.instances.__getitem__
    by_age = sorted(claims.instances, key=lambda one: position(one.record.key).position)
    return replace(claims, instances=tuple(by_age))


@mutant(MemoryBackend, "claim_instances", "CLM-07")
async def claims_are_for_every_application(
    original: Any, backend: Any, session_id: Any, limit: int
) -> Any:
    claims = await original(backend, session_id, limit)
    session, now = backend._store.living(session_id), claims.now
    rows = [row for row in backend._store.instances.values() if row.is_due(now)]
    more = tuple(backend._store.claim(session, row, now) for row in rows[:limit])
    return replace(claims, instances=claims.instances + more)


@mutant(MemoryBackend, "_next_due_at", "CRE-06")
def next_due_is_never_told(original: Any, backend: Any, session: Any, now: Any) -> None:
    return None


@mutant(MemoryBackend, "_next_due_at", "CLM-09")
def next_due_is_told_though_more_is_due(original: Any, backend: Any, session: Any, now: Any) -> Any:
    moments = [row.wake_at() for row in backend._store.instances.values() if not row.owner]
    mine = [moment for moment in moments if moment is not None and moment > now]
    return min(mine, default=None)


@mutant(MemoryBackend, "_next_due_at", "CLM-10")
def next_due_counts_the_owned(original: Any, backend: Any, session: Any, now: Any) -> Any:
    timers = [t.due_at for row in backend._store.instances.values() for t in row.timers.values()]
    found = original(backend, session, now)
    return min((moment for moment in (*timers, found) if moment and moment > now), default=None)


@mutant(MemoryBackend, "claim_instances", "CLM-11")
async def claims_tell_the_wrong_time(original: Any, backend: Any, *args: Any) -> Any:
    claims = await original(backend, *args)
    return replace(claims, now=claims.now - timedelta(days=1))


@mutant(InstanceRow, "claimed", "CLM-12")
def too_much_is_handed_over(original: Any, row: Any, now: Any) -> Any:
    return replace(original(row, now), messages=tuple(row.inbox.values()))


@mutant(InstanceRow, "claimed", "TMR-08")
def too_many_timers_are_handed_over(original: Any, row: Any, now: Any) -> Any:
    due = sorted((t for t in row.timers.values() if t.due_at <= now), key=lambda t: t.due_at)
    return replace(original(row, now), timers=tuple(due))


@mutant(InstanceRow, "claimed", "CLM-12")
def what_is_not_handed_over_is_lost(original: Any, row: Any, now: Any) -> Any:
    claimed = original(row, now)
    row.inbox = {stored.message_id: stored for stored in claimed.messages}
    return claimed


@mutant(InstanceRow, "claimed", "CLM-12")
def newest_messages_are_handed_over(original: Any, row: Any, now: Any) -> Any:
    return replace(original(row, now), messages=tuple(row.inbox.values())[-1000:])


@mutant(InstanceRow, "claimed", "CLM-13")
def claims_show_an_old_record(original: Any, row: Any, now: Any) -> Any:
    claimed = original(row, now)
    return replace(claimed, record=replace(row.record, history_length=0))


@mutant(InstanceRow, "claimed", "TMR-02")
def all_timers_are_handed_over(original: Any, row: Any, now: Any) -> Any:
    return replace(original(row, now), timers=tuple(row.timers.values()))


@mutant(InstanceRow, "claimed", "TMR-02")
def timers_come_unordered(original: Any, row: Any, now: Any) -> Any:
    claimed = original(row, now)
    by_id = sorted(claimed.timers, key=lambda timer: timer.timer_id)
    return replace(claimed, timers=tuple(by_id))


@mutant(InstanceRow, "claimed", "TMR-09")
def timers_or_messages_are_handed_over(original: Any, row: Any, now: Any) -> Any:
    claimed = original(row, now)
    return replace(claimed, timers=()) if claimed.messages else claimed


@mutant(InstanceRow, "claimed", "TMR-06")
def timers_are_gone_once_claimed(original: Any, row: Any, now: Any) -> Any:
    claimed = original(row, now)
    for timer in claimed.timers:
        del row.timers[timer.timer_id]
    return claimed


@mutant(InstanceRow, "wake_at", "CLM-14")
def idle_instances_are_due(original: Any, row: Any) -> Any:
    return original(row) or row.record.last_updated_at


@mutant(InstanceRow, "wake_at", "TMR-11")
def latest_timer_decides(original: Any, row: Any) -> Any:
    latest = max((timer.due_at for timer in row.timers.values()), default=None)
    return original(row) if latest is None or row.inbox or row.woken_at else latest


@mutant(InstanceRow, "wake_at", "TMR-01")
def timers_are_late(original: Any, row: Any) -> Any:
    wake_at = original(row)
    return wake_at + A_BIT if wake_at and row.timers and not row.inbox else wake_at


@mutant(InstanceRow, "wake_at", "TMR-01")
def timers_are_early(original: Any, row: Any) -> Any:
    wake_at = original(row)
    return wake_at - timedelta(minutes=2) if wake_at and row.timers else wake_at


@mutant(InstanceRow, "wake_at", "TMR-05 TXT-09")
def end_of_time_is_a_moment(original: Any, row: Any) -> Any:
    wake_at = original(row)
    far = [timer.due_at for timer in row.timers.values()]
    far += [row.not_before] if row.not_before else []
    return min(far) if wake_at is None and far else wake_at


@mutant(Batch, "deliver", "CLM-15")
def expedited_again_goes_to_the_end(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None and operation.expedite:
        row.woken_at = None
    return original(batch, operation)

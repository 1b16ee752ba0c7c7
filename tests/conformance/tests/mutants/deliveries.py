"""Mutants that are wrong about messages, sleeping, releasing and parking."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import Delivered, InstanceEnded, InstanceMissing, Released, StoredMessage
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_rows import InstanceRow
from durahub.testing.memory_store import MemoryStore
from durahub.types import RuntimeStatus

from .registry import mutant


@mutant(Batch, "deliver", "BAT-08")
def messages_reach_the_ended(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None and row.record.status.is_terminal:
        row.append(operation.messages, batch._now)
        return InstanceEnded(status=row.record.status)
    return original(batch, operation)


@mutant(Batch, "deliver", "DEL-04")
def only_the_completed_have_ended(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None and row.record.status is RuntimeStatus.CANCELED:
        return Delivered()
    return original(batch, operation)


@mutant(Batch, "deliver", "DEL-03")
def the_missing_are_delivered_to(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    return Delivered() if isinstance(result, InstanceMissing) else result


@mutant(Batch, "deliver", "DEL-13")
def the_owned_are_not_delivered_to(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    return Delivered() if row is not None and row.owner else original(batch, operation)


@mutant(Batch, "deliver", "CLM-01")
def delivery_takes_from_the_owner(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None:
        batch._store.own(row, None)
    return original(batch, operation)


@mutant(Batch, "deliver", "DEL-02")
def delivery_does_not_wake(original: Any, batch: Any, operation: Any) -> Any:
    reschedule = batch._store.reschedule
    batch._store.reschedule = lambda _: None
    result = original(batch, operation)
    batch._store.reschedule = reschedule
    return result


@mutant(Batch, "deliver", "DEL-12")
def every_delivery_wakes(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    if isinstance(result, Delivered):
        row = batch._store.instances[operation.key]
        row.woken_at = batch._now
        batch._store.reschedule(row)
    return result


@mutant(Batch, "deliver", "DEL-10")
def waking_needs_messages(original: Any, batch: Any, operation: Any) -> Any:
    result = original(batch, operation)
    row = batch._store.instances.get(operation.key)
    if row is not None and not operation.messages:
        row.woken_at = None
        batch._store.reschedule(row)
    return result


@mutant(Batch, "deliver", "REL-04")
def expedite_keeps_the_sleep(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    not_before = row.not_before if row else None
    result = original(batch, operation)
    if row is not None:
        row.not_before = not_before
        batch._store.reschedule(row)
    return result


@mutant(Batch, "deliver", "DEL-09")
def expedite_forgets_the_start_time(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None and operation.expedite:
        row.record = replace(row.record, scheduled_start_at=None)
    return original(batch, operation)


@mutant(Batch, "deliver", "DEL-01")
def equal_messages_are_dropped(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    known = [stored.message for stored in row.inbox.values()] if row else []
    new = tuple(message for message in operation.messages if message not in known)
    return original(batch, replace(operation, messages=new))


@mutant(MemoryBackend, "apply", "DEL-14")
async def concurrent_writers_overtake(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    backend.writers = getattr(backend, "writers", 0) + 1
    await asyncio.sleep(0)
    alone, backend.writers = backend.writers == 1, backend.writers - 1
    operations = operations if alone else operations[1:] or operations[:0]
    return await original(backend, session, operations, *room)


@mutant(InstanceRow, "append", "DEL-05")
def message_ids_are_used_again(original: Any, row: Any, messages: Any, now: Any) -> None:
    row.last_message_id = max(row.inbox, default=0)
    original(row, messages, now)


@mutant(InstanceRow, "append", "BAT-06")
def newest_message_comes_first(original: Any, row: Any, messages: Any, now: Any) -> None:
    waiting = dict(row.inbox)
    row.inbox.clear()
    original(row, messages, now)
    row.inbox.update(waiting)


@mutant(InstanceRow, "put_first", "TRN-09")
def start_of_a_generation_comes_last(original: Any, row: Any, message: Any, now: Any) -> None:
    row.append((message,), now)


@mutant(InstanceRow, "put_first", "DEL-05")
def starts_of_generations_share_an_id(original: Any, row: Any, message: Any, now: Any) -> None:
    first = StoredMessage(message_id=0, message=message, accepted_at=now)
    row.inbox = {0: first, **row.inbox}


@mutant(InstanceRow, "append", "DEL-06")
def acceptance_is_told_wrongly(original: Any, row: Any, messages: Any, now: Any) -> None:
    original(row, messages, now.replace(hour=0, minute=0))


@mutant(InstanceRow, "append", "DEL-07")
def payloads_are_texts(original: Any, row: Any, messages: Any, now: Any) -> None:
    texts = [replace(one, payload=one.payload.partition(b"\0")[0]) for one in messages]
    original(row, texts, now)


@mutant(InstanceRow, "append", "CLM-12")
def inbox_is_small(original: Any, row: Any, messages: Any, now: Any) -> None:
    original(row, messages, now)
    kept: list[StoredMessage] = list(row.inbox.values())[:1000]
    row.inbox = {stored.message_id: stored for stored in kept}


# Releasing


@mutant(Batch, "release", "REL-03")
def anyone_may_release(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None:
        row.not_before = operation.not_before
        batch._store.disown(row)
    return Released()


@mutant(Batch, "release", "REL-01")
def release_forgets_messages(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    if row is not None:
        row.inbox.clear()
    return original(batch, operation)


@mutant(Batch, "release", "REL-01")
def release_goes_to_the_end(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    result = original(batch, operation)
    if row is not None:
        row.not_before = row.not_before or batch._now + timedelta(seconds=1)
        batch._store.reschedule(row)
    return result


@mutant(Batch, "release", "REL-05")
def release_keeps_the_owner(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    result = original(batch, operation)
    if row is not None:
        batch._store.own(row, batch._session.session.session_id)
    return result


@mutant(InstanceRow, "wake_at", "REL-06")
def timers_ignore_the_sleep(original: Any, row: Any) -> Any:
    wake_at = original(row)
    earliest = min((timer.due_at for timer in row.timers.values()), default=None)
    return min(wake_at, earliest) if wake_at and earliest else wake_at


# Parking


@mutant(Batch, "park", "PRK-10")
def parking_keeps_the_revision(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    result = original(batch, operation)
    if row is not None:
        row.record = replace(row.record, revision=row.record.revision - 1)
    return result


@mutant(Batch, "park", "PRK-01")
def parking_hides(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    result = original(batch, operation)
    if row is not None:
        row.record = replace(row.record, status=RuntimeStatus.RUNNING)
    return result


@mutant(Batch, "park", "PRK-07 PRK-08")
def anyone_may_park(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None:
        batch._store.own(row, batch._session.session.session_id)
    return original(batch, operation)


@mutant(Batch, "park", "PRK-08")
def parking_keeps_the_owner(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    result = original(batch, operation)
    if row is not None:
        batch._store.own(row, batch._session.session.session_id)
    return result


@mutant(Batch, "park", "PRK-09")
def parking_remembers_the_wake_up(original: Any, batch: Any, operation: Any) -> Any:
    row = batch.owned(operation.key)
    woken_at = row.woken_at if row else None
    result = original(batch, operation)
    if row is not None:
        row.woken_at = woken_at
        batch._store.reschedule(row)
    return result


@mutant(InstanceRow, "wake_at", "PRK-02")
def parked_instances_wake_by_themselves(original: Any, row: Any) -> Any:
    parked, row.record = row.record, replace(row.record, parked_reason=None)
    wake_at = original(row)
    row.record = parked
    return wake_at


@mutant(InstanceRow, "wake_at", "PRK-05")
def parked_instances_wake_by_timers(original: Any, row: Any) -> Any:
    earliest = min((timer.due_at for timer in row.timers.values()), default=None)
    return earliest if row.record.parked_reason is not None else original(row)


@mutant(InstanceRow, "wake_at", "PRK-04 PRK-05")
def parked_instances_never_wake(original: Any, row: Any) -> Any:
    return None if row.record.parked_reason is not None else original(row)


@mutant(Batch, "deliver", "PRK-03")
def parked_instances_take_no_messages(original: Any, batch: Any, operation: Any) -> Any:
    row = batch._store.instances.get(operation.key)
    if row is not None and row.record.parked_reason is not None and not operation.expedite:
        return Delivered()
    return original(batch, operation)


@mutant(MemoryStore, "disown", "PRK-01")
def giving_back_changes_the_record(original: Any, store: Any, row: Any) -> None:
    if row.record.parked_reason is not None:
        row.payloads = replace(row.payloads, input=None)
    original(store, row)

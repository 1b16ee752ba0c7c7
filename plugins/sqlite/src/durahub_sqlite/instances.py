"""Operations on whole instances: creating, giving back, parking, purging."""

from __future__ import annotations

import json
from collections.abc import Sequence

from durahub.backend import (
    CreateInstance,
    InstanceCreated,
    InstanceExists,
    InstanceMissing,
    InstanceNotEnded,
    NotOwner,
    ParkInstance,
    Purged,
    PurgeInstance,
    Released,
    ReleaseInstance,
    Result,
)
from durahub.clock import to_micros
from durahub.types import RuntimeStatus

from durahub_sqlite.batch import Batch
from durahub_sqlite.deliveries import append
from durahub_sqlite.rows import InstanceRow, micros_of, record_of


def create(batch: Batch, operation: CreateInstance) -> Result:
    """Insert an instance, unless its id is occupied."""
    occupant = find_occupant(batch, operation)
    if occupant is not None:
        return InstanceExists(existing=record_of(occupant))
    return InstanceCreated(generation=insert(batch, operation).generation)


def find_occupant(batch: Batch, operation: CreateInstance) -> InstanceRow | None:
    """Return what is in the way of a creation."""
    row = batch.instances.get(operation.key)
    if row is None or (row.is_ended and row.revision == operation.replaces):
        return None
    return row


def insert(batch: Batch, operation: CreateInstance) -> InstanceRow:
    """Insert an instance whose id is free, or put it in the place of an ended run."""
    old = batch.instances.get(operation.key)
    if old is not None:
        batch.changes.clear_run(old.instance)
    row = _new_row(operation, batch.next_instance() if old is None else old.instance)
    if old is not None:
        row.generation = old.generation + 1
        row.revision = old.revision + 1
        row.last_message = old.last_message
    batch.instances[row.key] = row
    batch.changes.inputs_put.append((row.instance, operation.input))
    append(batch, row, operation.start)
    batch.touch(row)
    return row


def release(batch: Batch, operation: ReleaseInstance) -> Result:
    """Give an instance back without a turn."""
    row = batch.owned_instance(operation.key)
    if row is None:
        return NotOwner()
    batch.give_back(row)
    if operation.not_before is not None:
        row.not_before = to_micros(operation.not_before)
    batch.change(row)
    return Released()


def park(batch: Batch, operation: ParkInstance) -> Result:
    """Give an instance back that nothing wakes but a delivery that expedites."""
    row = batch.owned_instance(operation.key)
    if row is None:
        return NotOwner()
    batch.give_back(row)
    row.park(operation.reason)
    row.last_updated_at = to_micros(operation.updated_at)
    row.revision += 1
    append_history(batch, row, operation.history)
    batch.change(row)
    return Released()


def append_history(batch: Batch, row: InstanceRow, events: Sequence[bytes]) -> None:
    """Append events to the history of an instance."""
    batch.changes.history += [
        (row.instance, seq, event) for seq, event in enumerate(events, row.history_length)
    ]
    row.history_length += len(events)


def purge(batch: Batch, operation: PurgeInstance) -> Result:
    """Remove every trace of an instance."""
    row = batch.instances.get(operation.key)
    if row is None or operation.execution_id not in {None, row.execution_id}:
        return InstanceMissing()
    if not (row.is_ended or operation.force):
        return InstanceNotEnded(status=RuntimeStatus(row.status))
    batch.remove(row)
    return Purged()


def _new_row(operation: CreateInstance, instance: int) -> InstanceRow:
    parent = operation.parent
    return InstanceRow(
        instance=instance,
        app_id=operation.key.app_id,
        instance_id=operation.key.instance_id,
        name=operation.name,
        version=operation.version,
        execution_id=operation.execution_id,
        generation=1,
        status=int(RuntimeStatus.PENDING),
        created_at=to_micros(operation.created_at),
        last_updated_at=to_micros(operation.created_at),
        started_at=None,
        completed_at=None,
        scheduled_start_at=micros_of(operation.not_before),
        parent_app_id=parent.key.app_id if parent else None,
        parent_instance_id=parent.key.instance_id if parent else None,
        parent_execution_id=parent.execution_id if parent else None,
        parent_task_id=parent.task_id if parent else None,
        tags=_tags_text(operation),
        revision=0,
        history_length=0,
        last_message=0,
        parked_reason=None,
        pending_at=None,
        not_before=micros_of(operation.not_before),
        wake_at=None,
        owner=None,
    )


def _tags_text(operation: CreateInstance) -> str | None:
    # Not escaped to ASCII, so that SQLite refuses what is not Unicode, as in every other text.
    return json.dumps(dict(operation.tags), ensure_ascii=False) if operation.tags else None

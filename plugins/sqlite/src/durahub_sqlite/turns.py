"""Committing a turn: everything that it decided, or nothing."""

from __future__ import annotations

from durahub.backend import (
    ChildrenExist,
    CommitTurn,
    NextGeneration,
    NotOwner,
    Result,
    TurnCommitted,
)
from durahub.clock import to_micros

from durahub_sqlite.batch import Batch
from durahub_sqlite.deliveries import put_first
from durahub_sqlite.instances import append_history, find_occupant, insert
from durahub_sqlite.rows import InstanceRow, micros_of, record_of


def commit_turn(batch: Batch, turn: CommitTurn) -> Result:
    """Take over a turn, unless its owner has lost the instance or a child's id is occupied."""
    row = batch.owned_instance(turn.key)
    if row is None or (row.execution_id, row.revision) != (turn.execution_id, turn.revision):
        return NotOwner()
    occupants = [find_occupant(batch, child) for child in turn.children]
    existing = tuple(record_of(occupant) for occupant in occupants if occupant is not None)
    if existing:
        return ChildrenExist(existing=existing)
    batch.give_back(row)
    _update_row(row, turn)
    _remove_consumed(batch, row, turn)
    _append_history(batch, row, turn)
    if row.is_ended:
        _drop_waiting(batch, row)
    else:
        _set_timers(batch, row, turn)
    _send_work(batch, row, turn)
    batch.committed.append(row)
    batch.touch(row)
    return TurnCommitted(revision=row.revision)


def _update_row(row: InstanceRow, turn: CommitTurn) -> None:
    row.status = int(turn.status)
    row.last_updated_at = to_micros(turn.updated_at)
    row.started_at = micros_of(turn.started_at)
    row.completed_at = micros_of(turn.completed_at)
    row.revision += 1
    row.parked_reason = None
    row.not_before = None
    row.pending_at = None


def _remove_consumed(batch: Batch, row: InstanceRow, turn: CommitTurn) -> None:
    instance = row.instance
    batch.changes.messages_removed += [(instance, message) for message in turn.consumed]
    batch.changes.timers_removed += [(instance, timer) for timer in turn.removed_timers]


def _append_history(batch: Batch, row: InstanceRow, turn: CommitTurn) -> None:
    batch.changes.outputs.append((row.instance, turn.output, turn.custom_status, turn.failure))
    if turn.next_generation is not None:
        _begin_generation(batch, row, turn.next_generation)
        return
    append_history(batch, row, turn.history)


def _begin_generation(batch: Batch, row: InstanceRow, following: NextGeneration) -> None:
    batch.changes.history_cleared.append(row.instance)
    batch.changes.timers_cleared.append(row.instance)
    batch.changes.inputs_set.append((row.instance, following.input))
    row.execution_id = following.execution_id
    row.generation += 1
    row.history_length = 0
    put_first(batch, row, following.start)


def _set_timers(batch: Batch, row: InstanceRow, turn: CommitTurn) -> None:
    batch.changes.timers += [
        (row.instance, timer.timer_id, to_micros(timer.due_at), timer.payload)
        for timer in turn.timers
    ]


def _send_work(batch: Batch, row: InstanceRow, turn: CommitTurn) -> None:
    batch.schedule_activities(row, turn.activities)
    for child in turn.children:
        insert(batch, child)
    batch.outgoing += turn.outgoing


def _drop_waiting(batch: Batch, row: InstanceRow) -> None:
    batch.changes.inbox_cleared.append(row.instance)
    batch.changes.timers_cleared.append(row.instance)

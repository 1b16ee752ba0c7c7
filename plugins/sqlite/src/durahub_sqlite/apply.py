"""One `apply` from end to end, as one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from durahub.backend import (
    ActivityTask,
    Applied,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    InstanceRecord,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Result,
    Room,
)
from durahub.types import SessionId

from durahub_sqlite.along import activities_along, instances_along
from durahub_sqlite.batch import Batch
from durahub_sqlite.claims import Claimed, decode_sound, hand_over, own_activities
from durahub_sqlite.deliveries import commit_activity, deliver, release_activity, send_outgoing
from durahub_sqlite.instances import create, park, purge, release
from durahub_sqlite.rows import InstanceRow
from durahub_sqlite.sessions import require_alive
from durahub_sqlite.turns import commit_turn

_Phase = Mapping[type[Any], Callable[[Batch, Any], Result]]

_BEFORE_OUTGOING: tuple[_Phase, ...] = (
    {PurgeInstance: purge},
    {ReleaseInstance: release, ParkInstance: park, ReleaseActivity: release_activity},
    {CommitTurn: commit_turn},
)

_AFTER_OUTGOING: tuple[_Phase, ...] = (
    {CreateInstance: create},
    {CommitActivity: commit_activity, Deliver: deliver},
)


def apply_operations(
    connection: sqlite3.Connection,
    session_id: SessionId,
    operations: Sequence[Operation],
    room: Room,
    now: int,
) -> tuple[Applied, Claimed]:
    """Carry out a batch inside a transaction that is open, and claim what became due by it."""
    batch = Batch(connection, require_alive(connection, session_id), now)
    batch.load(operations)
    results: dict[int, Result] = {}
    _run(batch, operations, _BEFORE_OUTGOING, results)
    send_outgoing(batch)
    _run(batch, operations, _AFTER_OUTGOING, results)
    inserted = batch.write_contents()
    activities = _claim_activities(batch, inserted, room.activities)
    instances = _claim_instances(batch, room.instances)
    batch.changes.write_instances(connection)
    applied = Applied(
        results=tuple(results[index] for index in range(len(operations))),
        instances=hand_over(connection, instances, now),
        activities=tuple(activities.values()),
    )
    numbers = tuple(row.instance for row, _ in instances)
    return applied, Claimed(batch.session.number, numbers, tuple(activities))


def _run(
    batch: Batch,
    operations: Sequence[Operation],
    phases: Sequence[_Phase],
    results: dict[int, Result],
) -> None:
    for phase in phases:
        for index, operation in enumerate(operations):
            carry_out = phase.get(type(operation))
            if carry_out is not None:
                results[index] = carry_out(batch, operation)


def _claim_activities(
    batch: Batch, inserted: Mapping[int, ActivityTask], room: int
) -> dict[int, ActivityTask]:
    mine = {
        number: task for number, task in inserted.items() if task.app_id == batch.session.app_id
    }
    if mine and batch.session.limits.activities:
        mine = activities_along(batch, mine)
    claimed = dict(islice(mine.items(), room))
    if claimed:
        own_activities(batch.connection, batch.session, tuple(claimed))
    return claimed


def _claim_instances(batch: Batch, room: int) -> list[tuple[InstanceRow, InstanceRecord]]:
    due = [
        row
        for row in batch.touched.values()
        if row.app_id == batch.session.app_id and row.is_due(batch.now)
    ]
    due.sort(key=lambda row: (row.wake_at, row.instance))
    if due and batch.session.limits.instances:
        due = instances_along(batch, due)
    claimed = decode_sound(due[:room])
    for row, _ in claimed:
        row.owner = batch.session.number
    return claimed

"""What the functions of the task hub answer, as the contract's values.

A row is one of the type `answer`; `types.sql` has its columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import IntEnum

from durahub.backend import (
    ActivityCommitted,
    ActivityTask,
    Applied,
    ChildrenExist,
    ClaimedInstance,
    Delivered,
    InstanceClaims,
    InstanceCreated,
    InstanceEnded,
    InstanceExists,
    InstanceMissing,
    InstanceNotEnded,
    InstanceRecord,
    Message,
    NotOwner,
    Purged,
    Released,
    Result,
    StoredMessage,
    TaskNotOwned,
    Timer,
    TurnCommitted,
)
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, TaskKey

from durahub_postgres.rows import Row, moment_of, record_of
from durahub_postgres.text import from_stored


class Kind(IntEnum):
    """What a row of an answer tells, as the functions number it."""

    RESULTS = 0
    OCCUPANT = 1
    INSTANCE = 2
    MESSAGE = 3
    TIMER = 4
    TASK = 5
    NOW = 6
    NEXT_DUE = 7


_RESULTS: dict[int, Callable[[int, Sequence[InstanceRecord]], Result]] = {
    1: lambda number, _: InstanceCreated(generation=number),
    2: lambda _, occupants: InstanceExists(existing=occupants[0]),
    3: lambda *_: Delivered(),
    4: lambda *_: InstanceMissing(),
    5: lambda number, _: InstanceEnded(status=RuntimeStatus(number)),
    6: lambda number, _: InstanceNotEnded(status=RuntimeStatus(number)),
    7: lambda number, _: TurnCommitted(revision=number),
    8: lambda *_: NotOwner(),
    9: lambda _, occupants: ChildrenExist(existing=tuple(occupants)),
    10: lambda *_: ActivityCommitted(),
    11: lambda *_: TaskNotOwned(),
    12: lambda *_: Released(),
    13: lambda *_: Purged(),
}
"""By the codes of `apply.sql`; a function gets the operation's number and what is in its way."""


def applied_of(rows: Iterable[Row]) -> Applied:
    """Return the outcome of `apply`."""
    by_kind = _by_kind(rows)
    occupants: defaultdict[int, list[InstanceRecord]] = defaultdict(list)
    for row in by_kind[Kind.OCCUPANT]:
        occupants[row[3]].append(record_of(row[8]))
    ((_, codes, numbers, *_rest),) = by_kind[Kind.RESULTS]
    return Applied(
        results=tuple(
            _RESULTS[code](number, occupants[op])
            for op, (code, number) in enumerate(zip(codes, numbers, strict=True), 1)
        ),
        instances=_claimed_of(by_kind),
        activities=tasks_of(by_kind[Kind.TASK]),
    )


def claims_of(rows: Iterable[Row]) -> InstanceClaims:
    """Return the outcome of `claim_instances`."""
    by_kind = _by_kind(rows)
    next_due: list[datetime] = [row[5] for row in by_kind[Kind.NEXT_DUE]]
    ((*_, now),) = (row[:6] for row in by_kind[Kind.NOW])
    return InstanceClaims(
        instances=_claimed_of(by_kind), next_due_at=next_due[0] if next_due else None, now=now
    )


def tasks_of(rows: Iterable[Row]) -> tuple[ActivityTask, ...]:
    """Return claimed activity tasks, oldest first."""
    return tuple(
        ActivityTask(
            key=TaskKey(
                InstanceKey(AppId(from_stored(app_id)), from_stored(instance_id)),
                ExecutionId(from_stored(execution_id)),
                task_id,
            ),
            app_id=AppId(from_stored(task_app_id)),
            name=from_stored(name),
            payload=payload,
        )
        for (
            *_,
            task_id,
            _moment,
            payload,
            execution_id,
            _record,
            app_id,
            instance_id,
            task_app_id,
            name,
        ) in rows
    )


def _by_kind(rows: Iterable[Row]) -> defaultdict[int, list[Row]]:
    by_kind: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_kind[row[0]].append(row)
    return by_kind


def _claimed_of(by_kind: defaultdict[int, list[Row]]) -> tuple[ClaimedInstance, ...]:
    messages: defaultdict[int, list[StoredMessage]] = defaultdict(list)
    for _, _, _, instance, number, moment, payload, execution_id, *_ in by_kind[Kind.MESSAGE]:
        run = None if execution_id is None else ExecutionId(from_stored(execution_id))
        message = Message(payload=payload, execution_id=run)
        messages[instance].append(
            StoredMessage(message_id=number, message=message, accepted_at=moment)
        )
    timers: defaultdict[int, list[Timer]] = defaultdict(list)
    for _, _, _, instance, number, moment, payload, *_ in by_kind[Kind.TIMER]:
        timers[instance].append(Timer(timer_id=number, due_at=moment_of(moment), payload=payload))
    return tuple(
        ClaimedInstance(
            record=record_of(row[8]),
            messages=tuple(messages[row[3]]),
            timers=tuple(timers[row[3]]),
        )
        for row in by_kind[Kind.INSTANCE]
    )

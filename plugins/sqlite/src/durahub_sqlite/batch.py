"""One `apply` in progress: what it has read, and what it is about to write."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from durahub.backend import (
    ActivityTask,
    CommitActivity,
    CommitTurn,
    Deliver,
    Operation,
    ReleaseActivity,
)
from durahub.types import InstanceKey, TaskKey

from durahub_sqlite.bulk import id_list, run_rows
from durahub_sqlite.changes import Changes
from durahub_sqlite.rows import FIND_INSTANCES, InstanceRow
from durahub_sqlite.sessions import LiveSession

FIND_ACTIVITIES = """
SELECT a.instance, a.execution_id, a.task_id, a.activity, a.owner
FROM (VALUES {rows}) AS v CROSS JOIN activities AS a
WHERE a.instance = v.column1 AND a.execution_id = v.column2 AND a.task_id = v.column3
"""

LAST_INSTANCE = "SELECT seq FROM sqlite_sequence WHERE name = 'instances'"

WAITING_SINCE = """
SELECT c.value,
  (SELECT m.accepted_at FROM messages AS m WHERE m.instance = c.value
   ORDER BY m.message_id LIMIT 1),
  (SELECT t.due_at FROM timers AS t WHERE t.instance = c.value ORDER BY t.due_at LIMIT 1)
FROM json_each(?) AS c
"""


@dataclass(slots=True)
class ActivityRow:
    """What decides about one activity task.

    Attributes:
        activity: Its number.
        owner: The session that owns it.
    """

    activity: int
    owner: int | None


@dataclass(slots=True)
class Batch:
    """The state that the operations of one batch share.

    Operations read and change the rows here, one after the other; the tables see the outcome at the end.

    Attributes:
        connection: Where the transaction is open.
        session: Who writes.
        now: The store's clock, for the whole batch.
        instances: The rows of the instances that the batch names; absent if they do not exist.
        activities: Likewise the activity tasks.
        touched: Instances that were created, delivered to or committed; in this order.
        committed: Those that ran a turn, so that only the tables know what still waits for them.
        scheduled: Activity tasks that turns insert, by what is unique about them.
        given_back: How many instances of each name have been given back.
        outgoing: Messages that turns send.
        changes: What is to be written.
    """

    connection: sqlite3.Connection
    session: LiveSession
    now: int
    instances: dict[InstanceKey, InstanceRow] = field(default_factory=dict)
    activities: dict[TaskKey, ActivityRow] = field(default_factory=dict)
    touched: dict[int, InstanceRow] = field(default_factory=dict)
    committed: list[InstanceRow] = field(default_factory=list)
    scheduled: dict[tuple[int, str, int], ActivityTask] = field(default_factory=dict)
    given_back: Counter[str] = field(default_factory=Counter)
    outgoing: list[Deliver] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    _last_instance: int | None = None

    def load(self, operations: Sequence[Operation]) -> None:
        """Read the rows of everything that the operations name."""
        keys = {key for operation in operations for key in _named(operation)}
        for columns in run_rows(self.connection, FIND_INSTANCES, tuple(keys)):
            row = InstanceRow(*columns)
            self.instances[row.key] = row
        self._load_activities(
            operation.task
            for operation in operations
            if isinstance(operation, CommitActivity | ReleaseActivity)
        )

    def _load_activities(self, tasks: Iterable[TaskKey]) -> None:
        wanted = {
            (row.instance, task.execution_id, task.task_id): task
            for task in tasks
            if (row := self.instances.get(task.instance)) is not None
        }
        for *key, activity, owner in run_rows(self.connection, FIND_ACTIVITIES, tuple(wanted)):
            self.activities[wanted[tuple(key)]] = ActivityRow(activity, owner)

    def owned_instance(self, key: InstanceKey) -> InstanceRow | None:
        """Return an instance if the session owns it."""
        row = self.instances.get(key)
        return row if row is not None and row.owner == self.session.number else None

    def owned_activity(self, task: TaskKey) -> ActivityRow | None:
        """Return an activity task if the session owns it."""
        row = self.activities.get(task) if task.instance in self.instances else None
        return row if row is not None and row.owner == self.session.number else None

    def next_instance(self) -> int:
        """Return the number of a new instance; only this transaction gives out numbers."""
        if self._last_instance is None:
            row = self.connection.execute(LAST_INSTANCE).fetchone()
            self._last_instance = 0 if row is None else row[0]
        self._last_instance += 1
        return self._last_instance

    def change(self, row: InstanceRow) -> None:
        """Note that a row differs from what is stored."""
        self.changes.instances[row.instance] = row

    def touch(self, row: InstanceRow) -> None:
        """Note that something became of an instance that may make it due."""
        self.touched[row.instance] = row
        self.change(row)

    def give_back(self, row: InstanceRow) -> None:
        """Take an instance from the session, its owner."""
        row.owner = None
        self.given_back[row.name] += 1

    def remove(self, row: InstanceRow) -> None:
        """Remove an instance with everything that belongs to it."""
        del self.instances[row.key]
        self.changes.purged.append(row.instance)

    def schedule_activities(self, row: InstanceRow, tasks: Iterable[ActivityTask]) -> None:
        """Insert activity tasks of an instance; those that exist stay as they are."""
        for task in tasks:
            key = (row.instance, task.key.execution_id, task.key.task_id)
            self.scheduled.setdefault(key, task)
            self.changes.activities.append((*key, task.app_id, task.name, task.payload))

    def write_contents(self) -> dict[int, ActivityTask]:
        """Write everything but the rows of instances, and derive when these become due.

        Returns:
            The activity tasks that were inserted, by their numbers, oldest first.
        """
        inserted = sorted(self.changes.write_contents(self.connection))
        self._reschedule()
        return {
            number: self.scheduled[instance, execution_id, task_id]
            for number, instance, execution_id, task_id in inserted
        }

    def _reschedule(self) -> None:
        rows = {row.instance: row for row in self.committed if not row.is_ended}
        if rows:
            for instance, message_since, timer_due in self.connection.execute(
                WAITING_SINCE, (id_list(rows),)
            ):
                rows[instance].wait_since(message_since)
                rows[instance].wait_since(timer_due)
        for row in self.changes.instances.values():
            row.schedule()


def _named(operation: Operation) -> Iterator[InstanceKey]:
    if isinstance(operation, CommitActivity | ReleaseActivity):
        yield operation.task.instance
        return
    yield operation.key
    if isinstance(operation, CommitTurn):
        for child in operation.children:
            yield child.key
        for delivery in operation.outgoing:
            yield delivery.key

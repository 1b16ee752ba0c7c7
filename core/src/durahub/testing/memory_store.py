"""The store of the memory backend: rows, who owns them, and the indexes that make claims cheap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import count

from durahub.backend import (
    MOST_FORWARDED,
    ActivityTask,
    ClaimedInstance,
    CreateInstance,
    Payloads,
    Session,
)
from durahub.backend.listeners import Listeners
from durahub.backend.transitions import record_of_creation
from durahub.errors import BackendError, BackendUnavailableError, SessionFencedError
from durahub.testing.memory_index import PriorityIndex
from durahub.testing.memory_rows import InstanceRow, SessionRow, TaskRow
from durahub.types import AppId, InstanceKey, RuntimeStatus, SessionId, TaskKey


class MemoryStore:
    """One task hub in memory.

    Backends that share a store stand for several processes that share a database. Everything here is
    synchronous, so each call is atomic for the tasks of an event loop.

    Attributes:
        exists: Whether the task hub has been created.
        instances: All instances.
        tasks: All activity tasks.
        sessions: All sessions that ever were.
        listeners: Who waits for hints.
        users: How many backends have the store open.
        vacated: Applications of what was owned and is not any more, until the backend has told of it.
    """

    def __init__(self) -> None:
        self.exists = False
        self.listeners = Listeners()
        self.users = 0
        self._clear()

    def _clear(self) -> None:
        self.instances: dict[InstanceKey, InstanceRow] = {}
        self.tasks: dict[TaskKey, TaskRow] = {}
        self.sessions: dict[SessionId, SessionRow] = {}
        self.vacated: set[AppId] = set()
        self._positions = count(1)
        self._created: defaultdict[AppId, list[tuple[int, InstanceKey]]] = defaultdict(list)
        self._ended: defaultdict[
            tuple[AppId, RuntimeStatus], list[tuple[datetime, int, InstanceKey]]
        ] = defaultdict(list)
        self._wakeups: defaultdict[AppId, PriorityIndex[InstanceKey]] = defaultdict(PriorityIndex)
        self._unowned: defaultdict[AppId, PriorityIndex[TaskKey]] = defaultdict(PriorityIndex)

    def delete(self) -> None:
        """Remove the task hub with everything in it."""
        self.exists = False
        self._clear()

    # Sessions

    def register(self, session: Session, now: datetime) -> None:
        """Add a session."""
        if session.session_id in self.sessions:
            raise BackendError(f"session id {session.session_id!r} has been used before")
        self.sessions[session.session_id] = SessionRow(session=session, last_heartbeat=now)

    def living(self, session_id: SessionId) -> SessionRow:
        """Return a session that may write.

        Raises:
            SessionFencedError: It is unknown, ended or fenced.
        """
        row = self.sessions.get(session_id)
        if row is None or not row.alive:
            raise SessionFencedError(f"session {session_id!r} is not alive; start a new one")
        return row

    def owners(self, app_id: AppId, instance_id: str, task_id: int | None) -> list[SessionId]:
        """Return who of an application's sessions own its instance, or activity tasks of that name."""
        named = InstanceKey(app_id, instance_id)
        return [
            key
            for key, row in self.sessions.items()
            if row.session.app_id == app_id
            and (
                named in row.instances
                if task_id is None
                else any(
                    (t.instance.instance_id, t.task_id) == (instance_id, task_id) for t in row.tasks
                )
            )
        ]

    def forward(self, row: SessionRow, payload: bytes) -> None:
        """Keep bytes for a living session, after all that were kept for it before.

        Raises:
            BackendUnavailableError: It has too much to handle already.
        """
        if len(row.forwarded) >= MOST_FORWARDED:
            raise BackendUnavailableError(
                f"session {row.session.session_id!r} has too much to handle that was forwarded to it"
            )
        row.forwarded[next(self._positions)] = payload

    def overdue(self, now: datetime) -> tuple[SessionId, ...]:
        """Return the sessions that should be fenced."""
        return tuple(key for key, row in self.sessions.items() if row.is_overdue(now))

    def next_overdue_at(self, but: SessionId) -> datetime | None:
        """Return when the first living session but one should be fenced."""
        others = (row for key, row in self.sessions.items() if row.alive and key != but)
        return min((row.overdue_at for row in others), default=None)

    def end(self, session_id: SessionId) -> None:
        """Fence a session or let it go: it can't write any more, and what it owned is unowned."""
        row = self.sessions[session_id]
        row.alive = False
        row.forwarded.clear()
        for key in tuple(row.instances):
            self.disown(self.instances[key])
        for task in tuple(row.tasks):
            self.disown_task(self.tasks[task])

    # Instances

    def insert(self, creation: CreateInstance, now: datetime) -> None:
        """Insert an instance, in place of an ended one if there is one."""
        old = self.instances.get(creation.key)
        row = InstanceRow(
            record=record_of_creation(creation, old.record if old else None),
            payloads=Payloads(input=creation.input),
            position=next(self._positions),
            last_message_id=old.last_message_id if old else 0,
            tasks=old.tasks if old else {},
            not_before=creation.not_before,
        )
        if old is not None:
            self._unlist(old)
        row.append((creation.start,), now)
        self.instances[creation.key] = row
        insort(self._created[creation.key.app_id], (row.position, creation.key))
        self.reschedule(row)

    def remove(self, row: InstanceRow) -> None:
        """Remove every trace of an instance."""
        for task in tuple(row.tasks):
            self.remove_task(self.tasks[task])
        self.own(row, None)
        self._wakeups[row.key.app_id].discard(row.key)
        self._unlist(row)
        del self.instances[row.key]

    def _unlist(self, row: InstanceRow) -> None:
        created = self._created[row.key.app_id]
        del created[bisect_left(created, (row.position, row.key))]
        if row.record.completed_at is not None:
            ended = self._ended[row.key.app_id, row.record.status]
            del ended[bisect_left(ended, (row.record.completed_at, row.position, row.key))]

    def own(self, row: InstanceRow, owner: SessionId | None) -> None:
        """Change who owns an instance."""
        if row.owner is not None:
            del self.sessions[row.owner].instances[row.key]
            self.vacated.add(row.key.app_id)
        if owner is not None:
            self.sessions[owner].instances[row.key] = None
        row.owner = owner

    def disown(self, row: InstanceRow) -> None:
        """Make an instance claimable; due is again what was due."""
        self.own(row, None)
        self.reschedule(row)

    def reschedule(self, row: InstanceRow) -> None:
        """Bring the index up to date after a change of anything that `wake_at` depends on."""
        index = self._wakeups[row.key.app_id]
        wake_at = row.wake_at() if row.owner is None else None
        if wake_at is None:
            index.discard(row.key)
        else:
            index.put(row.key, (wake_at, row.position))

    def claim(self, session: SessionRow, row: InstanceRow, now: datetime) -> ClaimedInstance:
        """Give an unowned instance to a session."""
        self.own(row, session.session.session_id)
        self.reschedule(row)
        return row.claimed(now)

    def next_to_wake(self, app_id: AppId) -> InstanceRow | None:
        """Return the unowned instance of an application that is due first, now or later."""
        key = self._wakeups[app_id].first()
        return None if key is None else self.instances[key]

    def waking(self, app_id: AppId) -> Iterator[InstanceRow]:
        """Yield the unowned instances of an application in the order in which they become due."""
        return map(self.instances.__getitem__, self._wakeups[app_id].in_order())

    def created_after(self, app_id: AppId, position: int) -> Iterator[InstanceRow]:
        """Yield the instances of an application in order of creation, after a position."""
        created = self._created[app_id]
        for index in range(
            bisect_right(created, position, key=lambda entry: entry[0]), len(created)
        ):
            yield self.instances[created[index][1]]

    def list_end(self, row: InstanceRow) -> None:
        """Add an instance that has just ended to the index of those that have."""
        if row.record.completed_at is not None:
            ended = self._ended[row.key.app_id, row.record.status]
            insort(ended, (row.record.completed_at, row.position, row.key))

    def longest_ended(self, app_id: AppId, status: RuntimeStatus, limit: int) -> list[InstanceRow]:
        """Return the first instances of an application that ended with a status."""
        return [self.instances[key] for _, _, key in self._ended[app_id, status][:limit]]

    # Activity tasks

    def insert_task(self, task: ActivityTask) -> None:
        """Insert an activity task."""
        row = TaskRow(task=task, position=next(self._positions))
        self.tasks[task.key] = row
        self.instances[task.key.instance].tasks[task.key] = None
        self._unowned[task.app_id].put(task.key, row.position)

    def remove_task(self, row: TaskRow) -> None:
        """Remove an activity task."""
        self.disown_task(row)
        self._unowned[row.task.app_id].discard(row.task.key)
        del self.instances[row.task.key.instance].tasks[row.task.key]
        del self.tasks[row.task.key]

    def claim_task(self, session: SessionRow, row: TaskRow) -> ActivityTask:
        """Give an unowned activity task to a session."""
        row.owner = session.session.session_id
        session.tasks[row.task.key] = None
        self._unowned[row.task.app_id].discard(row.task.key)
        return row.task

    def disown_task(self, row: TaskRow) -> None:
        """Make an activity task claimable, at its old place in the order."""
        if row.owner is not None:
            del self.sessions[row.owner].tasks[row.task.key]
            row.owner = None
            self.vacated.add(row.task.app_id)
        self._unowned[row.task.app_id].put(row.task.key, row.position)

    def next_task(self, app_id: AppId) -> TaskRow | None:
        """Return the oldest unowned activity task of an application."""
        key = self._unowned[app_id].first()
        return None if key is None else self.tasks[key]

    def unowned_tasks(self, app_id: AppId) -> Iterator[TaskRow]:
        """Yield the unowned activity tasks of an application, oldest first."""
        return map(self.tasks.__getitem__, self._unowned[app_id].in_order())

    # Both

    def is_waiting(self, app_id: AppId, now: datetime) -> bool:
        """Whether there is something of an application that could be claimed, were it not for limits."""
        row = self.next_to_wake(app_id)
        return (row is not None and row.is_due(now)) or self.next_task(app_id) is not None

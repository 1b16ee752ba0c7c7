"""The operations of the memory backend. Each checks everything first and then changes everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from durahub.backend import (
    ActivityCommitted,
    ActivityTask,
    ChildrenExist,
    ClaimedInstance,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    Delivered,
    InstanceCreated,
    InstanceExists,
    InstanceMissing,
    InstanceRecord,
    NextGeneration,
    NotOwner,
    Operation,
    ParkInstance,
    Purged,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    Result,
    Room,
    TaskNotOwned,
    TurnCommitted,
)
from durahub.backend.transitions import (
    delivery_refusal,
    is_turn_of,
    occupant_of,
    payloads_after_turn,
    purge_refusal,
    record_after_parking,
    record_after_turn,
)
from durahub.testing.memory_limits import instances_along, tasks_along
from durahub.testing.memory_rows import InstanceRow, SessionRow, TaskRow
from durahub.testing.memory_store import MemoryStore
from durahub.types import AppId, InstanceKey, TaskKey

Phase = Mapping[type[Any], Callable[[Any], Result]]


class Batch:
    """One `apply`: carries out operations in the contract's order, then claims what became due.

    Attributes:
        touched: Instances that were created, delivered to, or committed; used as an ordered set.
        inserted: Activity tasks that were inserted; used as an ordered set.
        changed: Instances whose status changed; used as an ordered set.
        freed: Applications of what was given back; used as an ordered set.
        scheduled: Applications of what was created to become due later; used as an ordered set.
    """

    def __init__(self, store: MemoryStore, session: SessionRow, now: datetime) -> None:
        self._store = store
        self._session = session
        self._now = now
        self._outgoing: list[Deliver] = []
        self.touched: dict[InstanceKey, None] = {}
        self.inserted: dict[TaskKey, None] = {}
        self.changed: dict[InstanceKey, None] = {}
        self.freed: dict[AppId, None] = {}
        self.scheduled: dict[AppId, None] = {}

    def run(self, operations: Sequence[Operation]) -> tuple[Result, ...]:
        """Carry out the operations and return their results in the order of the batch."""
        results: dict[int, Result] = {}
        for phase in self.phases():
            for index, operation in enumerate(operations):
                if type(operation) in phase:
                    results[index] = phase[type(operation)](operation)
            self.send_outgoing()
        return tuple(results[index] for index in range(len(operations)))

    def phases(self) -> tuple[Phase, ...]:
        """Return what runs after what."""
        return (
            {PurgeInstance: self.purge},
            {
                ReleaseInstance: self.release,
                ParkInstance: self.park,
                ReleaseActivity: self.release_task,
            },
            {CommitTurn: self.commit_turn},
            {CreateInstance: self.create},
            {CommitActivity: self.commit_activity, Deliver: self.deliver},
        )

    def claim_instances(self, room: Room) -> tuple[ClaimedInstance, ...]:
        """Claim touched instances of the session's application that are due."""
        app_id = self._session.session.app_id
        rows = [self._store.instances[key] for key in self.touched if key.app_id == app_id]
        due = [row for row in rows if row.is_due(self._now)]
        if self._session.session.limits.instances:
            due = instances_along(self._store, self._session, due, self._now)
        return tuple(
            self._store.claim(self._session, row, self._now) for row in due[: room.instances]
        )

    def claim_tasks(self, room: Room) -> tuple[ActivityTask, ...]:
        """Claim inserted activity tasks of the session's application."""
        app_id = self._session.session.app_id
        rows = [self._store.tasks[key] for key in self.inserted]
        mine = [row for row in rows if row.task.app_id == app_id and row.owner is None]
        if self._session.session.limits.activities:
            mine = tasks_along(self._store, self._session, mine)
        return tuple(self._store.claim_task(self._session, row) for row in mine[: room.activities])

    def left_over(self) -> set[AppId]:
        """Return the applications for which the batch left something that can be claimed, now or later."""
        instances = [self._store.instances[key] for key in self.touched]
        tasks = [self._store.tasks[key] for key in self.inserted]
        return {
            *self.freed,
            *self.scheduled,
            *(row.key.app_id for row in instances if row.is_due(self._now)),
            *(row.task.app_id for row in tasks if row.owner is None),
        }

    # Creating and delivering

    def create(self, operation: CreateInstance) -> Result:
        """Carry out one creation."""
        occupant = self.occupant(operation)
        if occupant is not None:
            return InstanceExists(existing=occupant)
        self.insert(operation)
        return InstanceCreated(generation=self._store.instances[operation.key].record.generation)

    def occupant(self, creation: CreateInstance) -> InstanceRecord | None:
        """Return what is in the way of a creation."""
        row = self._store.instances.get(creation.key)
        return occupant_of(None if row is None else row.record, creation)

    def insert(self, creation: CreateInstance) -> None:
        """Insert an instance whose id is free or may be replaced."""
        self._store.insert(creation, self._now)
        self.touched[creation.key] = None
        self.changed[creation.key] = None
        if creation.not_before is not None:
            self.scheduled[creation.key.app_id] = None

    def deliver(self, operation: Deliver) -> Result:
        """Carry out one delivery."""
        row = self._store.instances.get(operation.key)
        refusal = delivery_refusal(None if row is None else row.record)
        if row is None or refusal is not None:
            return refusal or InstanceMissing()
        row.append(operation.messages, self._now)
        if operation.expedite:
            row.not_before = None
            row.woken_at = row.woken_at or self._now
        self._store.reschedule(row)
        self.touched[operation.key] = None
        return Delivered()

    def send_outgoing(self) -> None:
        """Deliver what turns sent; a receiver that is missing or has ended makes it disappear."""
        for delivery in self._outgoing:
            self.deliver(delivery)
        self._outgoing.clear()

    # Turns

    def commit_turn(self, operation: CommitTurn) -> Result:
        """Carry out one turn."""
        row = self.owned(operation.key)
        if row is None or not is_turn_of(row.record, operation):
            return NotOwner()
        occupants = [self.occupant(child) for child in operation.children]
        if any(occupants):
            return ChildrenExist(existing=tuple(one for one in occupants if one is not None))
        self.write_turn(row, operation)
        return TurnCommitted(revision=row.record.revision)

    def owned(self, key: InstanceKey) -> InstanceRow | None:
        """Return an instance if the session owns it."""
        row = self._store.instances.get(key)
        return row if row and row.owner == self._session.session.session_id else None

    def write_turn(self, row: InstanceRow, turn: CommitTurn) -> None:
        """Write everything that a turn decided."""
        if row.record.status is not turn.status:
            self.changed[row.key] = None
        self.take_over(row, turn)
        self.take_away(row, turn)
        if turn.next_generation is None:
            self.append_history(row, turn.history)
        else:
            self.start_generation(row, turn.next_generation)
        self.insert_timers(row, turn)
        self.insert_tasks(turn)
        for child in turn.children:
            self.insert(child)
        self._outgoing += turn.outgoing
        if turn.status.is_terminal:
            self.end(row)
        self._store.disown(row)
        self.touched[row.key] = None

    def take_over(self, row: InstanceRow, turn: CommitTurn) -> None:
        """Write the record and the payloads."""
        row.record = record_after_turn(row.record, turn)
        row.payloads = payloads_after_turn(row.payloads, turn)
        row.not_before = None
        row.woken_at = None

    def take_away(self, row: InstanceRow, turn: CommitTurn) -> None:
        """Remove consumed messages and timers."""
        for message_id in turn.consumed:
            row.inbox.pop(message_id, None)
        for timer_id in turn.removed_timers:
            row.timers.pop(timer_id, None)

    def append_history(self, row: InstanceRow, events: Sequence[bytes]) -> None:
        """Append events."""
        row.history += events

    def start_generation(self, row: InstanceRow, following: NextGeneration) -> None:
        """Begin the next generation; waiting messages stay for it."""
        row.history.clear()
        row.timers.clear()
        row.put_first(following.start, self._now)

    def insert_timers(self, row: InstanceRow, turn: CommitTurn) -> None:
        """Insert timers."""
        for timer in turn.timers:
            row.timers[timer.timer_id] = timer

    def insert_tasks(self, turn: CommitTurn) -> None:
        """Insert the activity tasks that are not there yet."""
        for task in turn.activities:
            if task.key not in self._store.tasks:
                self._store.insert_task(task)
                self.inserted[task.key] = None

    def end(self, row: InstanceRow) -> None:
        """Remove what a finished instance can't use any more; activity tasks still run."""
        row.inbox.clear()
        row.timers.clear()
        self._store.list_end(row)

    # Giving back

    def release(self, operation: ReleaseInstance) -> Result:
        """Carry out one release."""
        row = self.owned(operation.key)
        if row is None:
            return NotOwner()
        if operation.not_before is not None:
            row.not_before = operation.not_before
        self._store.disown(row)
        self.freed[row.key.app_id] = None
        return Released()

    def park(self, operation: ParkInstance) -> Result:
        """Carry out one parking."""
        row = self.owned(operation.key)
        if row is None:
            return NotOwner()
        row.record = record_after_parking(row.record, operation)
        self.append_history(row, operation.history)
        row.not_before = None
        row.woken_at = None
        self._store.disown(row)
        self.changed[row.key] = None
        return Released()

    # Activity tasks

    def owned_task(self, key: TaskKey) -> TaskRow | None:
        """Return an activity task if the session owns it."""
        row = self._store.tasks.get(key)
        return row if row and row.owner == self._session.session.session_id else None

    def release_task(self, operation: ReleaseActivity) -> Result:
        """Carry out one release of an activity task."""
        row = self.owned_task(operation.task)
        if row is None:
            return TaskNotOwned()
        self._store.disown_task(row)
        self.freed[row.task.app_id] = None
        return Released()

    def commit_activity(self, operation: CommitActivity) -> Result:
        """Carry out one activity result."""
        row = self.owned_task(operation.task)
        if row is None:
            return TaskNotOwned()
        self._store.remove_task(row)
        key, execution_id, _ = operation.task
        if self._store.instances[key].record.execution_id == execution_id:
            self.deliver(Deliver(key=key, messages=(operation.result,)))
        return ActivityCommitted()

    # Purging

    def purge(self, operation: PurgeInstance) -> Result:
        """Carry out one purge."""
        row = self._store.instances.get(operation.key)
        refusal = purge_refusal(None if row is None else row.record, operation)
        if row is None or refusal is not None:
            return refusal or InstanceMissing()
        self._store.remove(row)
        self.changed[operation.key] = None
        return Purged()

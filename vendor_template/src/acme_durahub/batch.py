"""One `apply`: operations in the contract's order. Each checks everything first, then changes everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from durahub.backend import (
    ActivityCommitted,
    ChildrenExist,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    Delivered,
    InstanceCreated,
    InstanceEnded,
    InstanceExists,
    InstanceMissing,
    InstanceNotEnded,
    InstanceRecord,
    NextGeneration,
    NotOwner,
    Operation,
    ParkInstance,
    Payloads,
    Purged,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    Result,
    Session,
    TaskNotOwned,
    TurnCommitted,
)
from durahub.types import InstanceKey, RuntimeStatus, TaskKey

from acme_durahub import keys
from acme_durahub.hub import Hub
from acme_durahub.rows import InstanceRow, TaskRow

PHASES: tuple[tuple[type[Operation], ...], ...] = (
    (PurgeInstance,),
    (ReleaseInstance, ParkInstance, ReleaseActivity),
    (CommitTurn,),
    (CreateInstance,),
    (CommitActivity, Deliver),
)
"""What runs after what, whatever the order in the batch."""


class Batch:
    """Carries out operations for a session.

    Attributes:
        touched: Instances that were created, delivered to, or committed; used as an ordered set.
        inserted: Activity tasks that were inserted; used as an ordered set.
    """

    def __init__(self, hub: Hub, session: Session) -> None:
        self._hub = hub
        self._owner = session.session_id
        self._outgoing: list[Deliver] = []
        self.touched: dict[InstanceKey, None] = {}
        self.inserted: dict[TaskKey, None] = {}

    def run(self, operations: Sequence[Operation]) -> tuple[Result, ...]:
        """Carry out the operations, and return their results in the order of the batch."""
        results: dict[int, Result] = {}
        for phase in PHASES:
            for index, operation in enumerate(operations):
                if isinstance(operation, phase):
                    results[index] = self._carry_out(operation)
            # Of turns, after all of them: a receiver may itself commit a turn in this batch.
            for delivery in self._outgoing:
                self._deliver(delivery)
            self._outgoing.clear()
        return tuple(results[index] for index in range(len(operations)))

    def _carry_out(self, operation: Operation) -> Result:  # noqa: PLR0911 - one per kind
        match operation:
            case PurgeInstance():
                return self._purge(operation)
            case ReleaseInstance():
                return self._release(operation)
            case ParkInstance():
                return self._park(operation)
            case ReleaseActivity():
                return self._release_activity(operation)
            case CommitTurn():
                return self._commit_turn(operation)
            case CreateInstance():
                return self._create(operation)
            case CommitActivity():
                return self._commit_activity(operation)
            case Deliver():
                return self._deliver(operation)
            case _:
                assert_never(operation)

    # Creating, delivering, purging

    def _create(self, operation: CreateInstance) -> Result:
        occupant = self._occupant(operation)
        if occupant is not None:
            return InstanceExists(existing=occupant)
        return InstanceCreated(generation=self._insert(operation).generation)

    def _occupant(self, creation: CreateInstance) -> InstanceRecord | None:
        record = self._hub.record(creation.key)
        if record is None:
            return None
        is_replaceable = record.status.is_terminal and record.revision == creation.replaces
        return None if is_replaceable else record

    def _insert(self, creation: CreateInstance) -> InstanceRecord:
        old = self._hub.row(creation.key)
        row = InstanceRow(
            record=_new_record(creation, None if old is None else old.record),
            position=self._hub.next_position(),
            last_message_id=0 if old is None else old.last_message_id,
            not_before=creation.not_before,
        )
        self._clear_history(creation.key)
        self._hub.put_payloads(creation.key, Payloads(input=creation.input))
        self._hub.append(row, (creation.start,))
        self._hub.save(row)
        self.touched[creation.key] = None
        return row.record

    def _deliver(self, operation: Deliver) -> Result:
        row = self._hub.row(operation.key)
        if row is None:
            return InstanceMissing()
        if row.record.status.is_terminal:
            return InstanceEnded(status=row.record.status)
        self._hub.append(row, operation.messages)
        if operation.expedite:
            row.not_before = None
            row.woken_at = row.woken_at or self._hub.now
        self._hub.save(row)
        self.touched[operation.key] = None
        return Delivered()

    def _purge(self, operation: PurgeInstance) -> Result:
        record = self._hub.record(operation.key)
        if record is None or operation.execution_id not in {None, record.execution_id}:
            return InstanceMissing()
        if not (record.status.is_terminal or operation.force):
            return InstanceNotEnded(status=record.status)
        self._hub.remove(operation.key)
        return Purged()

    # Turns

    def _commit_turn(self, turn: CommitTurn) -> Result:
        row = self._owned(turn.key)
        expected = (turn.execution_id, turn.revision)
        if row is None or (row.record.execution_id, row.record.revision) != expected:
            return NotOwner()
        occupants = [self._occupant(child) for child in turn.children]
        if any(occupants):
            return ChildrenExist(existing=tuple(one for one in occupants if one is not None))
        self._write_turn(row, turn)
        return TurnCommitted(revision=row.record.revision)

    def _owned(self, key: InstanceKey) -> InstanceRow | None:
        row = self._hub.row(key)
        return row if row is not None and row.owner == self._owner else None

    def _write_turn(self, row: InstanceRow, turn: CommitTurn) -> None:
        self._take_over(row, turn)
        self._take_away(turn)
        if turn.next_generation is None:
            self._append_history(row, turn.history)
        else:
            self._start_generation(row, turn.next_generation)
        address = keys.instance_address(turn.key)
        for timer in turn.timers:
            place = keys.moment(timer.due_at) + keys.number(timer.timer_id)
            self._hub.txn.put(keys.TIMERS + address + place, timer.payload)
        for task in turn.activities:
            if self._hub.task(task.key) is None:
                self._hub.insert_task(task)
                self.inserted[task.key] = None
        for child in turn.children:
            self._insert(child)
        self._outgoing += turn.outgoing
        if turn.status.is_terminal:
            # What it can't use any more; its activity tasks still run.
            self._hub.txn.clear(keys.INBOX + address)
            self._hub.txn.clear(keys.TIMERS + address)
        self._hub.save(row)
        self.touched[turn.key] = None

    def _take_over(self, row: InstanceRow, turn: CommitTurn) -> None:
        row.record = replace(
            row.record,
            status=turn.status,
            last_updated_at=turn.updated_at,
            started_at=turn.started_at,
            completed_at=turn.completed_at,
            revision=row.record.revision + 1,
            parked_reason=None,
        )
        row.owner = row.not_before = row.woken_at = None
        payloads = replace(
            self._hub.payloads(turn.key),
            output=turn.output,
            custom_status=turn.custom_status,
            failure=turn.failure,
        )
        self._hub.put_payloads(turn.key, payloads)

    def _take_away(self, turn: CommitTurn) -> None:
        inbox = keys.INBOX + keys.instance_address(turn.key)
        for message_id in turn.consumed:
            self._hub.txn.delete(inbox + keys.number(message_id))
        # A new timer replaces one of the same id, which may be due at another moment.
        outdated = {*turn.removed_timers, *(timer.timer_id for timer in turn.timers)}
        if outdated:
            for place, timer in self._hub.timers(turn.key):
                if timer.timer_id in outdated:
                    self._hub.txn.delete(place)

    def _append_history(self, row: InstanceRow, events: Sequence[bytes]) -> None:
        length = row.record.history_length
        history = keys.HISTORY + keys.instance_address(row.key)
        for index, event in enumerate(events, length):
            self._hub.txn.put(history + keys.number(index), event)
        row.record = replace(row.record, history_length=length + len(events))

    def _start_generation(self, row: InstanceRow, following: NextGeneration) -> None:
        self._clear_history(row.key)
        self._hub.txn.clear(keys.TIMERS + keys.instance_address(row.key))
        # Below every accepted message, and a generation has one start.
        self._hub.put_message(row.key, -row.record.generation, following.start)
        row.record = replace(
            row.record,
            execution_id=following.execution_id,
            generation=row.record.generation + 1,
            history_length=0,
        )
        payloads = self._hub.payloads(row.key)
        self._hub.put_payloads(row.key, replace(payloads, input=following.input))

    def _clear_history(self, key: InstanceKey) -> None:
        self._hub.txn.clear(keys.HISTORY + keys.instance_address(key))

    # Giving back

    def _release(self, operation: ReleaseInstance) -> Result:
        row = self._owned(operation.key)
        if row is None:
            return NotOwner()
        row.owner = None
        row.not_before = operation.not_before or row.not_before
        self._hub.save(row)
        return Released()

    def _park(self, operation: ParkInstance) -> Result:
        row = self._owned(operation.key)
        if row is None:
            return NotOwner()
        row.record = replace(
            row.record,
            status=RuntimeStatus.STALLED,
            parked_reason=operation.reason,
            last_updated_at=operation.updated_at,
            revision=row.record.revision + 1,
        )
        self._append_history(row, operation.history)
        row.owner = row.not_before = row.woken_at = None
        self._hub.save(row)
        return Released()

    # Activity tasks

    def _owned_task(self, key: TaskKey) -> TaskRow | None:
        row = self._hub.task(key)
        return row if row is not None and row.owner == self._owner else None

    def _release_activity(self, operation: ReleaseActivity) -> Result:
        row = self._owned_task(operation.task)
        if row is None:
            return TaskNotOwned()
        self._hub.own_task(row, None)
        return Released()

    def _commit_activity(self, operation: CommitActivity) -> Result:
        task = self._owned_task(operation.task)
        if task is None:
            return TaskNotOwned()
        self._hub.remove_task(task)
        instance = self._hub.row(operation.task.instance)
        if instance and instance.record.execution_id == operation.task.execution_id:
            self._deliver(Deliver(key=instance.key, messages=(operation.result,)))
        return ActivityCommitted()


def _new_record(creation: CreateInstance, old: InstanceRecord | None) -> InstanceRecord:
    return InstanceRecord(
        key=creation.key,
        name=creation.name,
        version=creation.version,
        execution_id=creation.execution_id,
        generation=1 if old is None else old.generation + 1,
        created_at=creation.created_at,
        last_updated_at=creation.created_at,
        scheduled_start_at=creation.not_before,
        parent=creation.parent,
        tags=dict(creation.tags),
        revision=0 if old is None else old.revision + 1,
    )

"""The task hub in one transaction: documents, and the indexes that follow from them.

An index entry is only a way to find a document; the document decides. So an entry that was left behind,
when a damaged document was purged by force, is passed over and harms nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from durahub.backend import (
    MESSAGES_PER_CLAIM,
    ActivityTask,
    ClaimedInstance,
    InstanceRecord,
    Message,
    Payloads,
    StoredMessage,
    Timer,
)
from durahub.clock import END_OF_TIME, EPOCH
from durahub.errors import BackendCorruptionError
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, SessionId, TaskKey

from acme_durahub import keys, rows
from acme_durahub.kv import Transaction
from acme_durahub.rows import InstanceEntry, InstanceRow, TaskEntry, TaskRow


class Hub:
    """Everything that is stored, as one transaction sees and changes it.

    Attributes:
        txn: The transaction.
        now: The machine's clock. All processes that share the file run on the machine.
    """

    def __init__(self, txn: Transaction, now: datetime) -> None:
        self.txn = txn
        self.now = now
        self._rows: dict[InstanceKey, InstanceRow] = {}
        self._indexed: dict[InstanceKey, set[bytes]] = {}

    # Instances

    def row(self, key: InstanceKey) -> InstanceRow | None:
        """Return an instance, the same object each time; None if there is none.

        Raises:
            BackendCorruptionError: Its document does not decode.
        """
        if key not in self._rows:
            stored = self.txn.get(keys.INSTANCES + keys.instance_address(key))
            if stored is None:
                return None
            self._rows[key] = rows.INSTANCE.decode(stored)
            self._indexed[key] = set(self._rows[key].index_keys())
        return self._rows[key]

    def record(self, key: InstanceKey) -> InstanceRecord | None:
        """Return an instance's record, or what is left to show of one that does not decode."""
        try:
            row = self.row(key)
        except BackendCorruptionError as error:
            return _damaged(key, str(error))
        return None if row is None else row.record

    def save(self, row: InstanceRow) -> None:
        """Write an instance's document, and bring the indexes up to date."""
        row.wake_at = self._wake_at(row)
        before, after = self._indexed.get(row.key, set()), set(row.index_keys())
        entry = rows.INSTANCE_ENTRY.encode(InstanceEntry(key=row.key, name=row.record.name))
        for key in before - after:
            self.txn.delete(key)
        for key in after - before:
            self.txn.put(key, entry)
        self.txn.put(keys.INSTANCES + keys.instance_address(row.key), rows.INSTANCE.encode(row))
        self._rows[row.key], self._indexed[row.key] = row, after

    def remove(self, key: InstanceKey) -> None:
        """Remove every trace of an instance; of a damaged one as much as can be found."""
        for _, task in self._tasks_of(key):
            self.remove_task(task)
        for index_key in self._indexed.pop(key, ()):
            self.txn.delete(index_key)
        self._rows.pop(key, None)
        address = keys.instance_address(key)
        for table in (keys.HISTORY, keys.INBOX, keys.TIMERS, keys.TASKS):
            self.txn.clear(table + address)
        for table in (keys.INSTANCES, keys.PAYLOADS):
            self.txn.delete(table + address)

    def follow(self, index_key: bytes, entry: bytes) -> InstanceRow | None:
        """Return the instance to which an index entry leads; None if that is damaged or has moved on."""
        try:
            row = self.row(rows.INSTANCE_ENTRY.decode(entry).key)
        except BackendCorruptionError:
            return None
        return row if row is not None and index_key in row.index_keys() else None

    def due(self, app_id: AppId) -> Iterator[tuple[datetime, InstanceRow]]:
        """Yield an application's unowned instances with their wake-up times, longest due first."""
        prefix = keys.DUE + keys.digest(app_id)
        for rest, entry in self.txn.scan(prefix):
            row = self.follow(prefix + rest, entry)
            if row is not None:
                yield keys.read_moment(rest), row

    def is_due(self, row: InstanceRow) -> bool:
        """Whether an instance can be claimed: its moment has come and nobody owns it."""
        return row.owner is None and row.wake_at is not None and row.wake_at <= self.now

    def claim(self, row: InstanceRow, owner: SessionId) -> ClaimedInstance:
        """Give an unowned instance to a session, with what waits for it."""
        row.owner = owner
        self.save(row)
        due = (timer for _, timer in self.timers(row.key) if timer.due_at <= self.now)
        return ClaimedInstance(
            record=row.record,
            messages=tuple(islice(self.inbox(row.key), MESSAGES_PER_CLAIM)),
            timers=tuple(islice(due, MESSAGES_PER_CLAIM)),
        )

    def next_position(self) -> int:
        """Return a number that is greater than all before it, in the whole store."""
        last = self.txn.get(keys.COUNTER)
        position = 1 if last is None else next(keys.read_numbers(last)) + 1
        self.txn.put(keys.COUNTER, keys.number(position))
        return position

    # What belongs to an instance

    def append(self, row: InstanceRow, messages: Iterable[Message]) -> None:
        """Put messages at the end of an inbox; the row is to be saved after it."""
        for message in messages:
            row.last_message_id += 1
            self.put_message(row.key, row.last_message_id, message)

    def put_message(self, key: InstanceKey, message_id: int, message: Message) -> None:
        """Put a message where its id belongs in an inbox."""
        stored = StoredMessage(message_id=message_id, message=message, accepted_at=self.now)
        place = keys.INBOX + keys.instance_address(key) + keys.number(message_id)
        self.txn.put(place, rows.MESSAGE.encode(stored))

    def inbox(self, key: InstanceKey) -> Iterator[StoredMessage]:
        """Yield the waiting messages in the order of their ids."""
        for _, stored in self.txn.scan(keys.INBOX + keys.instance_address(key)):
            yield rows.MESSAGE.decode(stored)

    def timers(self, key: InstanceKey) -> Iterator[tuple[bytes, Timer]]:
        """Yield the timers in the order of their moments, with their places."""
        prefix = keys.TIMERS + keys.instance_address(key)
        for rest, payload in self.txn.scan(prefix):
            _, timer_id = keys.read_numbers(rest)
            due_at = keys.read_moment(rest)
            yield prefix + rest, Timer(timer_id=timer_id, due_at=due_at, payload=payload)

    def payloads(self, key: InstanceKey) -> Payloads:
        """Return the payloads of an instance that exists."""
        stored = self.txn.get(keys.PAYLOADS + keys.instance_address(key))
        if stored is None:
            raise BackendCorruptionError(f"{key} has lost its payloads")
        return rows.PAYLOADS.decode(stored)

    def put_payloads(self, key: InstanceKey, payloads: Payloads) -> None:
        """Write the payloads of an instance."""
        self.txn.put(keys.PAYLOADS + keys.instance_address(key), rows.PAYLOADS.encode(payloads))

    def _wake_at(self, row: InstanceRow) -> datetime | None:
        reasons = [] if row.woken_at is None else [row.woken_at]
        if row.record.parked_reason is None:
            reasons += [message.accepted_at for message in islice(self.inbox(row.key), 1)]
            reasons += [timer.due_at for _, timer in islice(self.timers(row.key), 1)]
        if not reasons:
            return None
        moment = max(min(reasons), row.not_before or min(reasons))
        return None if moment >= END_OF_TIME else moment

    # Activity tasks

    def task(self, key: TaskKey) -> TaskRow | None:
        """Return an activity task, if there is one."""
        stored = self.txn.get(keys.TASKS + keys.task_address(key))
        return None if stored is None else rows.TASK.decode(stored)

    def insert_task(self, task: ActivityTask) -> None:
        """Insert an activity task, unowned."""
        self._put_task(TaskRow(task=task, position=self.next_position()))

    def own_task(self, row: TaskRow, owner: SessionId | None) -> ActivityTask:
        """Change who owns an activity task, and return it; unowned, it has its old place in the order."""
        self.txn.delete(row.index_key())
        row.owner = owner
        self._put_task(row)
        return row.task

    def remove_task(self, row: TaskRow) -> None:
        """Remove an activity task."""
        self.txn.delete(row.index_key())
        self.txn.delete(keys.TASKS + keys.task_address(row.task.key))

    def waiting_tasks(self, app_id: AppId) -> Iterator[TaskRow]:
        """Yield the unowned activity tasks of an application, oldest first."""
        prefix = keys.WAITING + keys.digest(app_id)
        for rest, entry in self.txn.scan(prefix):
            row = self.follow_task(prefix + rest, entry)
            if row is not None:
                yield row

    def follow_task(self, index_key: bytes, entry: bytes) -> TaskRow | None:
        """Return the task to which an index entry leads; None if that is damaged or has moved on."""
        try:
            row = self.task(rows.TASK_ENTRY.decode(entry).key)
        except BackendCorruptionError:
            return None
        return row if row is not None and row.index_key() == index_key else None

    def _put_task(self, row: TaskRow) -> None:
        entry = TaskEntry(key=row.task.key, name=row.task.name)
        self.txn.put(row.index_key(), rows.TASK_ENTRY.encode(entry))
        self.txn.put(keys.TASKS + keys.task_address(row.task.key), rows.TASK.encode(row))

    def _tasks_of(self, key: InstanceKey) -> Iterator[tuple[bytes, TaskRow]]:
        prefix = keys.TASKS + keys.instance_address(key)
        for rest, stored in self.txn.scan(prefix):
            try:
                yield rest, rows.TASK.decode(stored)
            except BackendCorruptionError:
                continue


def _damaged(key: InstanceKey, reason: str) -> InstanceRecord:
    return InstanceRecord(
        key=key,
        name="",
        execution_id=ExecutionId(""),
        status=RuntimeStatus.STALLED,
        created_at=EPOCH,
        last_updated_at=EPOCH,
        parked_reason=reason,
    )

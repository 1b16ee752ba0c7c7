"""Messages on their way into inboxes: deliveries, results of activities, what turns send."""

from __future__ import annotations

from durahub.backend import (
    ActivityCommitted,
    CommitActivity,
    Deliver,
    Delivered,
    InstanceEnded,
    InstanceMissing,
    Message,
    ReleaseActivity,
    Released,
    Result,
    TaskNotOwned,
)
from durahub.types import RuntimeStatus

from durahub_sqlite.batch import Batch
from durahub_sqlite.rows import InstanceRow


def deliver(batch: Batch, operation: Deliver) -> Result:
    """Append messages to the inbox of an instance that has not ended."""
    row = batch.instances.get(operation.key)
    if row is None:
        return InstanceMissing()
    if row.is_ended:
        return InstanceEnded(status=RuntimeStatus(row.status))
    for message in operation.messages:
        append(batch, row, message)
    if operation.expedite:
        row.not_before = None
        row.wait_since(batch.now)
    batch.touch(row)
    return Delivered()


def append(batch: Batch, row: InstanceRow, message: Message) -> None:
    """Append one message to the inbox of an instance; a parked one does not wake up by it."""
    row.last_message += 1
    _put(batch, row, row.last_message, message)


def put_first(batch: Batch, row: InstanceRow, message: Message) -> None:
    """Put the start of a new generation before everything in the inbox."""
    # Below the number of every accepted message, and a generation has one start.
    _put(batch, row, -row.generation, message)


def _put(batch: Batch, row: InstanceRow, number: int, message: Message) -> None:
    batch.changes.messages.append(
        (row.instance, number, message.payload, message.execution_id, batch.now)
    )
    if row.parked_reason is None:
        row.wait_since(batch.now)


def commit_activity(batch: Batch, operation: CommitActivity) -> Result:
    """Replace an activity task by its result, or only remove it if its run is over."""
    activity = batch.owned_activity(operation.task)
    if activity is None:
        return TaskNotOwned()
    del batch.activities[operation.task]
    batch.changes.activities_removed.append(activity.activity)
    row = batch.instances[operation.task.instance]
    if row.execution_id == operation.task.execution_id:
        deliver(batch, Deliver(key=row.key, messages=(operation.result,)))
    return ActivityCommitted()


def release_activity(batch: Batch, operation: ReleaseActivity) -> Result:
    """Give an activity task back."""
    activity = batch.owned_activity(operation.task)
    if activity is None:
        return TaskNotOwned()
    activity.owner = None
    batch.changes.activities_freed.append(activity.activity)
    return Released()


def send_outgoing(batch: Batch) -> None:
    """Deliver what turns sent; without a receiver it disappears."""
    for delivery in batch.outgoing:
        deliver(batch, delivery)

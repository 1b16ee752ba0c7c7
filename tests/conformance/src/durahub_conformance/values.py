"""The values that tests write: everything a test does not care about is filled in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from durahub.backend import (
    ActivityTask,
    ClaimedInstance,
    CommitTurn,
    CreateInstance,
    Deliver,
    Message,
    NextGeneration,
    Timer,
)
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, TaskKey

APP = AppId("app")
OTHER_APP = AppId("other-app")

CREATED_AT = datetime(2023, 4, 5, 6, 7, 8, 901234, tzinfo=UTC)
"""The creation time of instances; not the store's time on purpose."""

UPDATED_AT = CREATED_AT + timedelta(days=1, microseconds=1)


def key(instance_id: str, app_id: AppId = APP) -> InstanceKey:
    """Return the key of an instance."""
    return InstanceKey(app_id, instance_id)


def message(text: str) -> Message:
    """Return a message for whichever generation runs."""
    return Message(payload=text.encode())


def creation(instance_id: str, **fields: Any) -> CreateInstance:
    """Return a creation."""
    plain = CreateInstance(
        key=key(instance_id),
        name="workflow",
        execution_id=ExecutionId(f"{instance_id}/1"),
        created_at=CREATED_AT,
        start=message("start"),
    )
    return replace(plain, **fields)


def delivery(instance_id: str, *texts: str, **fields: Any) -> Deliver:
    """Return a delivery of messages."""
    plain = Deliver(key=key(instance_id), messages=tuple(message(text) for text in texts))
    return replace(plain, **fields)


def turn(claimed: ClaimedInstance, **fields: Any) -> CommitTurn:
    """Return a turn that takes in everything that was claimed, and keeps the instance running."""
    plain = CommitTurn(
        key=claimed.record.key,
        execution_id=claimed.record.execution_id,
        revision=claimed.record.revision,
        status=RuntimeStatus.RUNNING,
        updated_at=UPDATED_AT,
        consumed=tuple(stored.message_id for stored in claimed.messages),
        removed_timers=tuple(timer.timer_id for timer in claimed.timers),
        history=(b"turn",),
    )
    return replace(plain, **fields)


def last_turn(claimed: ClaimedInstance, **fields: Any) -> CommitTurn:
    """Return a turn that completes the instance."""
    plain = turn(claimed, status=RuntimeStatus.COMPLETED, completed_at=UPDATED_AT, output="done")
    return replace(plain, **fields)


def continuation(claimed: ClaimedInstance, **fields: Any) -> CommitTurn:
    """Return a turn that continues as new."""
    record = claimed.record
    following = NextGeneration(
        execution_id=ExecutionId(f"{record.key.instance_id}/{record.generation + 1}"),
        input="again",
        start=message("start again"),
    )
    return turn(claimed, history=(), next_generation=following, **fields)


def timer(timer_id: int, due_at: datetime) -> Timer:
    """Return a timer."""
    return Timer(timer_id=timer_id, due_at=due_at, payload=b"timer %d" % timer_id)


def task(claimed: ClaimedInstance, task_id: int, **fields: Any) -> ActivityTask:
    """Return an activity task of the claimed generation."""
    record = claimed.record
    plain = ActivityTask(
        key=TaskKey(record.key, record.execution_id, task_id),
        app_id=APP,
        name="activity",
        payload=b"task %d" % task_id,
    )
    return replace(plain, **fields)


def texts(claimed: ClaimedInstance) -> list[str]:
    """Return the messages of a claim as texts."""
    return [stored.message.payload.decode() for stored in claimed.messages]


def keys(claims: Iterable[ClaimedInstance]) -> list[InstanceKey]:
    """Return what was claimed."""
    return [claimed.record.key for claimed in claims]

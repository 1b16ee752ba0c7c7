"""What the tests of the bundled backends share: values, and a backend that is ready for work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from durahub.backend import (
    NO_LIMITS,
    ActivityTask,
    Applied,
    Backend,
    ClaimedInstance,
    ClaimLimits,
    CommitTurn,
    CreateInstance,
    Deliver,
    Message,
    Operation,
    Room,
    Session,
    Timer,
)
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, SessionId, TaskKey

B = TypeVar("B", bound=Backend)

APP = AppId("app")
CREATED_AT = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
SESSION = SessionId("session-1")
ROOM = Room(instances=1000, activities=1000)


class Make:
    """Values for tests; what a test does not care about is filled in."""

    app = APP
    session = SESSION
    room = ROOM
    created_at = CREATED_AT

    @staticmethod
    def key(instance_id: str, app_id: str = APP) -> InstanceKey:
        return InstanceKey(AppId(app_id), instance_id)

    @staticmethod
    def registration(
        session_id: str = SESSION,
        app_id: AppId = APP,
        life_s: float = 30,
        limits: ClaimLimits = NO_LIMITS,
    ) -> Session:
        return Session(
            session_id=SessionId(session_id),
            app_id=app_id,
            time_to_live=timedelta(seconds=life_s),
            holder="test",
            limits=limits,
        )

    @classmethod
    def creation(cls, instance_id: str, **fields: Any) -> CreateInstance:
        plain = CreateInstance(
            key=cls.key(instance_id),
            name="flow",
            execution_id=ExecutionId(f"{instance_id}/1"),
            created_at=CREATED_AT,
            start=Message(payload=b"start"),
        )
        return replace(plain, **fields)

    @classmethod
    def delivery(cls, instance_id: str, *payloads: bytes, **fields: Any) -> Deliver:
        messages = tuple(Message(payload=payload) for payload in payloads)
        return Deliver(key=cls.key(instance_id), messages=messages, **fields)

    @staticmethod
    def turn(claimed: ClaimedInstance, **fields: Any) -> CommitTurn:
        plain = CommitTurn(
            key=claimed.record.key,
            execution_id=claimed.record.execution_id,
            revision=claimed.record.revision,
            status=RuntimeStatus.RUNNING,
            updated_at=CREATED_AT + timedelta(seconds=1),
            consumed=tuple(stored.message_id for stored in claimed.messages),
            removed_timers=tuple(timer.timer_id for timer in claimed.timers),
            history=(b"event",),
        )
        return replace(plain, **fields)

    @staticmethod
    def task(
        claimed: ClaimedInstance, task_id: int, app_id: AppId = APP, name: str = "activity"
    ) -> ActivityTask:
        return ActivityTask(
            key=TaskKey(claimed.record.key, claimed.record.execution_id, task_id),
            app_id=app_id,
            name=name,
            payload=b"task",
        )

    @staticmethod
    def timer(timer_id: int, due_at: datetime) -> Timer:
        return Timer(timer_id=timer_id, due_at=due_at, payload=b"timer")


class Hub(Generic[B]):
    """An open backend with a task hub and a session."""

    def __init__(self, backend: B) -> None:
        self.backend = backend

    async def apply(self, *operations: Operation, room: Room = ROOM) -> Applied:
        return await self.backend.apply(SESSION, operations, room)

    async def start(self, *operations: Operation) -> tuple[ClaimedInstance, ...]:
        """Apply, and return what was claimed along with it."""
        return (await self.apply(*operations)).instances

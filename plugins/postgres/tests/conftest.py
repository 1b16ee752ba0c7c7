from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from durahub.backend import (
    ActivityTask,
    Applied,
    BackendServices,
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
from durahub.clock import SystemClock
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, SessionId, TaskKey
from durahub_postgres import PostgresBackend, PostgresSettings

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
        limits: ClaimLimits | None = None,
    ) -> Session:
        return Session(
            session_id=SessionId(session_id),
            app_id=app_id,
            time_to_live=timedelta(seconds=life_s),
            holder="test",
            limits=limits or ClaimLimits(),
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


class Hub:
    """An open backend with a task hub and a session, and a connection past it."""

    def __init__(self, backend: PostgresBackend, schema: str, sql: asyncpg.Connection[Any]) -> None:
        self.backend = backend
        self.schema = schema
        self.sql = sql

    async def apply(self, *operations: Operation, room: Room = ROOM) -> Applied:
        return await self.backend.apply(SESSION, operations, room)

    async def start(self, *operations: Operation) -> tuple[ClaimedInstance, ...]:
        """Apply, and return what was claimed along with it."""
        return (await self.apply(*operations)).instances


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def services() -> BackendServices:
    return BackendServices(clock=SystemClock())


@pytest.fixture
def url_of(postgres_url: str) -> Callable[..., str]:
    """Returns the URL of the server with another role, or another database, in it."""

    def url(*, role: str = "", password: str = "secret", database: str = "") -> str:
        parts = urlsplit(postgres_url)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(
            netloc=f"{role}:{password}@{host}" if role else parts.netloc,
            path=f"/{database}" if database else parts.path,
        ).geturl()

    return url


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def schema(sql: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A name for a task hub, which is dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    await sql.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def settings(postgres_url: str, schema: str) -> Callable[..., PostgresSettings]:
    def new(**fields: Any) -> PostgresSettings:
        plain = {"connectionString": postgres_url, "schema": schema, "poolSize": 4}
        return PostgresSettings.model_validate(plain | fields)

    return new


@pytest.fixture
async def new_backend(
    settings: Callable[..., PostgresSettings], services: BackendServices
) -> AsyncIterator[Callable[..., Any]]:
    """Opens backends, by default on one task hub; they are closed at the end."""
    made: list[PostgresBackend] = []

    async def new(**fields: Any) -> PostgresBackend:
        backend = PostgresBackend(settings(**fields))
        await backend.open(services)
        made.append(backend)
        return backend

    yield new
    for backend in made:
        await backend.close()


@pytest.fixture
async def hub(new_backend: Callable[..., Any], schema: str, sql: asyncpg.Connection[Any]) -> Hub:
    backend = await new_backend()
    await backend.create_hub()
    await backend.register(Make.registration())
    await sql.execute(f"SET search_path = {schema}")
    return Hub(backend, schema, sql)

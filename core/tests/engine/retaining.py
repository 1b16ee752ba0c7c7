"""Policies of retention, and instances that ended before anybody looked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from durahub.backend import (
    BackendServices,
    CommitTurn,
    CreateInstance,
    Message,
    PurgeInstance,
    Room,
    Session,
)
from durahub.clock import SystemClock
from durahub.engine import Engine, RetentionPolicy
from durahub.testing import MemoryStore
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus, SessionId

from .hub import WatchedBackend
from .making import APP

HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)
MICROSECOND = timedelta(microseconds=1)


def keep(any_terminal: timedelta | None = None, **periods: timedelta) -> RetentionPolicy:
    return RetentionPolicy.most_specific(any_terminal=any_terminal, **periods)


async def seed(
    store: MemoryStore,
    *ids: str,
    ended_at: datetime,
    status: RuntimeStatus = RuntimeStatus.COMPLETED,
    history: tuple[bytes, ...] = (b"",),
) -> None:
    """Put ended instances into a store, as a sidecar of another day left them."""
    backend = WatchedBackend(store)
    await backend.open(BackendServices(clock=SystemClock()))
    await backend.create_hub()
    session = Session(
        session_id=SessionId(f"seed {len(store.sessions)}"),
        app_id=APP,
        time_to_live=HOUR,
        holder="test",
    )
    await backend.register(session)
    creations = [
        CreateInstance(
            key=InstanceKey(APP, instance_id),
            name="Flow",
            execution_id=ExecutionId(f"{instance_id}/1"),
            created_at=ended_at,
            start=Message(payload=b""),
        )
        for instance_id in ids
    ]
    room = Room(instances=len(ids))
    applied = await backend.apply(session.session_id, creations, room)
    turns = [
        CommitTurn(
            key=claimed.record.key,
            execution_id=claimed.record.execution_id,
            revision=claimed.record.revision,
            status=status,
            updated_at=ended_at,
            completed_at=ended_at,
            history=history,
        )
        for claimed in applied.instances
    ]
    await backend.apply(session.session_id, turns)
    await backend.unregister(session.session_id)
    await backend.close()


def logged(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many instances the log says were removed."""
    lines = [record for record in caplog.records if "removed by" in record.getMessage()]
    return sum(record.count for record in lines)  # type: ignore[attr-defined]


def purges_of(engine: Engine) -> list[list[PurgeInstance]]:
    """Return the purges of each batch that had some."""
    backend = engine._backend
    assert isinstance(backend, WatchedBackend)
    found = [[op for op in batch if isinstance(op, PurgeInstance)] for batch in backend.batches]
    return [batch for batch in found if batch]

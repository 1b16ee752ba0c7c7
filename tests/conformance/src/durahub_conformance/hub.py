"""The task hub that a test works on, with short words for what every test does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from durahub.backend import (
    NO_LIMITS,
    NO_ROOM,
    ActivityTask,
    Applied,
    Backend,
    ClaimedInstance,
    ClaimLimits,
    CreateInstance,
    InstanceClaims,
    InstanceCreated,
    InstanceRecord,
    InstanceView,
    Operation,
    Result,
    Room,
    Session,
    TurnCommitted,
)
from durahub.types import AppId, InstanceKey, SessionId

from durahub_conformance.harness import Harness, Probe
from durahub_conformance.values import APP, creation, key, last_turn, task, turn

MANY = 10_000
"""A limit that no test reaches."""


class Hub:
    """A created task hub on a fresh store, and a living session in it.

    Attributes:
        harness: Where the backend comes from.
        backend: The open backend.
        session: The session for which calls are made unless another is given.
    """

    def __init__(self, harness: Harness, backend: Backend) -> None:
        self.harness = harness
        self.backend = backend
        self.session = SessionId("")
        self._opened: list[Backend] = []
        self._numbers = count(1)

    @property
    def probe(self) -> Probe:
        """The way past the backend to the store."""
        return self.harness.probe

    @property
    def moment(self) -> timedelta:
        """The unit of time of tests that wait."""
        return self.harness.moment

    async def later(self, moments: int = 1) -> datetime:
        """Return the store's time in some moments."""
        return await self.backend.now() + moments * self.moment

    async def wait(self, moments: int = 1) -> None:
        """Let some moments pass."""
        await self.harness.advance(moments * self.moment)

    # Backends and sessions

    async def open(self, backend: Backend) -> Backend:
        """Open a backend, to be closed at the end of the test."""
        self._opened.append(backend)
        await backend.open(self.harness.services())
        return backend

    async def reopen(self) -> None:
        """Go on with a new backend on the same store, as after a restart."""
        await self.backend.close()
        self.backend = await self.open(self.harness.backend())

    async def close(self) -> None:
        """Close every backend."""
        for backend in self._opened:
            await backend.close()

    def new_session(
        self, *, app_id: AppId = APP, mortal: bool = False, limits: ClaimLimits = NO_LIMITS
    ) -> Session:
        """Return a session that is not registered; a mortal one is overdue after one moment."""
        number = next(self._numbers)
        time_to_live = self.moment if mortal else 10_000 * self.moment
        return Session(
            session_id=SessionId(f"session {number}"),
            app_id=app_id,
            time_to_live=time_to_live,
            holder=f"holder {number}",
            limits=limits,
        )

    async def join(
        self, *, app_id: AppId = APP, mortal: bool = False, limits: ClaimLimits = NO_LIMITS
    ) -> SessionId:
        """Register a session."""
        session = self.new_session(app_id=app_id, mortal=mortal, limits=limits)
        await self.backend.register(session)
        return session.session_id

    async def fence(self, mortal: SessionId, *, limits: ClaimLimits = NO_LIMITS) -> SessionId:
        """Have a mortal session fenced by a new one, and return the new one."""
        await self.wait(2)
        session = self.new_session(limits=limits)
        heartbeat = await self.backend.register(session)
        assert mortal in heartbeat.fenced
        return session.session_id

    # Writing

    async def apply(
        self, *operations: Operation, room: Room = NO_ROOM, session: SessionId | None = None
    ) -> Applied:
        """Apply a batch."""
        return await self.backend.apply(session or self.session, operations, room)

    async def do(self, *operations: Operation, session: SessionId | None = None) -> list[Result]:
        """Apply a batch without room, and return its results."""
        return list((await self.apply(*operations, session=session)).results)

    async def create(self, *creations: str | CreateInstance) -> None:
        """Create instances, given as creations or as ids."""
        operations = [creation(one) if isinstance(one, str) else one for one in creations]
        for result in await self.do(*operations):
            assert isinstance(result, InstanceCreated)

    async def commit(self, claimed: ClaimedInstance, **fields: Any) -> None:
        """Commit a turn that takes in everything that was claimed."""
        (result,) = await self.do(turn(claimed, **fields))
        assert isinstance(result, TurnCommitted)

    # Claiming

    async def claims(self, limit: int = MANY, session: SessionId | None = None) -> InstanceClaims:
        """Claim instances."""
        return await self.backend.claim_instances(session or self.session, limit)

    async def claim(self, session: SessionId | None = None) -> tuple[ClaimedInstance, ...]:
        """Claim all instances that are due."""
        return (await self.claims(session=session)).instances

    async def claim_one(self, session: SessionId | None = None) -> ClaimedInstance:
        """Claim the only instance that is due."""
        (claimed,) = await self.claim(session)
        return claimed

    async def claim_tasks(
        self, limit: int = MANY, session: SessionId | None = None
    ) -> tuple[ActivityTask, ...]:
        """Claim activity tasks."""
        return await self.backend.claim_activities(session or self.session, limit)

    # States that tests start from

    async def owned(self, instance_id: str = "one", **fields: Any) -> ClaimedInstance:
        """Return a new instance that the session owns; nothing else may be due."""
        await self.create(creation(instance_id, **fields))
        return await self.claim_one()

    async def idle(self, instance_id: str = "one", **fields: Any) -> InstanceKey:
        """Return an instance after its first turn, which nothing waits for."""
        await self.commit(await self.owned(instance_id), **fields)
        return key(instance_id)

    async def ended(self, instance_id: str = "one", **fields: Any) -> InstanceKey:
        """Return an instance that has completed."""
        await self.do(last_turn(await self.owned(instance_id), **fields))
        assert (await self.record(key(instance_id))).status.is_terminal
        return key(instance_id)

    async def with_tasks(
        self, *task_ids: int, instance_id: str = "one"
    ) -> tuple[ActivityTask, ...]:
        """Return the claimed tasks of an instance that scheduled them in its first turn."""
        claimed = await self.owned(instance_id)
        await self.commit(claimed, activities=tuple(task(claimed, number) for number in task_ids))
        return await self.claim_tasks()

    # Looking

    async def view(self, where: InstanceKey) -> InstanceView:
        """Return an existing instance with its payloads."""
        (view,) = await self.backend.get([where], payloads=True)
        assert view is not None
        return view

    async def record(self, where: InstanceKey) -> InstanceRecord:
        """Return the record of an existing instance."""
        return (await self.view(where)).record

    async def exists(self, where: InstanceKey) -> bool:
        """Whether there is an instance."""
        return await self.backend.get([where]) != (None,)

    async def rows(self, *where: InstanceKey) -> list[Mapping[str, Sequence[object]]]:
        """Return what the store holds of instances, by the probe."""
        return [await self.probe.rows(one) for one in where]


@asynccontextmanager
async def open_hub(harness: Harness) -> AsyncIterator[Hub]:
    """Yield a new task hub with a living session."""
    hub = Hub(harness, harness.backend())
    try:
        await hub.open(hub.backend)
        await hub.backend.create_hub()
        hub.session = await hub.join()
        yield hub
    finally:
        await hub.close()
        await harness.dispose()

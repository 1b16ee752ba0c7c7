"""The backend: each method of the contract as one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TypeVar

from durahub.backend import (
    NATIVE,
    NO_ROOM,
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    Capabilities,
    EndedInstances,
    EndedQuery,
    Envelope,
    Heartbeat,
    Hint,
    InstanceClaims,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceView,
    Operation,
    Room,
    SchemaStatus,
    Session,
    Support,
    SupportLevel,
    WorkDue,
)
from durahub.clock import Clock, SystemClock
from durahub.errors import BackendError, SchemaVersionError, TaskHubNotFoundError
from durahub.types import InstanceKey, SessionId, TaskKey

from acme_durahub import claims, forwarding, keys, queries, sessions
from acme_durahub.batch import Batch
from acme_durahub.hub import Hub
from acme_durahub.kv import Store, Transaction
from acme_durahub.settings import AcmeSettings

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Raise it with every change of what is stored, and let `create_hub` bring older files up to date."""

CAPABILITIES = Capabilities(
    durable=NATIVE,
    multi_process=NATIVE,
    hints=Support(SupportLevel.NONE, "LMDB tells no process what another one wrote"),
    limits=NATIVE,
)
"""Declared honestly: the conformance kit checks what is claimed, and what is not."""


class AcmeBackend(Backend):
    """Keeps one task hub in one LMDB file, for any number of processes of one machine."""

    def __init__(self, settings: AcmeSettings) -> None:
        self._settings = settings
        self._store: Store | None = None
        self._clock: Clock = SystemClock()

    @property
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides."""
        return CAPABILITIES

    def describe(self) -> str:
        """Return which file it is."""
        return f"acme:{self._settings.path}"

    # Life cycle

    async def open(self, services: BackendServices) -> None:
        """Open the file. The host's clock is the store's, because all that share the file are on one host."""
        if self._store is not None:
            raise BackendError(f"{self.describe()} is open already")
        store = Store(self._settings, self.describe())
        await store.open()
        self._store, self._clock = store, services.clock
        try:
            await store.read(self._version)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Wait for calls in progress, and close the file."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def create_hub(self) -> None:
        """Create the task hub unless it exists."""

        def work(txn: Transaction) -> None:
            if self._version(txn) is None:
                txn.put(keys.SCHEMA, keys.number(SCHEMA_VERSION))

        await self._opened().write(work)

    async def delete_hub(self) -> None:
        """Remove everything; the file stays, and its space is used again."""
        await self._opened().write(lambda txn: txn.clear_all())

    async def schema_status(self) -> SchemaStatus:
        """Return which schema version the file has."""
        return SchemaStatus(await self._opened().read(self._version), SCHEMA_VERSION)

    # Sessions

    async def register(self, session: Session) -> Heartbeat:
        """Make a session known, and fence the dead."""
        return await self._write(lambda hub: sessions.register(hub, session))

    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Prove that a session lives, and fence the dead."""
        return await self._write(lambda hub: sessions.heartbeat(hub, session_id))

    async def unregister(self, session_id: SessionId) -> None:
        """End a session."""
        await self._write(lambda hub: sessions.unregister(hub, session_id))

    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named."""

        def work(hub: Hub) -> None:
            sessions.require_alive(hub, session_id)
            sessions.release_all_but(hub, session_id, instances, tasks)

        await self._write(work)

    # Writing and claiming

    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch as one transaction, and claim what became due by it."""

        def work(hub: Hub) -> Applied:
            session = sessions.require_alive(hub, session_id)
            batch = Batch(hub, session)
            return Applied(
                results=batch.run(operations),
                instances=claims.claim_instances_along(hub, session, batch.touched, room.instances),
                activities=claims.claim_activities_along(
                    hub, session, batch.inserted, room.activities
                ),
            )

        return await self._write(work)

    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take due, unowned instances, longest due first."""
        return await self._write(
            lambda hub: claims.claim_instances(hub, sessions.require_alive(hub, session_id), limit)
        )

    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take unowned activity tasks, oldest first."""
        return await self._write(
            lambda hub: claims.claim_activities(hub, sessions.require_alive(hub, session_id), limit)
        )

    # Forwarding

    async def owners(
        self, session_id: SessionId, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the session's application own what a name may mean."""
        return await self._read(
            lambda hub: forwarding.owners(hub, session_id, instance_id, task_id)
        )

    async def forward(self, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a living session of the same application."""
        return await self._write(lambda hub: forwarding.forward(hub, session_id, to, payload))

    async def take_forwarded(
        self, session_id: SessionId, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what the session has handled, and return what else waits for it."""
        return await self._write(lambda hub: forwarding.take(hub, session_id, handled, limit))

    # Reading

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of the keys."""
        return await self._read(lambda hub: queries.get(hub, keys, payloads=payloads))

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys."""
        return await self._read(lambda hub: queries.history(hub, keys))

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects."""
        return await self._read(lambda hub: queries.list_instances(hub, query))

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return the instances that ended first with a status."""
        return await self._read(lambda hub: queries.list_ended(hub, query))

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Wait until cancelled: there are no hints, so other sessions' work is found by polling."""
        await asyncio.Event().wait()
        yield WorkDue()  # never reached; it is what makes this function an iterator

    async def now(self) -> datetime:
        """Return the machine's clock, which is that of all processes that share the file."""
        self._opened()
        return self._clock.now()

    # Transactions

    def _opened(self) -> Store:
        if self._store is None:
            raise BackendError(f"{self.describe()} is not open")
        return self._store

    async def _read(self, work: Callable[[Hub], T]) -> T:
        return await self._opened().read(lambda txn: work(self._hub(txn)))

    async def _write(self, work: Callable[[Hub], T]) -> T:
        return await self._opened().write(lambda txn: work(self._hub(txn)))

    def _hub(self, txn: Transaction) -> Hub:
        if self._version(txn) is None:
            raise TaskHubNotFoundError(f"{self.describe()} has no task hub yet")
        return Hub(txn, self._clock.now())

    def _version(self, txn: Transaction) -> int | None:
        stored = txn.get(keys.SCHEMA)
        found = None if stored is None else next(keys.read_numbers(stored))
        if found is not None and found > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self.describe()} has schema version {found}, and this program writes"
                f" {SCHEMA_VERSION}; install a newer version of it",
                found=found,
                supported=SCHEMA_VERSION,
            )
        return found

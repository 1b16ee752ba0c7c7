"""The reference backend: the contract as directly as Python can say it.

It is the executable specification of `durahub.backend`, the backend of users' own tests, and what the
conformance kit is tested against.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice

from durahub.backend import (
    NATIVE,
    NO_ROOM,
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    BackendSettings,
    Capabilities,
    ClaimedInstance,
    EndedInstances,
    EndedQuery,
    Envelope,
    Heartbeat,
    Hint,
    InstanceClaims,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    InstanceView,
    Operation,
    Room,
    SchemaStatus,
    Session,
    Support,
    SupportLevel,
)
from durahub.clock import Clock
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendLockedError,
    TaskHubNotFoundError,
)
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_limits import admitted_instances, admitted_tasks
from durahub.testing.memory_rows import InstanceRow, SessionRow
from durahub.testing.memory_store import MemoryStore
from durahub.types import AppId, InstanceKey, SessionId, TaskKey

SCHEMA_VERSION = 1

LONGEST_TOKEN = 20
"""Longest page token, in digits: positions never get that large."""

SHARED = Capabilities(
    durable=Support(SupportLevel.NONE, "memory ends with the process"),
    multi_process=NATIVE,
    hints=NATIVE,
    limits=NATIVE,
)
"""Capabilities when several backends may share one store."""

EXCLUSIVE = Capabilities(
    durable=SHARED.durable,
    multi_process=Support(SupportLevel.NONE, "the settings ask for exclusive use"),
    hints=Support(SupportLevel.NONE, "no other session can leave anything"),
    limits=NATIVE,
)
"""Capabilities when one backend at a time may use a store."""


class MemorySettings(BackendSettings):
    """Settings of the memory backend.

    Attributes:
        exclusive: Behave as a store that only one process at a time can use, as a local file is.
    """

    exclusive: bool = False


class MemoryBackend(Backend):
    """A backend in memory. Backends that share a `MemoryStore` stand for processes on one task hub."""

    def __init__(self, settings: MemorySettings, store: MemoryStore | None = None) -> None:
        self._exclusive = settings.exclusive
        self._store = MemoryStore() if store is None else store
        self._clock: Clock | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides."""
        return EXCLUSIVE if self._exclusive else SHARED

    def describe(self) -> str:
        """Return where the state is."""
        return "memory"

    # Life cycle

    async def open(self, services: BackendServices) -> None:
        """Take the clock, which is the store's, and the right to use the store."""
        if self._clock is not None:
            raise BackendError("the memory backend is open already")
        if self._exclusive and self._store.users:
            raise BackendLockedError("another backend has exclusive use of this memory store")
        self._store.users += 1
        self._clock = services.clock

    async def close(self) -> None:
        """Let go of the store; what it holds stays for backends that share it."""
        if self._clock is not None:
            self._store.users -= 1
            self._clock = None

    async def create_hub(self) -> None:
        """Create the task hub unless it exists."""
        self._now()
        self._store.exists = True

    async def delete_hub(self) -> None:
        """Remove the task hub with everything in it."""
        self._now()
        self._store.delete()

    async def schema_status(self) -> SchemaStatus:
        """Return the one version there is."""
        self._now()
        return SchemaStatus(SCHEMA_VERSION if self._store.exists else None, SCHEMA_VERSION)

    def _now(self) -> datetime:
        if self._clock is None:
            raise BackendError("the memory backend is not open")
        return self._clock.now()

    def _hub_now(self) -> datetime:
        """Return the store's clock, if there is a task hub to use."""
        now = self._now()
        if not self._store.exists:
            raise TaskHubNotFoundError("the task hub in memory has not been created")
        return now

    # Sessions

    async def register(self, session: Session) -> Heartbeat:
        """Make a session known, and fence the dead."""
        now = self._hub_now()
        others = [key for key, row in self._store.sessions.items() if row.alive]
        self._store.register(session, now)
        if self._exclusive:
            return self._fence(session.session_id, others, now)
        return self._fence(session.session_id, self._store.overdue(now), now)

    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Prove that a session lives, and fence the dead."""
        now = self._hub_now()
        self._store.living(session_id).last_heartbeat = now
        return self._fence(session_id, self._store.overdue(now), now)

    def _fence(self, by: SessionId, dead: Sequence[SessionId], now: datetime) -> Heartbeat:
        for session_id in dead:
            self._end(by, session_id, now)
        return Heartbeat(
            now=now, fenced=tuple(dead), next_overdue_at=self._store.next_overdue_at(by)
        )

    def _end(self, by: SessionId, session_id: SessionId, now: datetime) -> None:
        row = self._store.sessions[session_id]
        # What it owned belongs to its application, as does what it would have claimed in time.
        self._store.end(session_id)
        self._tell(by, (row.session.app_id,), (), now)

    async def unregister(self, session_id: SessionId) -> None:
        """End a session, if it lives."""
        now = self._hub_now()
        row = self._store.sessions.get(session_id)
        if row is not None and row.alive:
            self._end(session_id, session_id, now)

    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named."""
        now = self._hub_now()
        session = self._store.living(session_id)
        given_back = [key for key in session.instances if key not in instances]
        given_back_tasks = [key for key in session.tasks if key not in tasks]
        apps = {key.app_id for key in given_back}
        apps |= {self._store.tasks[key].task.app_id for key in given_back_tasks}
        for instance in given_back:
            self._store.disown(self._store.instances[instance])
        for task in given_back_tasks:
            self._store.disown_task(self._store.tasks[task])
        self._tell(session_id, apps, (), now)

    def _tell(
        self,
        teller: SessionId,
        due: Iterable[AppId],
        changed: Iterable[InstanceKey],
        now: datetime,
    ) -> None:
        listeners, vacated = self._store.listeners, self._store.vacated
        listeners.tell(teller, due, changed)
        listeners.tell_limited(teller, vacated, lambda app_id: self._store.is_waiting(app_id, now))
        vacated.clear()

    # Writing and claiming

    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch of writes, and claim what became due by them."""
        now = self._hub_now()
        batch = Batch(self._store, self._store.living(session_id), now)
        applied = Applied(
            results=batch.run(operations),
            instances=batch.claim_instances(room),
            activities=batch.claim_tasks(room),
        )
        self._tell(session_id, batch.left_over(), batch.changed, now)
        return applied

    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take due, unowned instances of the session's application, longest due first."""
        now = self._hub_now()
        session = self._store.living(session_id)
        if session.session.limits.instances:
            rows, next_due_at = admitted_instances(self._store, session, limit, now)
            admitted = tuple(self._store.claim(session, row, now) for row in rows)
            return InstanceClaims(instances=admitted, next_due_at=next_due_at, now=now)
        app_id = session.session.app_id
        claimed: list[ClaimedInstance] = []
        while len(claimed) < limit and (row := self._due(app_id, now)) is not None:
            claimed.append(self._store.claim(session, row, now))
        return InstanceClaims(
            instances=tuple(claimed), next_due_at=self._next_due_at(session, now), now=now
        )

    def _due(self, app_id: AppId, now: datetime) -> InstanceRow | None:
        row = self._store.next_to_wake(app_id)
        return row if row is not None and row.is_due(now) else None

    def _next_due_at(self, session: SessionRow, now: datetime) -> datetime | None:
        row = self._store.next_to_wake(session.session.app_id)
        return None if row is None or row.is_due(now) else row.wake_at()

    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take unowned activity tasks of the session's application, oldest first."""
        self._hub_now()
        session = self._store.living(session_id)
        if session.session.limits.activities:
            rows = admitted_tasks(self._store, session, limit)
            return tuple(self._store.claim_task(session, row) for row in rows)
        claimed: list[ActivityTask] = []
        while (
            len(claimed) < limit
            and (row := self._store.next_task(session.session.app_id)) is not None
        ):
            claimed.append(self._store.claim_task(session, row))
        return tuple(claimed)

    # Forwarding

    async def owners(
        self, session_id: SessionId, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the session's application own what a name may mean."""
        self._hub_now()
        app_id = self._store.living(session_id).session.app_id
        return tuple(self._store.owners(app_id, instance_id, task_id))

    async def forward(self, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a living session of the same application, and tell it."""
        self._hub_now()
        sender, target = self._store.living(session_id), self._store.sessions.get(to)
        if target is None or not target.alive or target.session.app_id != sender.session.app_id:
            return False
        self._store.forward(target, payload)
        self._store.listeners.tell_of_envelope(to)
        return True

    async def take_forwarded(
        self, session_id: SessionId, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what the session has handled, and return what else waits for it."""
        self._hub_now()
        forwarded = self._store.living(session_id).forwarded
        for number in handled:
            forwarded.pop(number, None)
        return tuple(
            Envelope(number=number, payload=payload)
            for number, payload in islice(forwarded.items(), limit)
        )

    # Reading

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of the keys."""
        self._hub_now()
        rows = [self._store.instances.get(key) for key in keys]
        return tuple(
            None
            if row is None
            else InstanceView(record=row.record, payloads=row.payloads if payloads else None)
            for row in rows
        )

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys."""
        self._hub_now()
        rows = [self._store.instances.get(key) for key in keys]
        return tuple(None if row is None else _read_history(row) for row in rows)

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects."""
        self._hub_now()
        rows = self._store.created_after(query.app_id, _parse_token(query.page_token))
        selected = (row for row in rows if _is_selected(row.record, query))
        page = tuple(islice(selected, query.page_size))
        more = next(selected, None) is not None
        return InstancePage(
            instances=tuple(row.record for row in page),
            next_token=str(page[-1].position) if more else None,
        )

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return the instances that ended first with a status."""
        now = self._hub_now()
        rows = self._store.longest_ended(query.app_id, query.status, query.limit)
        return EndedInstances(instances=tuple(row.record for row in rows), now=now)

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Yield hints for a session until cancelled."""
        self._hub_now()
        session = self._store.living(session_id).session
        async for hint in self._store.listeners.listen(session):
            yield hint

    async def now(self) -> datetime:
        """Return the store's clock."""
        return self._now()


def _read_history(row: InstanceRow) -> InstanceHistory:
    if len(row.history) != row.record.history_length:
        raise BackendCorruptionError(
            f"the history of {row.key} should have {row.record.history_length} events"
            f" and has {len(row.history)}"
        )
    return InstanceHistory(record=row.record, events=tuple(row.history))


def _parse_token(token: str | None) -> int:
    if token is None:
        return 0
    if not (token.isascii() and token.isdecimal() and len(token) <= LONGEST_TOKEN):
        raise BackendError(f"{token!r} is no page token of the memory backend")
    return int(token)


def _is_selected(record: InstanceRecord, query: InstanceQuery) -> bool:
    return (
        (not query.statuses or record.status in query.statuses)
        and (query.created_from is None or record.created_at >= query.created_from)
        and (query.created_to is None or record.created_at < query.created_to)
    )

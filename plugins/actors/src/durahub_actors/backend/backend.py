"""The backend: each method of the contract, for one task hub in one state store."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from pathlib import Path
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
from durahub.backend.listeners import Listeners
from durahub.errors import (
    BackendError,
    BackendUnavailableError,
    CapabilityNotSupportedError,
    TaskHubNotFoundError,
)
from durahub.types import AppId, InstanceKey, SessionId, TaskKey

from durahub_actors.backend.cluster import Duties
from durahub_actors.backend.hub import Hub
from durahub_actors.backend.sessions import Member
from durahub_actors.runtime import Background, LeaseEndedError
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import Lease, StateStore
from durahub_actors.stores.components import StateComponent
from durahub_actors.stores.factory import state_store_of
from durahub_actors.workflows.names import DEFAULT_NAMESPACE, Names
from durahub_actors.workflows.wire import Told

T = TypeVar("T")

NO_LIMITS_YET = Support(SupportLevel.NONE, "claims of the actors backend count nothing yet")


def capabilities_of(store: StateStore) -> Capabilities:
    """Return what of the optional parts the backend provides over a store."""
    alone = Support(SupportLevel.NONE, "no other session can leave anything in this store")
    return Capabilities(
        durable=NATIVE
        if store.is_durable
        else Support(SupportLevel.NONE, f"{store.describe()} ends with the process"),
        multi_process=NATIVE
        if store.is_shared
        else Support(SupportLevel.NONE, f"{store.describe()} belongs to one process"),
        hints=NATIVE if store.is_shared else alone,
        limits=NO_LIMITS_YET,
    )


class ActorsBackend(Backend):
    """Keeps workflows in virtual actors over a state store.

    Args:
        settings: From the configuration.
        store: Where actors are kept; None: in what the components given to `open` say, and as long as
            nobody knows them, in what is meant without any.
    """

    def __init__(self, settings: ActorsSettings, store: StateStore | None = None) -> None:
        self._directory = Path.cwd()
        self._is_store_given = store is not None
        self._settings = settings
        self._store = state_store_of((), self._directory) if store is None else store
        self._names = Names(os.environ.get("NAMESPACE") or DEFAULT_NAMESPACE)
        self._name = uuid.uuid4().hex
        self._listeners = Listeners()
        self._background = Background()
        self._opened: Hub | None = None
        self._has_hub = False

    @property
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides over its store."""
        return capabilities_of(self._store)

    def describe(self) -> str:
        """Return where the store is."""
        return f"actors in {self._store.describe()}"

    @property
    def session_time_to_live(self) -> timedelta:
        """How long a session may be silent, as the settings say."""
        return timedelta(seconds=self._settings.session_time_to_live)

    # Life cycle

    async def open(self, services: BackendServices) -> None:
        """Open the store, and look at what is there.

        Raises:
            ConfigError: The components don't say which store, or say something about it that is wrong.
        """
        if self._opened is not None:
            raise BackendError(f"{self.describe()} is open already")
        if not self._is_store_given:
            self._store = state_store_of(_state_components(services), self._directory)
        await self._store.open(services.clock)
        try:
            self._has_hub = (await self._store.status()).found is not None
        except BaseException:
            await self._store.close()
            raise
        self._background = Background()
        await self._background.start()
        self._opened = Hub(
            self._store,
            services,
            self._names,
            self._settings,
            self._name,
            self._background.spawn,
        )

    async def close(self) -> None:
        """Wait for calls in progress, give up what this process holds, and close the store."""
        hub, self._opened = self._opened, None
        if hub is None:
            return
        await hub.part()
        await self._background.stop()
        if self._has_hub:
            await hub.leave()
        await self._store.close()

    async def create_hub(self) -> None:
        """Create what the store needs; keeps what exists."""
        self._open_hub()
        await self._store.create()
        self._has_hub = True

    async def delete_hub(self) -> None:
        """Remove everything that belongs to the store."""
        hub = self._open_hub()
        await self._store.delete()
        self._has_hub = False
        await hub.forget()

    async def schema_status(self) -> SchemaStatus:
        """Return which version the store has."""
        self._open_hub()
        return await self._store.status()

    # Sessions

    async def register(self, session: Session) -> Heartbeat:
        """Make a session known, and fence the dead."""
        hub = self._hub()
        if session.limits and not self.capabilities.limits:
            raise CapabilityNotSupportedError(
                f"{self.describe()}: {self.capabilities.limits.reason}, so a session can't have limits"
            )
        return await self._background.run(lambda: self._register(hub, session))

    async def _register(self, hub: Hub, session: Session) -> Heartbeat:
        await hub.core.cluster.start(
            Duties(answer=hub.core.answer, hear=self._hear, run=self._background.run)
        )
        heartbeat, ended = await hub.core.sessions.register(session)
        await self._bury(hub, session.session_id, ended)
        await hub.core.cluster.introduced()
        return heartbeat

    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Prove that a session lives, and fence the dead."""
        hub = self._hub()
        return await self._background.run(lambda: self._heartbeat(hub, session_id))

    async def _heartbeat(self, hub: Hub, session_id: SessionId) -> Heartbeat:
        heartbeat, ended = await hub.core.sessions.heartbeat(session_id)
        await self._bury(hub, session_id, ended)
        return heartbeat

    async def _bury(self, hub: Hub, by: SessionId, ended: tuple[Lease, ...]) -> None:
        """Tell others of sessions that were found dead, and look after what they left."""
        self._tell(by, hub.core.sessions.apps_of(ended), ())
        await hub.tend(ended)

    async def unregister(self, session_id: SessionId) -> None:
        """End a session, if it lives."""
        hub = self._hub()
        app_id = await self._background.run(lambda: self._unregister(hub, session_id))
        if app_id is not None:
            self._tell(session_id, (app_id,), ())

    async def _unregister(self, hub: Hub, session_id: SessionId) -> AppId | None:
        app_id = await hub.core.sessions.unregister(session_id)
        await hub.forwarding.discard([session_id])
        return app_id

    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named."""

        async def release(hub: Hub, member: Member) -> None:
            await member.others_done()
            if await hub.claims.release_except(member, instances, tasks):
                self._tell(session_id, (member.app_id,), ())

        await self._for_session(session_id, release)

    # Writing and claiming

    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch of writes, and claim what became due by them."""

        async def apply(hub: Hub, member: Member) -> Applied:
            applied, echo = await hub.applier.apply(member, operations, room)
            self._tell(session_id, echo.due, echo.changed)
            return applied

        return await self._for_session(session_id, apply)

    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take due, unowned instances of the session's application, longest due first."""
        return await self._for_session(
            session_id, lambda hub, member: hub.claims.instances(member, limit)
        )

    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take unowned activity tasks of the session's application, oldest first."""
        return await self._for_session(
            session_id, lambda hub, member: hub.claims.tasks(member, limit)
        )

    # Forwarding

    async def owners(
        self, session_id: SessionId, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the session's application own what a name may mean."""
        return await self._for_session(
            session_id, lambda hub, member: hub.forwarding.owners(member, instance_id, task_id)
        )

    async def forward(self, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a living session of the same application, and tell it."""

        async def forward(hub: Hub, member: Member) -> bool:
            is_kept = await hub.forwarding.forward(member, to, payload)
            if is_kept:
                self._listeners.tell_of_envelope(to)
                hub.core.cluster.tell((), (), to)
            return is_kept

        return await self._for_session(session_id, forward)

    async def take_forwarded(
        self, session_id: SessionId, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what the session has handled, and return what else waits for it."""
        return await self._for_session(
            session_id, lambda hub, member: hub.forwarding.take(member, handled, limit)
        )

    # Reading

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of the keys."""
        return await self._hub().reader.get(keys, payloads=payloads)

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys."""
        return await self._hub().reader.history(keys)

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects."""
        return await self._hub().reader.list_instances(query)

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return the instances that ended first with a status."""
        return await self._hub().reader.list_ended(query)

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Yield hints for a session until cancelled."""
        hub = self._hub()
        member = await hub.core.sessions.living(session_id)
        if not self.capabilities.hints:
            await asyncio.Event().wait()
            yield WorkDue()  # never reached
        async for hint in self._listeners.listen(member.session):
            yield hint

    async def now(self) -> datetime:
        """Return the store's clock."""
        self._open_hub()
        return await self._store.now()

    def _tell(
        self, teller: SessionId, due: Iterable[AppId], changed: Iterable[InstanceKey]
    ) -> None:
        due, changed = frozenset(due), tuple(changed)
        self._listeners.tell(teller, due, changed)
        if self._opened is not None:
            self._opened.core.cluster.tell(due, changed)

    def _hear(self, told: Told) -> None:
        self._listeners.tell(SessionId(""), told.due, told.changed)
        if told.forwarded_to is not None:
            self._listeners.tell_of_envelope(told.forwarded_to)

    async def _for_session(
        self, session_id: SessionId, call: Callable[[Hub, Member], Awaitable[T]]
    ) -> T:
        """Carry out a call to its end, whether or not who waits for it is cancelled."""
        hub = self._hub()
        return await self._background.run(lambda: self._as_member(hub, session_id, call))

    async def _as_member(
        self, hub: Hub, session_id: SessionId, call: Callable[[Hub, Member], Awaitable[T]]
    ) -> T:
        member = await hub.core.sessions.living(session_id)
        try:
            with member.call():
                return await call(hub, member)
        except LeaseEndedError:
            await hub.core.sessions.examine(member)
            raise BackendUnavailableError(
                f"{self.describe()}: this process was silent for too long, and goes on"
            ) from None

    def _open_hub(self) -> Hub:
        if self._opened is None:
            raise BackendError(f"{self.describe()} is not open")
        return self._opened

    def _hub(self) -> Hub:
        hub = self._open_hub()
        if not self._has_hub:
            raise TaskHubNotFoundError(f"{self.describe()} holds no task hub; create it first")
        return hub


def _state_components(services: BackendServices) -> list[StateComponent]:
    return [
        StateComponent(
            name=one.name,
            type=one.type,
            version=one.version,
            metadata=one.metadata,
            at=one.at,
        )
        for one in services.components
        if one.type.lower().startswith("state.")
    ]

"""The contract between the engine and whatever stores its state.

A backend stores, owns and wakes. It decides nothing about workflows: every rule about what a workflow
may do next is in `durahub.engine`.

Rules for all methods:

- **Durability.** A method returns after its effect is durable, as far as `capabilities.durable` says.
- **Errors.** Only `durahub.errors.BackendError` and its subclasses escape. A store that can't be reached
  or is busy beyond a bounded wait raises `BackendUnavailableError`; the engine retries, a backend never
  loops. Using a backend before `open` or after `close` raises `BackendError`.
- **Cancellation.** A cancelled call has taken effect completely or not at all. A backend may finish the
  effect in the background; `close` waits for it.
- **Concurrency.** All methods may be called at the same time from tasks of one event loop.
- **Time.** The store's clock decides what is due and who is dead. Where only one process can use the
  store, `BackendServices.clock` is the store's clock.
- **Limits.** No claim, by whichever method, exceeds `Session.limits`; see `ClaimLimits`.
- **Bytes and text** come back identical: NUL characters, empty strings, absent values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple

from durahub.backend.capabilities import Capabilities
from durahub.backend.hints import Hint
from durahub.backend.operations import Operation
from durahub.backend.queries import EndedQuery, InstanceQuery
from durahub.backend.records import ActivityTask, InstanceHistory, InstanceView
from durahub.backend.results import (
    Applied,
    EndedInstances,
    InstanceClaims,
    InstancePage,
    Room,
)
from durahub.backend.services import BackendServices
from durahub.backend.sessions import Envelope, Heartbeat, Session
from durahub.errors import CapabilityNotSupportedError
from durahub.types import InstanceKey, SessionId, TaskKey


class ContractVersion(NamedTuple):
    """Version of this contract. A backend works with a core of the same major and no lower minor.

    Attributes:
        major: Rises when backends must change: a new abstract method, a changed promise.
        minor: Rises with additions that have a default.
    """

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CONTRACT_VERSION = ContractVersion(1, 1)


class SchemaStatus(NamedTuple):
    """How the store's schema stands to the program.

    Attributes:
        found: Version in the store; None if there is no task hub.
        current: Version that this program writes.
    """

    found: int | None
    current: int


class Migration(NamedTuple):
    """A step that brings a task hub's schema closer to the current version.

    Attributes:
        name: For people; without line breaks.
        script: What it runs, in the store's own language, for people to read beforehand; may be empty.
    """

    name: str
    script: str = ""


NO_ROOM = Room()

DEFAULT_SESSION_TIME_TO_LIVE = timedelta(seconds=30)
"""What holds for backends that say nothing else."""


class Backend(ABC):
    """Stores the state of one task hub, tells who owns what, and wakes who waits.

    The constructor takes the plugin's settings and does no I/O. The life of a backend is
    `open`, `create_hub` (which keeps what exists), `register`, work, `unregister`, `close`.
    """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides. The same value for its whole life."""

    @abstractmethod
    def describe(self) -> str:
        """Return where the state is, for logs and errors, such as `sqlite::/var/lib/hub.db`.

        Never holds a secret.
        """

    @property
    def session_time_to_live(self) -> timedelta:
        """How long a session of this store may be silent before others may take over what it owns.

        The engine registers its sessions with it, and sends several heartbeats in that time. Positive,
        and the same value for the backend's whole life.
        """
        return DEFAULT_SESSION_TIME_TO_LIVE

    @abstractmethod
    async def open(self, services: BackendServices) -> None:
        """Connect to the store and take whatever exclusive rights it needs.

        Raises:
            BackendLockedError: Another process has exclusive use of the store.
            BackendUnavailableError: The store can't be reached; opening again may succeed.
            SchemaVersionError: There is a task hub with a schema that this program can't use.
            BackendCorruptionError: The store is not one of this backend, or is damaged.
        """

    @abstractmethod
    async def close(self) -> None:
        """Wait for calls in progress and let go of everything. Idempotent; never raises for a lost store.

        Sessions stay as they are: `unregister` is what ends one well.
        """

    @abstractmethod
    async def create_hub(self) -> None:
        """Create the task hub, or bring an older schema up to date; keeps all that is stored.

        Atomic and idempotent: a crash in the middle is repaired by calling it again. Where a backend's
        settings leave the schema to an operator, it changes nothing and only checks; what it raises then
        says that `durahub db migrate` is what is missing.

        Raises:
            TaskHubNotFoundError: There is no task hub, and its creation is left to an operator.
            SchemaVersionError: The schema is newer than this program; or it is older, and its upgrade is
                left to an operator.
        """

    @abstractmethod
    async def delete_hub(self) -> None:
        """Remove the task hub with everything in it. Nothing to remove is no error."""

    @abstractmethod
    async def schema_status(self) -> SchemaStatus:
        """Return which schema version the store has."""

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what `migrate` would do now, in order; nothing if the schema is current. Changes nothing.

        This default names the versions between the two of `schema_status`.
        """
        found, current = await self.schema_status()
        missing = range((found or 0) + 1, current + 1)
        return tuple(Migration(f"schema version {version}") for version in missing)

    async def migrate(self, report: Callable[[str], None]) -> None:
        """Do as `create_hub` where it may create and upgrade, whatever the settings leave to an operator.

        Several processes may call it at the same time; each migration is carried out by one of them.
        This default is for stores that one process at a time uses and that always let `create_hub` migrate.

        Args:
            report: Called with the name of each migration that this call carried out, as soon as that is
                durable. What it raises ends the call, and what was reported stays.

        Raises:
            SchemaVersionError: The schema is newer than this program.
        """
        pending = await self.pending_migrations()
        await self.create_hub()
        for migration in pending:
            report(migration.name)

    async def grant_reader(self, role: str) -> None:
        """Let a role of the store's own read what the backend documents for people, and nothing else.

        Atomic and idempotent. This default is for stores that have no roles, or nothing to show to them.

        Args:
            role: What the store calls it; the backend documents whether one that is missing is created.

        Raises:
            CapabilityNotSupportedError: The backend has nothing like it.
            TaskHubNotFoundError: There is no task hub.
        """
        raise CapabilityNotSupportedError(
            f"{self.describe()} has no roles that could be given the right to read, so {role!r} was given"
            " none; this needs a backend whose store has users of its own"
        )

    @abstractmethod
    async def register(self, session: Session) -> Heartbeat:
        """Make a session known, alive from now on.

        It fences the dead as `heartbeat` does; where only one process can use the store, that is every
        other session.

        Raises:
            BackendError: The session id has been used before.
            CapabilityNotSupportedError: The session has limits, and `capabilities.limits` is not provided.
        """

    @abstractmethod
    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Prove that a session lives, and fence those that do not.

        A session whose last heartbeat is older than its time to live by the store's clock is fenced:
        once, atomically with making everything it owned unowned (and so claimable). From that moment
        none of its writes succeeds.

        Raises:
            SessionFencedError: This session itself was fenced, or ended.
        """

    @abstractmethod
    async def unregister(self, session_id: SessionId) -> None:
        """End a session: what it owned is unowned at once. Idempotent; an unknown or fenced one is no error."""

    @abstractmethod
    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named.

        The engine calls it after a claim whose outcome it never learned.

        Raises:
            SessionFencedError: The session was fenced, or ended.
        """

    @abstractmethod
    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch of writes, and claim what became due by them.

        Every operation is atomic by itself and independent of the others: one that is refused does not
        hold back the rest. The effects are visible as if the operations had run in this order: purges;
        releases and parkings; turns; their outgoing messages; creations; activity results and deliveries,
        these in the order of the batch. No two operations of a batch purge, release, park,
        commit a turn of, or create (children included) the same instance; the engine sees to that.

        After the operations, up to `room.instances` of the instances of the session's application that
        the batch touched (created, delivered to, committed) and that are due and unowned are claimed for the
        session; likewise up to `room.activities` of the activity tasks that it inserted for the
        session's application. What is beyond the room, or held back by the session's limits, stays
        claimable by anyone.

        Atomicity: each operation. A backend may make the whole batch one transaction.

        Raises:
            SessionFencedError: The session is not alive; nothing was written.
            BackendUnavailableError: Some operations may have taken effect, unless the store knows better.
        """

    @abstractmethod
    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take up to `limit` due, unowned instances of the session's application, longest due first.

        An instance is due when its wake-up time has come: at once while messages wait for it, at the
        moment of its earliest timer otherwise; but not before its not-before time. No instance is handed
        to two sessions. With `limit` 0 it only tells when the next one becomes due.

        Raises:
            SessionFencedError: The session is not alive; nothing was claimed.
        """

    @abstractmethod
    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take up to `limit` unowned activity tasks of the session's application, oldest first.

        Raises:
            SessionFencedError: The session is not alive; nothing was claimed.
        """

    async def owners(
        self, session_id: SessionId, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the session's application own what a name may mean; one snapshot.

        A worker's answer that bears no completion token names what it answers, and this tells where that
        is in flight. This default is for stores that one process at a time uses: nowhere else.

        Args:
            session_id: Who asks, and may itself be among the owners.
            instance_id: Names the application's own instance, if `task_id` is None.
            task_id: Else this names, together with `instance_id`, activity tasks for the application: one
                of each generation of each application's instance of that id.

        Returns:
            The owners, in any order, each once.

        Raises:
            SessionFencedError: The session that asks is not alive.
        """
        return ()

    async def forward(self, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a session of the same application, until it has handled them or has ended.

        They are as durable as what `apply` writes, for as long as that session lives; when it has ended
        or was fenced, they are gone for good. An overdue session lives until it is fenced. A call that is
        repeated because its answer never came forwards twice. This default is for stores that one process
        at a time uses: nobody is there to forward to.

        Args:
            session_id: Who forwards.
            to: Who gets them, told by a `Forwarded` hint.
            payload: Any bytes; what they mean is the engine's business.

        Returns:
            Whether they are kept; False if `to` is not a living session of the sender's application.

        Raises:
            SessionFencedError: The session that forwards is not alive; nothing was kept.
            BackendUnavailableError: Also if about `MOST_FORWARDED` wait for that session already; then
                nothing was kept.
        """
        return False

    async def take_forwarded(
        self, session_id: SessionId, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what the session has handled of what was forwarded to it, and return what else waits.

        What is not named in `handled` is returned again by the next call, so that nothing is lost with an
        answer that never comes. Envelopes of one sender are returned in the order in which it forwarded
        them, each call of `forward` after the return of the one before; nobody else's are ever returned
        or removed. This default is for stores that one process at a time uses.

        Args:
            session_id: To whom they were forwarded.
            handled: Numbers of envelopes, which may be gone already.
            limit: Most envelopes to return, the oldest ones.

        Raises:
            SessionFencedError: The session is not alive.
        """
        return ()

    @abstractmethod
    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of `keys`, None for those that do not exist; one snapshot.

        One whose record does not decode is shown as STALLED with the reason, as far as the store can tell
        whose it is; so it is in `list_instances`.
        """

    @abstractmethod
    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their committed history in the order of `keys`; each of one moment.

        Raises:
            BackendCorruptionError: A history has a gap; the message names the instance. Ask for
                instances one by one to find out which.
        """

    @abstractmethod
    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects; one snapshot per page.

        Raises:
            BackendError: The page token is not one of this backend.
        """

    @abstractmethod
    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return the instances that a query selects; one snapshot.

        The cost depends on `query.limit` alone, not on how many instances there are. There are no pages:
        who purges what comes first sees the next ones. A record that does not decode may be left out, so
        that it hides no other.
        """

    @abstractmethod
    def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Yield hints for a session until cancelled. They may be lost, late, or too many.

        A backend whose capabilities lack hints yields nothing and waits.
        """

    @abstractmethod
    async def now(self) -> datetime:
        """Return the store's clock."""

"""The contract between the actor runtime and whatever stores its actors.

A state store keeps values by actor and key, finds actors by rank and reminders by moment, and knows which
leases live. It knows nothing of workflows.

Rules for all methods:

- **Durability.** A method returns after its effect is durable, as far as `is_durable` says.
- **Errors.** Only `durahub.errors.BackendError` and its subclasses escape; `BackendUnavailableError` if the
  store can't be reached or is busy beyond a bounded wait. The caller retries, a store never loops.
  `TaskHubNotFoundError` from all but the life cycle before `create` has run, or after `delete`;
  `BackendError` before `open` and after `close`, and for a save that makes no sense.
- **Cancellation.** A cancelled call has taken effect completely or not at all, each save by itself. A store
  may finish the effect in the background; `close` waits for it.
- **Concurrency.** All methods may be called at the same time from tasks of one event loop, and where
  `is_shared` by several processes.
- **Time.** The store's clock decides what is due and which lease is overdue. A store without a clock of its
  own uses the one that `open` gets; its processes then share a machine.
- **Bytes and text** come back identical: NUL characters, empty values, any Unicode text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from durahub.backend import SchemaStatus
from durahub.clock import Clock

from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.saves import ActorId, ReminderId, Save, SaveResult
from durahub_actors.stores.views import ActorState, DueReminders, MarkedActor


class StateStore(ABC):
    """Stores actors. The constructor takes settings and does no I/O.

    The life of a store is `open`, `create` (which keeps what exists), work, `close`.
    """

    @property
    @abstractmethod
    def is_durable(self) -> bool:
        """Whether what a call acknowledged survives the end of the process."""

    @property
    @abstractmethod
    def is_shared(self) -> bool:
        """Whether several processes may use the store at the same time."""

    @abstractmethod
    def describe(self) -> str:
        """Return where the state is, for logs and errors. Never holds a secret."""

    @abstractmethod
    async def open(self, clock: Clock) -> None:
        """Connect to the store.

        Raises:
            BackendUnavailableError: The store can't be reached; opening again may succeed.
            BackendLockedError: Another process has exclusive use of it.
            SchemaVersionError: What is there is newer than this program.
            BackendCorruptionError: The store is not one of this program, or is damaged.
        """

    @abstractmethod
    async def close(self) -> None:
        """Wait for calls in progress and let go of everything. Idempotent; never raises for a lost store."""

    @abstractmethod
    async def create(self) -> None:
        """Create what the store needs, or bring it up to date; keeps all that is stored. Idempotent.

        Several processes may call it at the same time, and all succeed.
        """

    @abstractmethod
    async def delete(self) -> None:
        """Remove everything that belongs to this store, and nothing else. Nothing to remove is no error."""

    @abstractmethod
    async def status(self) -> SchemaStatus:
        """Return which schema version is there."""

    @abstractmethod
    async def now(self) -> datetime:
        """Return the store's clock."""

    # Actors

    @abstractmethod
    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        """Carry out saves, each atomic by itself and independent of the others, and return their results.

        Saves of one actor take effect in the order given. A store makes one transaction or one pipeline
        of the call where it can.

        Raises:
            BackendUnavailableError: Some saves may have taken effect, unless the store knows better.
        """

    @abstractmethod
    async def read(
        self, actors: Sequence[ActorId], *, keys: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> tuple[ActorState | None, ...]:
        """Return values of actors in the order of `actors`, None for those without state; each of one moment.

        Args:
            actors: Which actors.
            keys: Of each actor, these keys.
            prefixes: And all keys that begin with one of these.
        """

    @abstractmethod
    async def marked(
        self,
        actor_type: str,
        index: str,
        *,
        after: tuple[int, str] | None,
        limit: int,
        key: str,
    ) -> tuple[MarkedActor, ...]:
        """Return the actors of a type in an index, by rank, then by the UTF-8 bytes of their ids.

        The cost depends on `limit` alone. Fewer than `limit` means that there are no more.

        Args:
            actor_type: Which type.
            index: Name of the index.
            after: Begin after this rank and id; None: at the lowest.
            limit: At most so many; at least 1.
            key: The key whose value comes along, read no earlier than the index.
        """

    # Reminders

    @abstractmethod
    async def due(self, queue: str, limit: int) -> DueReminders:
        """Return reminders of a queue that are due and that nobody holds, the earliest first.

        The cost depends on `limit` alone. With limit 0 it only tells when the next one is due.
        """

    @abstractmethod
    async def held(self, lease: str) -> tuple[ReminderId, ...]:
        """Return the reminders that a lease holds, in any order."""

    @abstractmethod
    async def held_labels(self, queue: str) -> Mapping[str, int]:
        """Return how many reminders of a queue are held, by label; labels without any are missing."""

    @abstractmethod
    async def reminders(self, home: ActorId) -> tuple[ReminderId, ...]:
        """Return the reminders of an actor, held or not, in any order."""

    # Leases

    @abstractmethod
    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known, alive from now on, and end others that are overdue, as `renew` does.

        Raises:
            BackendError: The name has been used before.
        """

    @abstractmethod
    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Prove that leases live, and end the others that are overdue.

        A lease ends once: from then on every save that names it is refused, and afterwards, before
        anyone is told, all that it held is held by nobody.

        Raises:
            SessionFencedError: One of `names` is unknown or has ended; none was renewed.
        """

    @abstractmethod
    async def release(self, name: str) -> None:
        """End a lease at once, as `renew` does with an overdue one. An unknown or ended one is no error."""

    @abstractmethod
    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that live, overdue ones included, in any order."""

"""The state store in memory, `state.in-memory`: the reference, and enough to try things out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from durahub.backend import SchemaStatus
from durahub.clock import Clock
from durahub.errors import BackendError, SessionFencedError, TaskHubNotFoundError

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.memory_saves import carry_out
from durahub_actors.stores.memory_state import MemoryLease, MemoryState
from durahub_actors.stores.saves import ActorId, ReminderId, Save, SaveResult
from durahub_actors.stores.views import ActorState, DueReminder, DueReminders, MarkedActor

SCHEMA_VERSION = 1


class MemoryStateStore(StateStore):
    """Keeps actors in memory. No method waits for anything, so each is atomic.

    Args:
        state: Where; several stores with one state stand for processes with one store. Without it, the
            store has a state of its own, which ends with it.
    """

    def __init__(self, state: MemoryState | None = None) -> None:
        self._is_shared = state is not None
        self._state = MemoryState() if state is None else state
        self._clock: Clock | None = None

    @property
    def is_durable(self) -> bool:
        """No: it ends with the process."""
        return False

    @property
    def is_shared(self) -> bool:
        """Whether it was given a state that other stores may have."""
        return self._is_shared

    def describe(self) -> str:
        """Return where the state is."""
        return "state.in-memory"

    async def open(self, clock: Clock) -> None:
        """Take the clock, which is the store's."""
        if self._clock is not None:
            raise BackendError("the memory store is open already")
        self._clock = clock

    async def close(self) -> None:
        """Let go of the state; what it holds stays for stores that share it."""
        self._clock = None

    async def create(self) -> None:
        """Make the state usable."""
        self._open_now()
        self._state.is_created = True

    async def delete(self) -> None:
        """Forget everything, the names of leases too."""
        self._open_now()
        self._state.is_created = False
        self._state.clear()

    async def status(self) -> SchemaStatus:
        """Return the one version there is."""
        self._open_now()
        return SchemaStatus(SCHEMA_VERSION if self._state.is_created else None, SCHEMA_VERSION)

    async def now(self) -> datetime:
        """Return the time of the clock that `open` got."""
        return self._open_now()

    def _open_now(self) -> datetime:
        if self._clock is None:
            raise BackendError("the memory store is not open")
        return self._clock.now()

    def _now(self) -> datetime:
        now = self._open_now()
        if not self._state.is_created:
            raise TaskHubNotFoundError("the memory store has not been created")
        return now

    # Actors

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        """Carry out saves one after the other."""
        self._now()
        return tuple([carry_out(self._state, save) for save in saves])

    async def read(
        self, actors: Sequence[ActorId], *, keys: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> tuple[ActorState | None, ...]:
        """Return values of actors, all of one moment."""
        self._now()
        return tuple([self._read(actor, frozenset(keys), tuple(prefixes)) for actor in actors])

    def _read(
        self, actor: ActorId, keys: frozenset[str], prefixes: tuple[str, ...]
    ) -> ActorState | None:
        found = self._state.actors.get(actor)
        if found is None:
            return None
        wanted = (key for key in found.values if key in keys or key.startswith(prefixes))
        in_order = sorted(wanted, key=str.encode)
        return ActorState(etag=found.etag, values={key: found.values[key] for key in in_order})

    async def marked(
        self,
        actor_type: str,
        index: str,
        *,
        after: tuple[int, str] | None,
        limit: int,
        key: str,
    ) -> tuple[MarkedActor, ...]:
        """Return actors by rank, with a value of the same moment."""
        self._now()
        return tuple(
            MarkedActor(
                id=actor_id,
                rank=rank,
                value=self._state.actors[ActorId(actor_type, actor_id)].values.get(key),
            )
            for rank, actor_id in self._state.marks.after(actor_type, index, after, limit)
        )

    # Reminders

    async def due(self, queue: str, limit: int) -> DueReminders:
        """Return what is due and held by nobody."""
        now = self._now()
        free, due = self._state.reminders.free(queue, now)
        is_all = due <= limit
        return DueReminders(
            reminders=tuple(self._due(found) for _, _, found in free[: min(due, limit)]),
            next_due_at=free[due][0] if is_all and due < len(free) else None,
            now=now,
        )

    def _due(self, found: ReminderId) -> DueReminder:
        entry = self._state.reminders.find(found.home, found.name)
        assert entry is not None
        reminder = entry.reminder
        return DueReminder(
            id=found, due_at=reminder.due_at, label=reminder.label, payload=reminder.payload
        )

    async def held(self, lease: str) -> tuple[ReminderId, ...]:
        """Return the reminders that a lease holds."""
        self._now()
        return self._state.reminders.held_by(lease)

    async def held_labels(self, queue: str) -> Mapping[str, int]:
        """Return how many reminders of a queue are held, by label."""
        self._now()
        return self._state.reminders.held_labels(queue)

    async def reminders(self, home: ActorId) -> tuple[ReminderId, ...]:
        """Return the reminders of an actor."""
        self._now()
        return tuple(ReminderId(home, name) for name in self._state.reminders.names(home))

    # Leases

    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known, and end what is overdue."""
        now = self._now()
        if lease.name in self._state.lease_names:
            raise BackendError("the name of the lease has been used before")
        self._state.lease_names.add(lease.name)
        self._state.leases[lease.name] = MemoryLease(lease, now)
        return self._beat(now, (lease.name,))

    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Renew leases, and end what else is overdue."""
        now = self._now()
        unknown = [name for name in names if name not in self._state.leases]
        if unknown:
            raise SessionFencedError(f"the lease {unknown[0]} is unknown or has ended")
        for name in names:
            self._state.leases[name].renew(now)
        return self._beat(now, names)

    def _beat(self, now: datetime, alive: Sequence[str]) -> LeaseBeat:
        ended = self._end_overdue(now, alive)
        return LeaseBeat(now=now, ended=ended, next_overdue_at=self._next_overdue_at(alive))

    def _end_overdue(self, now: datetime, alive: Sequence[str]) -> tuple[Lease, ...]:
        overdue = [
            name
            for name, lease in self._state.leases.items()
            if name not in alive and lease.is_overdue(now)
        ]
        return tuple(lease for name in overdue if (lease := self._state.end_lease(name)))

    def _next_overdue_at(self, but: Sequence[str]) -> datetime | None:
        others = (lease for name, lease in self._state.leases.items() if name not in but)
        return min((lease.overdue_at for lease in others), default=None)

    async def release(self, name: str) -> None:
        """End a lease and free what it held."""
        self._now()
        self._state.end_lease(name)

    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that live."""
        self._now()
        return tuple(lease.lease for lease in self._state.leases.values())

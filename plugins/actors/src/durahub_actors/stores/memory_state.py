"""What a memory store holds: actors, reminders and leases, each with the orders they are asked for in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from durahub_actors.stores.leases import Lease
from durahub_actors.stores.saves import ActorId, Reminder, ReminderId


@dataclass(slots=True)
class MemoryActor:
    """The state of one actor.

    Attributes:
        etag: Its etag.
        values: Its values by key.
        marks: Its ranks by index.
    """

    etag: str
    values: dict[str, bytes] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReminder:
    """A reminder and who holds it.

    Attributes:
        reminder: As put.
        holder: The lease that holds it; None for nobody.
    """

    reminder: Reminder
    holder: str | None


class Marks:
    """Actors in the order of their ranks, by type and index."""

    def __init__(self) -> None:
        self._ranked: defaultdict[tuple[str, str], list[tuple[int, bytes]]] = defaultdict(list)

    def add(self, actor: ActorId, index: str, rank: int) -> None:
        """Put an actor that is not in the index there."""
        insort(self._ranked[actor.type, index], (rank, actor.id.encode()))

    def remove(self, actor: ActorId, index: str, rank: int) -> None:
        """Take an actor with this rank out of the index."""
        ranked = self._ranked[actor.type, index]
        ranked.pop(bisect_left(ranked, (rank, actor.id.encode())))

    def after(
        self, actor_type: str, index: str, after: tuple[int, str] | None, limit: int
    ) -> Iterator[tuple[int, str]]:
        """Yield ranks and ids behind a place, in order."""
        ranked = self._ranked[actor_type, index]
        start = 0 if after is None else bisect_right(ranked, (after[0], after[1].encode()))
        for rank, actor_id in ranked[start : start + limit]:
            yield rank, actor_id.decode()


class Reminders:
    """Reminders by home, by moment and by holder."""

    def __init__(self) -> None:
        self._homes: defaultdict[ActorId, dict[str, MemoryReminder]] = defaultdict(dict)
        self._free: defaultdict[str, list[tuple[datetime, int, ReminderId]]] = defaultdict(list)
        self._held: defaultdict[str, set[ReminderId]] = defaultdict(set)
        self._labels: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def find(self, home: ActorId, name: str) -> MemoryReminder | None:
        """Return a reminder, None if there is none of this name."""
        return self._homes[home].get(name) if home in self._homes else None

    def names(self, home: ActorId) -> tuple[str, ...]:
        """Return the names of an actor's reminders."""
        return tuple(self._homes.get(home, ()))

    def set(self, home: ActorId, name: str, reminder: Reminder, holder: str | None) -> None:
        """Put a reminder in place of the one of its name, if there is one."""
        self.remove(home, name)
        self._homes[home][name] = MemoryReminder(reminder=reminder, holder=holder)
        found = ReminderId(home, name)
        if holder is None:
            insort(self._free[reminder.queue], (reminder.due_at, reminder.order, found))
        else:
            self._held[holder].add(found)
            self._labels[reminder.queue][reminder.label] += 1

    def remove(self, home: ActorId, name: str) -> None:
        """Remove a reminder; one that does not exist is no error."""
        entry = self.find(home, name)
        if entry is None:
            return
        del self._homes[home][name]
        if not self._homes[home]:
            del self._homes[home]
        reminder, gone = entry.reminder, ReminderId(home, name)
        if entry.holder is None:
            free = self._free[reminder.queue]
            free.pop(bisect_left(free, (reminder.due_at, reminder.order, gone)))
        else:
            self._held[entry.holder].discard(gone)
            self._labels[reminder.queue][reminder.label] -= 1

    def release_all(self, holder: str) -> None:
        """Take everything from a lease."""
        for home, name in self.held_by(holder):
            self.set(home, name, self._homes[home][name].reminder, None)
        self._held.pop(holder, None)

    def held_by(self, holder: str) -> tuple[ReminderId, ...]:
        """Return what a lease holds."""
        return tuple(self._held.get(holder, ()))

    def held_labels(self, queue: str) -> dict[str, int]:
        """Return how many reminders of a queue are held, by label."""
        return dict(+self._labels[queue])

    def free(self, queue: str, now: datetime) -> tuple[list[tuple[datetime, int, ReminderId]], int]:
        """Return what nobody holds of a queue, in order, and how many of these are due."""
        free = self._free[queue]
        return free, bisect_right(free, now, key=lambda entry: entry[0])


@dataclass(slots=True)
class MemoryLease:
    """A lease that lives.

    Attributes:
        lease: As acquired.
        renewed_at: When it last proved that it lives.
    """

    lease: Lease
    renewed_at: datetime

    @property
    def overdue_at(self) -> datetime:
        """From when on anyone may end it."""
        return self.renewed_at + self.lease.time_to_live

    def is_overdue(self, now: datetime) -> bool:
        """Whether anyone may end it."""
        return now >= self.overdue_at

    def renew(self, now: datetime) -> None:
        """Note a proof of life."""
        self.renewed_at = now


class MemoryState:
    """What one memory store holds, or several that stand for processes with one store.

    Attributes:
        is_created: Whether `StateStore.create` has run.
        actors: The actors that have state.
        marks: Their places in indexes.
        reminders: All reminders.
        leases: The leases that live, by name.
        lease_names: All names of leases that were ever used.
    """

    def __init__(self) -> None:
        self.is_created = False
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.actors: dict[ActorId, MemoryActor] = {}
        self.marks = Marks()
        self.reminders = Reminders()
        self.leases: dict[str, MemoryLease] = {}
        self.lease_names: set[str] = set()

    def end_lease(self, name: str) -> Lease | None:
        """End a lease and free what it held; None if it does not live."""
        ended = self.leases.pop(name, None)
        if ended is None:
            return None
        self.reminders.release_all(name)
        return ended.lease

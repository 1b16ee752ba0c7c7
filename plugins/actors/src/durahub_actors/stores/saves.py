"""The writes of a state store: conditional transactions, each about one actor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from durahub.errors import BackendError


class ActorId(NamedTuple):
    """Identifies an actor in a store.

    Attributes:
        type: Its type.
        id: Any string; compared byte by byte.
    """

    type: str
    id: str


class ReminderId(NamedTuple):
    """Identifies a reminder in a store.

    Attributes:
        home: The actor with whose state it is saved, and whose end is its end too.
        name: Unique among the reminders of this home.
    """

    home: ActorId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """A durable wish to be found at a moment.

    While a lease holds a reminder nobody finds it. When that lease ends, the reminder is held by nobody,
    in the same transaction or before anyone learns of the end.

    Attributes:
        queue: Under which name it is found (`StateStore.due`).
        due_at: Not found before this moment of the store's clock; microseconds.
        order: Decides between reminders of one moment: the lower first. At least 0, below 2**63.
        label: For counting (`StateStore.held_labels`).
        payload: Opaque bytes.
        release: Take it from whoever holds it; without this an existing reminder keeps its holder.
        take: The lease that is to hold it, if after that nobody else does; one of `Save.leases`.
    """

    queue: str
    due_at: datetime
    order: int = 0
    label: str = ""
    payload: bytes = b""
    release: bool = False
    take: str | None = None


class Unchecked(Enum):
    """The condition that is none."""

    UNCHECKED = "unchecked"


UNCHECKED = Unchecked.UNCHECKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """One conditional transaction: everything of it or nothing.

    All that it touches belongs to `actor`: its state, its marks, and the reminders whose home it is. So a
    store may keep each actor in one place, such as one hash slot.

    Conditions, checked in the transaction in this order: every lease of `leases` lives; the actor's etag is
    `expected`; every reminder of `held` exists and is held as given.

    Then, in this order: `erase`; `delete`, `unmark`, `forget`; `put`, `mark`, `remind`, `hold`.

    Attributes:
        actor: Whose state.
        leases: Names of leases that must live.
        expected: The etag that the actor must have; None: it must have no state; `UNCHECKED`: no matter.
        etag: The actor's etag afterwards; unique for ever. None leaves it, and then `put`, `delete`, `mark`
            and `unmark` are empty. With `erase` None means that no state is left.
        held: By which lease these reminders must be held, None for by nobody. A name that does not exist
            fails, whatever is asked.
        erase: Remove the actor's whole state, marks and reminders first.
        put: Values of the state by key; replaces what is there.
        delete: Keys to remove; those that do not exist are no error.
        mark: The actor's rank in indexes, by name of the index; replaces its rank there. At least 0,
            below 2**53.
        unmark: Indexes to leave.
        remind: Reminders to put, by name; replaces one of the same name except for who holds it.
        forget: Names of reminders to remove; those that do not exist are no error.
        hold: Reminders that exist, by name, and the lease that is to hold them from now on, one of
            `leases`, or None for nobody; those that do not exist are no error. Used with `held`.
    """

    actor: ActorId
    leases: tuple[str, ...] = ()
    expected: str | Unchecked | None = UNCHECKED
    etag: str | None = None
    held: Mapping[str, str | None] = field(default_factory=dict)
    erase: bool = False
    put: Mapping[str, bytes] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    mark: Mapping[str, int] = field(default_factory=dict)
    unmark: tuple[str, ...] = ()
    remind: Mapping[str, Reminder] = field(default_factory=dict)
    forget: tuple[str, ...] = ()
    hold: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The transaction is durable.

    Attributes:
        etag: The actor's etag after it; None if it has no state.
        taken: Names of the reminders with `take` that this lease holds now.
    """

    etag: str | None
    taken: frozenset[str] = frozenset()


class Refusal(Enum):
    """Which condition of a save did not hold."""

    LEASE = "lease"
    ETAG = "etag"
    HOLDER = "holder"


@dataclass(frozen=True, slots=True)
class Refused:
    """A condition did not hold; nothing changed.

    Attributes:
        refusal: The first condition that did not hold.
    """

    refusal: Refusal


SaveResult = Saved | Refused
"""What became of one save."""


def check_save(save: Save) -> None:
    """Refuse a save that makes no sense.

    Raises:
        BackendError: It changes state without an etag, or gives a reminder to a lease that it does not name.
    """
    if save.etag is None and (save.put or save.delete or save.mark or save.unmark):
        raise BackendError("a save without an etag leaves the state and the marks of its actor")
    wanted = {reminder.take for reminder in save.remind.values()} | set(save.hold.values())
    if wanted - {None, *save.leases}:
        raise BackendError("a lease that is to hold a reminder is among the leases of the save")

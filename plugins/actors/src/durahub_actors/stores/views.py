"""What a state store gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from durahub_actors.stores.saves import ReminderId


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorState:
    """Values of one actor, of one moment.

    Attributes:
        etag: Its etag.
        values: What was asked for and exists, in the order of the keys' UTF-8 bytes.
    """

    etag: str
    values: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReminder:
    """A reminder whose moment has come, and which nobody held when it was read.

    Attributes:
        id: Which.
        due_at: Its moment.
        label: As put.
        payload: As put.
    """

    id: ReminderId
    due_at: datetime
    label: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReminders:
    """The outcome of `StateStore.due`.

    Attributes:
        reminders: In the order of their moments, then of `Reminder.order`.
        next_due_at: The earliest moment of the reminders of the queue that nobody holds and that are not
            due yet; None if there is none, or if more are due than were asked for.
        now: The store's clock.
    """

    reminders: tuple[DueReminder, ...]
    next_due_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedActor:
    """An actor as an index shows it.

    Attributes:
        id: Its id; the type is the one that was asked for.
        rank: Its rank.
        value: The value of the key that was asked for; None if the actor has none.
    """

    id: str
    rank: int
    value: bytes | None

"""What the memory store holds: mutable rows around the contract's frozen values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from durahub.backend import (
    ActivityTask,
    ClaimedInstance,
    InstanceRecord,
    Message,
    Payloads,
    Session,
    StoredMessage,
    Timer,
)
from durahub.backend.transitions import first_message_id, handed_over, moment_of_waking
from durahub.types import InstanceKey, SessionId, TaskKey


@dataclass(slots=True, kw_only=True)
class InstanceRow:
    """An instance with everything that belongs to it.

    Attributes:
        record: The record.
        payloads: The payloads.
        position: Place in the order of creation over the whole store.
        history: Committed events of the present generation.
        inbox: Waiting messages by id, in order of acceptance.
        last_message_id: The last one given out; outlives generations and replacements.
        timers: Timers of the present generation by id.
        tasks: Activity tasks of any generation; used as an ordered set.
        not_before: Not due before this moment.
        woken_at: When a delivery first expedited the instance, since its last turn.
        owner: The session that owns it.
    """

    record: InstanceRecord
    payloads: Payloads
    position: int
    history: list[bytes] = field(default_factory=list)
    inbox: dict[int, StoredMessage] = field(default_factory=dict)
    last_message_id: int = 0
    timers: dict[int, Timer] = field(default_factory=dict)
    tasks: dict[TaskKey, None] = field(default_factory=dict)
    not_before: datetime | None = None
    woken_at: datetime | None = None
    owner: SessionId | None = None

    @property
    def key(self) -> InstanceKey:
        """The instance's key."""
        return self.record.key

    def wake_at(self) -> datetime | None:
        """Return when the instance is due, were it unowned; None: never by itself."""
        return moment_of_waking(
            self.record,
            next(iter(self.inbox.values()), None),
            self.timers.values(),
            not_before=self.not_before,
            woken_at=self.woken_at,
        )

    def is_due(self, now: datetime) -> bool:
        """Whether the instance can be claimed: its moment has come and nobody owns it."""
        wake_at = self.wake_at()
        return self.owner is None and wake_at is not None and wake_at <= now

    def append(self, messages: Iterable[Message], now: datetime) -> None:
        """Put messages at the end of the inbox."""
        for message in messages:
            self.last_message_id += 1
            self.inbox[self.last_message_id] = StoredMessage(
                message_id=self.last_message_id, message=message, accepted_at=now
            )

    def put_first(self, message: Message, now: datetime) -> None:
        """Put the start of a new generation before everything in the inbox."""
        message_id = first_message_id(self.record)
        first = StoredMessage(message_id=message_id, message=message, accepted_at=now)
        self.inbox = {message_id: first, **self.inbox}

    def claimed(self, now: datetime) -> ClaimedInstance:
        """Return what a claim hands over."""
        return handed_over(self.record, self.inbox.values(), self.timers.values(), now)


@dataclass(slots=True, kw_only=True)
class TaskRow:
    """An activity task.

    Attributes:
        task: The task.
        position: Place in the order of insertion over the whole store.
        owner: The session that owns it.
    """

    task: ActivityTask
    position: int
    owner: SessionId | None = None


@dataclass(slots=True, kw_only=True)
class SessionRow:
    """A session, for ever: its id must never be used again.

    Attributes:
        session: As registered.
        last_heartbeat: By the store's clock.
        alive: False once it was fenced or ended.
        instances: What it owns; used as an ordered set.
        tasks: What it owns; used as an ordered set.
        forwarded: What others forwarded to it and it has not handled, by number, the oldest first.
    """

    session: Session
    last_heartbeat: datetime
    alive: bool = True
    instances: dict[InstanceKey, None] = field(default_factory=dict)
    tasks: dict[TaskKey, None] = field(default_factory=dict)
    forwarded: dict[int, bytes] = field(default_factory=dict)

    @property
    def overdue_at(self) -> datetime:
        """From when on others may fence it."""
        return self.last_heartbeat + self.session.time_to_live + timedelta(microseconds=1)

    def is_overdue(self, now: datetime) -> bool:
        """Whether others may fence it."""
        return self.alive and now >= self.overdue_at

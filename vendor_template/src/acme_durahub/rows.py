"""What the store holds: one document per instance, per session and per activity task, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from durahub.backend import ActivityTask, InstanceRecord, Payloads, Session, StoredMessage
from durahub.errors import BackendCorruptionError
from durahub.types import InstanceKey, SessionId, TaskKey
from pydantic import ConfigDict, TypeAdapter, ValidationError

from acme_durahub import keys

T = TypeVar("T")

_JSON = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(slots=True, kw_only=True)
class InstanceRow:
    """An instance without its payloads, history, inbox and timers.

    Attributes:
        record: The record of the contract.
        position: Place in the order of creation over the whole store.
        last_message_id: The last one given out; outlives generations and replacements.
        not_before: Not due before this moment.
        woken_at: When a delivery first expedited the instance, since its last turn or parking.
        wake_at: When it is due, were it unowned; None: never by itself.
        owner: The session that owns it.
    """

    record: InstanceRecord
    position: int
    last_message_id: int = 0
    not_before: datetime | None = None
    woken_at: datetime | None = None
    wake_at: datetime | None = None
    owner: SessionId | None = None

    @property
    def key(self) -> InstanceKey:
        """The instance's key."""
        return self.record.key

    def index_keys(self) -> Iterator[bytes]:
        """Yield the keys under which the instance stands in the indexes. They follow from the rest."""
        app, place = keys.digest(self.key.app_id), keys.number(self.position)
        yield keys.CREATED + app + place
        if self.record.completed_at is not None:
            end = keys.number(self.record.status) + keys.moment(self.record.completed_at)
            yield keys.ENDED + app + end + place
        if self.owner is not None:
            yield keys.OWNED + keys.digest(self.owner) + keys.instance_address(self.key)
        elif self.wake_at is not None:
            yield keys.DUE + app + keys.moment(self.wake_at) + place


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

    def index_key(self) -> bytes:
        """Return the key under which the task stands in an index."""
        if self.owner is None:
            return keys.WAITING + keys.digest(self.task.app_id) + keys.number(self.position)
        return keys.OWNED_TASKS + keys.digest(self.owner) + keys.task_address(self.task.key)


@dataclass(slots=True, kw_only=True)
class SessionRow:
    """A living session.

    Attributes:
        session: As registered.
        last_heartbeat: By the machine's clock.
    """

    session: Session
    last_heartbeat: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceEntry:
    """What an index holds of an instance: enough to find and to count it."""

    key: InstanceKey
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEntry:
    """What an index holds of an activity task."""

    key: TaskKey
    name: str


class Codec(Generic[T]):
    """Makes bytes of documents of one type, and documents of bytes."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind.__name__
        # In a tuple, because pydantic takes no configuration for a dataclass by itself.
        self._adapter = TypeAdapter(tuple[kind], config=_JSON)  # type: ignore[valid-type]

    def encode(self, document: T) -> bytes:
        """Return a document as JSON."""
        return self._adapter.dump_json((document,))

    def decode(self, stored: bytes) -> T:
        """Return the document that was stored.

        Raises:
            BackendCorruptionError: It does not decode; the message holds nothing of it.
        """
        try:
            (document,) = self._adapter.validate_json(stored)
        except ValidationError as error:
            raise BackendCorruptionError(
                f"a stored {self._kind} does not decode: {error.error_count()} errors"
            ) from error
        return document


INSTANCE = Codec(InstanceRow)
TASK = Codec(TaskRow)
SESSION = Codec(SessionRow)
INSTANCE_ENTRY = Codec(InstanceEntry)
TASK_ENTRY = Codec(TaskEntry)
PAYLOADS = Codec(Payloads)
MESSAGE = Codec(StoredMessage)

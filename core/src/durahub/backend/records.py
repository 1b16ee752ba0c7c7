"""What a backend stores and gives back: plain values, without behaviour.

Times are aware UTC datetimes of microsecond precision. Where the protocol needs nanoseconds they are in
the event bytes, which a backend never looks into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentLink:
    """Ties a child to the place in its parent that waits for it.

    Attributes:
        key: The parent instance.
        execution_id: The parent's generation that created the child.
        task_id: The event id under which the parent waits.
    """

    key: InstanceKey
    execution_id: ExecutionId
    task_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """Everything about an instance except its payloads, history, messages and timers.

    Attributes:
        key: Which instance.
        name: Name of the workflow.
        version: Version given by the client, if any.
        execution_id: The present generation's unique name.
        generation: Number of the present generation; 1 for the first run of an id, one more for each
            continue-as-new and each replacement of an ended run.
        status: PENDING until the first turn is committed.
        created_at: When the start was accepted.
        last_updated_at: When the last turn was committed.
        started_at: When the first turn of the present generation began.
        completed_at: When a terminal status was reached.
        scheduled_start_at: The start time asked for, if any.
        parent: The parent's waiting place, for a child.
        tags: The client's tags.
        revision: Counts the committed writes of owners; what `CommitTurn` expects to find.
        history_length: Committed events of the present generation.
        parked_reason: Why the instance was parked, while it is.
    """

    key: InstanceKey
    name: str
    version: str | None = None
    execution_id: ExecutionId
    generation: int = 1
    status: RuntimeStatus = RuntimeStatus.PENDING
    created_at: datetime
    last_updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    scheduled_start_at: datetime | None = None
    parent: ParentLink | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    history_length: int = 0
    parked_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """The texts of an instance that users gave or get. Absent and empty are different.

    Attributes:
        input: Input of the present generation.
        output: Result, once completed.
        custom_status: As the worker last set it.
        failure: Serialised TaskFailureDetails of a failed instance; opaque to the backend.
    """

    input: str | None = None
    output: str | None = None
    custom_status: str | None = None
    failure: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    """An instance as one consistent reading shows it.

    Attributes:
        record: The record.
        payloads: The payloads, or None if the reading did not ask for them.
    """

    record: InstanceRecord
    payloads: Payloads | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHistory:
    """An instance's record and committed history, of one moment.

    Attributes:
        record: The record.
        events: Serialised events in order; `record.history_length` many, byte for byte as appended.
    """

    record: InstanceRecord
    events: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that happened to an instance and is not yet in its history.

    Attributes:
        payload: Opaque bytes.
        execution_id: The generation it is meant for, or None for whichever runs. It travels with the
            message; the engine, not the backend, drops what has come too late.
    """

    payload: bytes
    execution_id: ExecutionId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message that waits in an instance's inbox.

    Attributes:
        message_id: Unique within one instance, for ever. Claims hand messages over in the order of
            acceptance, except that the start of a new generation comes first.
        message: What was delivered.
        accepted_at: When, by the store's clock.
    """

    message_id: int
    message: Message
    accepted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A message that becomes visible at a moment.

    Attributes:
        timer_id: Unique among the timers of the present generation of the instance.
        due_at: Not visible before this moment of the store's clock. `END_OF_TIME`: never.
        payload: Opaque bytes.
    """

    timer_id: int
    due_at: datetime
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityTask:
    """A scheduled activity, until its result has become a message.

    Attributes:
        key: Which task of which generation of which instance.
        app_id: The application whose workers run it.
        name: Name of the activity.
        payload: Opaque bytes that describe what to run.
    """

    key: TaskKey
    app_id: AppId
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedInstance:
    """An instance that now belongs to the session, and what waits for it.

    Attributes:
        record: The record, as claimed.
        messages: The oldest waiting messages in order of acceptance, at most `MESSAGES_PER_CLAIM`.
        timers: The due timers in order of their moments, at most `MESSAGES_PER_CLAIM`.
    """

    record: InstanceRecord
    messages: tuple[StoredMessage, ...]
    timers: tuple[Timer, ...]


MESSAGES_PER_CLAIM = 1000
"""Most messages, and most timers, handed over with one claim; the rest keep the instance due."""

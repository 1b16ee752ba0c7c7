"""The writes of a backend: what one `apply` is made of.

Each operation succeeds or is refused by itself, as one atomic change, and its result says which
(`durahub.backend.results`). `Backend.apply` says how operations of one batch combine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from durahub.backend.records import ActivityTask, Message, ParentLink, Timer
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus, TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance:
    """Insert an instance, PENDING and unowned, with its first message.

    On an id that exists the creation is refused with `InstanceExists`, unless `replaces` names the
    revision of an existing instance that has a terminal status: then everything of the old run except
    its activity tasks is removed, and the new run takes its place with the next generation number, and a
    revision that is greater than the old one. On a free id `replaces` means nothing.

    Result: `InstanceCreated` or `InstanceExists`.

    Repeating it after an unknown outcome is safe: `InstanceExists` then shows the same execution id.

    Attributes:
        key: Which instance.
        name: Name of the workflow.
        version: The client's version text, if any.
        execution_id: Unique name of the new generation.
        input: The workflow's input, if any.
        tags: The client's tags.
        parent: Who waits for the instance, for a child.
        created_at: The record's creation time, and its last update until the first turn.
        start: The first message.
        not_before: The instance does not become due before this moment; also the record's
            `scheduled_start_at`.
        replaces: Revision of the ended instance that may be replaced.
    """

    key: InstanceKey
    name: str
    version: str | None = None
    execution_id: ExecutionId
    input: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: ParentLink | None = None
    created_at: datetime
    start: Message
    not_before: datetime | None = None
    replaces: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Append messages to the inbox of an instance that has not ended, which makes it due.

    An instance that has a not-before time stays asleep until then, and a parked one stays parked, unless
    `expedite` is set, which removes the not-before time. Without messages and with `expedite` it merely
    makes the instance due, until its next turn or parking.

    Result: `Delivered`, `InstanceMissing`, or `InstanceEnded` (nothing was appended).

    Repeating it after an unknown outcome may append twice; receivers drop what they have seen.

    Attributes:
        key: The receiver.
        messages: Appended in this order, next to each other.
        expedite: Do not wait for the instance's not-before time.
    """

    key: InstanceKey
    messages: tuple[Message, ...]
    expedite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NextGeneration:
    """The generation that a turn ends with (continue-as-new).

    Attributes:
        execution_id: Its unique name.
        input: Its input, which replaces the instance's.
        start: Its first message, placed at the head of the inbox: what waits there comes after it.
    """

    execution_id: ExecutionId
    input: str | None
    start: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitTurn:
    """Make what one turn decided durable, all of it or nothing, and give the instance back.

    Refused with `NotOwner` if the session does not own the instance, its revision is not `revision`, or
    its generation is not `execution_id` (a purged id that was created anew has old revisions again);
    with `ChildrenExist` if a child's id is occupied (see `CreateInstance.replaces`). A refused turn has
    changed nothing: after `ChildrenExist` the session still owns the instance.

    Otherwise, atomically:

    - the record takes over `status`, `custom_status`, `output`, `failure` and the times; the parked
      reason and the not-before time are cleared; the revision rises by one;
    - the consumed messages and the removed timers disappear (those already gone are no error);
    - `history` is appended, gap-free; or, with `next_generation`, the whole history and all timers are
      removed, the generation number rises by one, and the new start message is put at the head of the
      inbox, before whatever waits there;
    - timers, activity tasks and children are inserted;
    - `outgoing` messages are appended to the inboxes of their receivers (see `Deliver`; a receiver that
      is missing or has ended makes its message disappear); a store whose transactions don't span
      instances keeps them, and the children, in an outbox inside the commit and delivers them at least
      once: before the commit is acknowledged, or, if its process dies, when the session is fenced;
    - on a terminal status all remaining messages and timers of the instance are removed. Activity tasks
      stay: they still run;
    - the instance is unowned, and due if messages or due timers wait for it.

    Result: `TurnCommitted`, `NotOwner` or `ChildrenExist`.

    Repeating it after an unknown outcome is safe: `NotOwner`.

    Attributes:
        key: Which instance.
        execution_id: The generation that the turn was computed from.
        revision: The revision that the turn was computed from.
        status: New status.
        updated_at: The record's `last_updated_at`.
        started_at: The record's `started_at`.
        completed_at: The record's `completed_at`; given with a terminal status, and only then.
        custom_status: New custom status; None removes it.
        output: New output; None removes it.
        failure: New failure details; None removes them.
        consumed: Ids of messages that are now in history or were dropped.
        removed_timers: Ids of timers that fired or were cancelled.
        history: Serialised events to append.
        next_generation: Set for continue-as-new; `history` is then empty.
        timers: New timers; an existing one of the same id is replaced.
        activities: New activity tasks; one whose key exists already is left as it is.
        children: New instances; each with its own `replaces`.
        outgoing: Messages to other instances.
    """

    key: InstanceKey
    execution_id: ExecutionId
    revision: int
    status: RuntimeStatus
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    custom_status: str | None = None
    output: str | None = None
    failure: bytes | None = None
    consumed: tuple[int, ...] = ()
    removed_timers: tuple[int, ...] = ()
    history: tuple[bytes, ...] = ()
    next_generation: NextGeneration | None = None
    timers: tuple[Timer, ...] = ()
    activities: tuple[ActivityTask, ...] = ()
    children: tuple[CreateInstance, ...] = ()
    outgoing: tuple[Deliver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitActivity:
    """Replace an activity task that the session owns by its result.

    The task disappears and `result` is appended to the inbox of its instance, if that still runs the
    generation that scheduled the task and has not ended; otherwise the result disappears too.

    Result: `ActivityCommitted`, or `TaskNotOwned` (purged, completed before, or taken over: nothing
    changed).

    Repeating it after an unknown outcome is safe: `TaskNotOwned`.

    Attributes:
        task: Which task.
        result: The message for the instance.
    """

    task: TaskKey
    result: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseInstance:
    """Give an instance back that the session owns, without a turn.

    Result: `Released` or `NotOwner`.

    Attributes:
        key: Which instance.
        not_before: Do not become due before this moment, whatever waits; None: as if never claimed.
    """

    key: InstanceKey
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkInstance:
    """Give an instance back that can't go on by itself, visibly.

    Its status becomes STALLED with `reason`; `history` is appended, gap-free; the revision rises by one;
    messages are still accepted; it becomes due only by a `Deliver` that expedites. A later `CommitTurn`
    ends the parking.

    Result: `Released` or `NotOwner`.

    Attributes:
        key: Which instance.
        reason: For people: what is wrong and what helps.
        updated_at: The record's `last_updated_at`.
        history: Serialised events to append.
    """

    key: InstanceKey
    reason: str
    updated_at: datetime
    history: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseActivity:
    """Give an activity task back that the session owns, to be claimed again.

    Result: `Released` or `TaskNotOwned`.

    Attributes:
        task: Which task.
    """

    task: TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeInstance:
    """Remove every trace of an instance: record, payloads, history, inbox, timers, activity tasks.

    Result: `Purged`, `InstanceMissing`, or `InstanceNotEnded` (not terminal and not forced).

    Attributes:
        key: Which instance.
        execution_id: Only if this is the present generation; otherwise `InstanceMissing`. None: any.
        force: Even if the instance has not ended; its owner's writes are refused from then on.
    """

    key: InstanceKey
    execution_id: ExecutionId | None = None
    force: bool = False


Operation = (
    CreateInstance
    | Deliver
    | CommitTurn
    | CommitActivity
    | ReleaseInstance
    | ParkInstance
    | ReleaseActivity
    | PurgeInstance
)
"""Anything that `Backend.apply` takes."""

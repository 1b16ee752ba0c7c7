"""What became of each operation of an `apply`, and what was claimed along with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from durahub.backend.records import ActivityTask, ClaimedInstance, InstanceRecord
from durahub.types import RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCreated:
    """The instance exists now.

    Attributes:
        generation: Its generation number.
    """

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExists:
    """The id is taken and may not be replaced; nothing changed.

    Attributes:
        existing: What has the id.
    """

    existing: InstanceRecord


@dataclass(frozen=True, slots=True)
class Delivered:
    """The messages are in the inbox."""


@dataclass(frozen=True, slots=True)
class InstanceMissing:
    """There is no such instance; nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceEnded:
    """The instance has a terminal status; nothing changed.

    Attributes:
        status: Which.
    """

    status: RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceNotEnded:
    """The instance has no terminal status; nothing changed.

    Attributes:
        status: Which it has.
    """

    status: RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCommitted:
    """The turn is durable.

    Attributes:
        revision: The instance's new revision.
    """

    revision: int


@dataclass(frozen=True, slots=True)
class NotOwner:
    """The session does not own the instance, or not at that revision; nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildrenExist:
    """Ids of children are occupied; nothing changed.

    Attributes:
        existing: What has the ids.
    """

    existing: tuple[InstanceRecord, ...]


@dataclass(frozen=True, slots=True)
class ActivityCommitted:
    """The task is gone and its result delivered, or dropped as outlived."""


@dataclass(frozen=True, slots=True)
class TaskNotOwned:
    """The session does not own such a task; nothing changed."""


@dataclass(frozen=True, slots=True)
class Released:
    """The session owns it no longer."""


@dataclass(frozen=True, slots=True)
class Purged:
    """Nothing of the instance is left."""


Result = (
    InstanceCreated
    | InstanceExists
    | Delivered
    | InstanceMissing
    | InstanceEnded
    | InstanceNotEnded
    | TurnCommitted
    | NotOwner
    | ChildrenExist
    | ActivityCommitted
    | TaskNotOwned
    | Released
    | Purged
)
"""What became of one operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much more a session is ready to take on.

    Attributes:
        instances: Most instances to claim.
        activities: Most activity tasks to claim.
    """

    instances: int = 0
    activities: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The outcome of one `apply`.

    Attributes:
        results: One per operation, in the order of the batch.
        instances: Instances of the session's application that the batch touched and that were due and
            unowned after it: they belong to the session now.
        activities: Activity tasks for the session's application that the batch inserted:
            they belong to the session now.
    """

    results: tuple[Result, ...]
    instances: tuple[ClaimedInstance, ...] = ()
    activities: tuple[ActivityTask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceClaims:
    """The outcome of `claim_instances`.

    Attributes:
        instances: They belong to the session now; longest due first.
        next_due_at: When the next instance of the application that nobody owns becomes due by itself,
            if that is known to be later than `now`; None if none will, or if more is due already. What
            the session's limits hold back is not due in this sense: it waits for no moment.
        now: The store's clock.
    """

    instances: tuple[ClaimedInstance, ...]
    next_due_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePage:
    """One page of a listing.

    Attributes:
        instances: In order of creation.
        next_token: Ask for the next page with it; None on the last page.
    """

    instances: tuple[InstanceRecord, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedInstances:
    """The outcome of `list_ended`.

    Attributes:
        instances: In order of `completed_at`, the earliest first; those of one moment in any order.
        now: The store's clock.
    """

    instances: tuple[InstanceRecord, ...]
    now: datetime

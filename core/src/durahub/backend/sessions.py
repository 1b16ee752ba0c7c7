"""Sessions: who owns, how the dead lose what they owned, and what one session hands to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from durahub.types import AppId, SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimit:
    """How many of one kind may be owned at the same time by all sessions of an application together.

    Both parts hold: what is claimed needs a place in the total, and in the limit of its name if that has
    one. `durahub.backend.places` counts them.

    Attributes:
        total: At most so many, whatever their names; 0: none; None: no limit.
        by_name: At most so many of each of these names; names that are missing have no limit of their own.
    """

    total: int | None = None
    by_name: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.total is not None or bool(self.by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimits:
    """What a session respects when it claims, in whichever way.

    - **Counting.** A claim counts what all live sessions of the application own, under their own limits or
      none, and takes nothing by which its own session's would be exceeded; not even together with claims
      that are made at the same time.
    - **Order.** What is over a limit stays claimable and keeps its place: the longest due is the first to
      be claimed once it is admitted. It never holds back what is behind it and admitted.
    - **No overtaking.** `apply` claims along nothing that a limit of its session counts while something
      else of that kind is claimable that has been due for longer, or is older, and that the batch did not
      touch. What it leaves is for the next claim.
    - **Hints.** When something owned is given back (committed, released, parked, purged, or with the end of
      its owner) and something waits that may have been held back for it, the other sessions of the
      application that have limits get a `WorkDue`. The session that gave it back looks again by itself.

    Attributes:
        instances: For instances, by the name of the workflow.
        activities: For activity tasks, by the name of the activity. Tasks count for the application that
            runs them.
    """

    instances: ClaimLimit = ClaimLimit()
    activities: ClaimLimit = ClaimLimit()

    def __bool__(self) -> bool:
        return bool(self.instances) or bool(self.activities)


NO_LIMITS = ClaimLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One running sidecar process in a task hub.

    Attributes:
        session_id: Unique for ever: a fenced session comes back under a new id.
        app_id: The application whose instances and activity tasks it may claim.
        time_to_live: Without a heartbeat for this long by the store's clock, others may fence it.
        holder: For people: host, process id, whatever tells where it runs.
        limits: What its claims respect, for as long as it lives.
    """

    session_id: SessionId
    app_id: AppId
    time_to_live: timedelta
    holder: str
    limits: ClaimLimits = NO_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The answer to a heartbeat.

    Attributes:
        now: The store's clock.
        fenced: Sessions that this heartbeat declared dead; what they owned is unowned.
        next_overdue_at: When the first of the others is overdue, unless its own heartbeat comes by then: one
            that is sent at that moment fences it. None: there are no others, or the store does not tell.
    """

    now: datetime
    fenced: tuple[SessionId, ...]
    next_overdue_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Something that another session forwarded.

    Attributes:
        number: Names it among all that are ever forwarded to its session.
        payload: The bytes, as they were given.
    """

    number: int
    payload: bytes


MOST_FORWARDED = 1000
"""About how many envelopes wait for one session at most."""

"""Sessions: who owns, and how the dead lose what they owned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from durahub.types import AppId, SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One running sidecar process in a task hub.

    Attributes:
        session_id: Unique for ever: a fenced session comes back under a new id.
        app_id: The application whose instances and activity tasks it may claim.
        time_to_live: Without a heartbeat for this long by the store's clock, others may fence it.
        holder: For people: host, process id, whatever tells where it runs.
    """

    session_id: SessionId
    app_id: AppId
    time_to_live: timedelta
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The answer to a heartbeat.

    Attributes:
        now: The store's clock.
        fenced: Sessions that this heartbeat declared dead; what they owned is unowned.
    """

    now: datetime
    fenced: tuple[SessionId, ...]

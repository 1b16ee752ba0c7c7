"""Sessions: parameters of the functions in `sessions.sql`, and what they return."""

from __future__ import annotations

from durahub.backend import ClaimLimit, Heartbeat, Session
from durahub.types import SessionId

from durahub_postgres.rows import Row
from durahub_postgres.text import from_stored, to_stored


def register_parameters(session: Session, connections: str) -> tuple[object, ...]:
    """Return the parameters of `register`.

    Args:
        session: What to register.
        connections: What the server calls the connections of its process.
    """
    return (
        to_stored(session.session_id),
        to_stored(session.app_id),
        to_stored(session.holder),
        connections,
        session.time_to_live,
        *_limit_parameters(session.limits.instances),
        *_limit_parameters(session.limits.activities),
    )


def beat_of(row: Row) -> Heartbeat:
    """Return the answer to a heartbeat."""
    moment, fenced = row
    return Heartbeat(now=moment, fenced=tuple(SessionId(from_stored(one)) for one in fenced))


def _limit_parameters(limit: ClaimLimit) -> tuple[object, ...]:
    names = [to_stored(name) for name in limit.by_name]
    return limit.total, names, list(limit.by_name.values())

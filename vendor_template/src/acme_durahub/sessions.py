"""Sessions: who may write, and how the dead lose what they owned."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from durahub.backend import Heartbeat, Session
from durahub.errors import BackendError, SessionFencedError
from durahub.types import AppId, InstanceKey, SessionId, TaskKey

from acme_durahub import keys, rows
from acme_durahub.hub import Hub
from acme_durahub.rows import SessionRow


def register(hub: Hub, session: Session) -> Heartbeat:
    """Make a session known, and fence the dead.

    Raises:
        BackendError: The session id has been used before.
    """
    used = keys.USED + keys.digest(session.session_id)
    if hub.txn.get(used) is not None:
        raise BackendError(f"session id {session.session_id!r} has been used before")
    hub.txn.put(used)
    return _beat(hub, session)


def heartbeat(hub: Hub, session_id: SessionId) -> Heartbeat:
    """Prove that a session lives, and fence the dead."""
    return _beat(hub, require_alive(hub, session_id))


def unregister(hub: Hub, session_id: SessionId) -> None:
    """End a session, if it lives: what it owned is unowned, and what was forwarded to it is gone."""
    release_all_but(hub, session_id, frozenset(), frozenset())
    address = keys.digest(session_id)
    hub.txn.clear(keys.FORWARDED + address)
    hub.txn.delete(keys.FORWARDED_COUNT + address)
    hub.txn.delete(keys.SESSIONS + address)


def find(hub: Hub, session_id: SessionId) -> Session | None:
    """Return a session, if it is alive."""
    stored = hub.txn.get(keys.SESSIONS + keys.digest(session_id))
    return None if stored is None else rows.SESSION.decode(stored).session


def require_alive(hub: Hub, session_id: SessionId) -> Session:
    """Return a session that may write.

    Raises:
        SessionFencedError: It is unknown, ended or fenced.
    """
    session = find(hub, session_id)
    if session is None:
        raise SessionFencedError(f"session {session_id!r} is not alive; start a new one")
    return session


def release_all_but(
    hub: Hub,
    session_id: SessionId,
    instances: AbstractSet[InstanceKey],
    tasks: AbstractSet[TaskKey],
) -> None:
    """Give back what a session owns, except what is named."""
    prefix = keys.OWNED + keys.digest(session_id)
    for rest, entry in hub.txn.scan(prefix):
        row = hub.follow(prefix + rest, entry)
        if row is not None and row.key not in instances:
            row.owner = None
            hub.save(row)
    prefix = keys.OWNED_TASKS + keys.digest(session_id)
    for rest, entry in hub.txn.scan(prefix):
        task = hub.follow_task(prefix + rest, entry)
        if task is not None and task.task.key not in tasks:
            hub.own_task(task, None)


def living(hub: Hub, app_id: AppId | None = None) -> Iterator[SessionRow]:
    """Yield the sessions that have not been fenced or ended; of one application, if it is given."""
    for _, stored in hub.txn.scan(keys.SESSIONS):
        row = rows.SESSION.decode(stored)
        if app_id in {None, row.session.app_id}:
            yield row


def _beat(hub: Hub, session: Session) -> Heartbeat:
    row = SessionRow(session=session, last_heartbeat=hub.now)
    hub.txn.put(keys.SESSIONS + keys.digest(session.session_id), rows.SESSION.encode(row))
    overdue = [
        row.session.session_id
        for row in living(hub)
        if hub.now - row.last_heartbeat > row.session.time_to_live
    ]
    for session_id in overdue:
        unregister(hub, session_id)
    return Heartbeat(now=hub.now, fenced=tuple(overdue))

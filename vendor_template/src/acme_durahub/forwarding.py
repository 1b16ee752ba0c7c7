"""What sessions of one application hand to each other, and who owns what a name may mean."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from durahub.backend import MOST_FORWARDED, Envelope, Session
from durahub.errors import BackendUnavailableError
from durahub.types import InstanceKey, SessionId

from acme_durahub import keys, rows, sessions
from acme_durahub.hub import Hub


def owners(hub: Hub, asker: Session, instance_id: str, task_id: int | None) -> list[SessionId]:
    """Return which sessions of the asker's application own what a name may mean."""
    if task_id is None:
        row = hub.row(InstanceKey(asker.app_id, instance_id))
        return [] if row is None or row.owner is None else [row.owner]
    return [
        other.session.session_id
        for other in sessions.living(hub, asker.app_id)
        if _owns_task(hub, other.session.session_id, instance_id, task_id)
    ]


def forward(hub: Hub, sender: Session, to: SessionId, payload: bytes) -> bool:
    """Keep bytes for a living session of the same application.

    Raises:
        BackendUnavailableError: Too many wait for it.
    """
    others = sessions.living(hub, sender.app_id)
    if to not in (other.session.session_id for other in others):
        return False
    prefix = keys.FORWARDED + keys.digest(to)
    if sum(1 for _ in islice(hub.txn.scan(prefix), MOST_FORWARDED)) == MOST_FORWARDED:
        raise BackendUnavailableError(f"{MOST_FORWARDED} envelopes wait for session {to!r}")
    hub.txn.put(prefix + keys.number(hub.next_position()), payload)
    return True


def take(hub: Hub, taker: Session, handled: Collection[int], limit: int) -> tuple[Envelope, ...]:
    """Remove what the session has handled, and return what else waits for it."""
    prefix = keys.FORWARDED + keys.digest(taker.session_id)
    for number in handled:
        hub.txn.delete(prefix + keys.number(number))
    return tuple(
        Envelope(number=next(keys.read_numbers(rest)), payload=payload)
        for rest, payload in islice(hub.txn.scan(prefix), limit)
    )


def _owns_task(hub: Hub, session_id: SessionId, instance_id: str, task_id: int) -> bool:
    found = (
        rows.TASK_ENTRY.decode(entry).key
        for _, entry in hub.txn.scan(keys.OWNED_TASKS + keys.digest(session_id))
    )
    return any((key.instance.instance_id, key.task_id) == (instance_id, task_id) for key in found)

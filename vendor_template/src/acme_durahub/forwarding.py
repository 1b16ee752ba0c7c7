"""What one session hands to another, and who owns what an answer names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from durahub.backend import MOST_FORWARDED, Envelope
from durahub.errors import BackendCorruptionError, BackendUnavailableError
from durahub.types import InstanceKey, SessionId

from acme_durahub import keys, sessions
from acme_durahub.hub import Hub


def owners(
    hub: Hub, session_id: SessionId, instance_id: str, task_id: int | None
) -> tuple[SessionId, ...]:
    """Return which sessions of the session's application own what a name may mean, each once.

    Raises:
        SessionFencedError: The session that asks is not alive.
    """
    app_id = sessions.require_alive(hub, session_id).app_id
    if task_id is None:
        return _owner_of_instance(hub, InstanceKey(app_id, instance_id))
    living = (row.session.session_id for row in sessions.living(hub, app_id))
    return tuple(each for each in living if _owns_task(hub, each, instance_id, task_id))


def forward(hub: Hub, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
    """Keep bytes for a living session of the same application; return whether there is one.

    Raises:
        SessionFencedError: The session that forwards is not alive.
        BackendUnavailableError: Too many wait for the other one already.
    """
    sender = sessions.require_alive(hub, session_id)
    target = sessions.find(hub, to)
    if target is None or target.app_id != sender.app_id:
        return False
    waiting = _waiting(hub, to)
    if waiting >= MOST_FORWARDED:
        raise BackendUnavailableError(f"{waiting} envelopes wait for session {to!r} already")
    hub.txn.put(_place(to, hub.next_position()), payload)
    _set_waiting(hub, to, waiting + 1)
    return True


def take(
    hub: Hub, session_id: SessionId, handled: Collection[int], limit: int
) -> tuple[Envelope, ...]:
    """Remove what a session has handled, and return the oldest of what else waits for it.

    Raises:
        SessionFencedError: The session is not alive.
    """
    sessions.require_alive(hub, session_id)
    places = {_place(session_id, number) for number in handled}
    found = [place for place in places if hub.txn.get(place) is not None]
    for place in found:
        hub.txn.delete(place)
    if found:
        _set_waiting(hub, session_id, _waiting(hub, session_id) - len(found))
    return tuple(islice(_envelopes(hub, session_id), limit))


def _envelopes(hub: Hub, session_id: SessionId) -> Iterator[Envelope]:
    for rest, payload in hub.txn.scan(keys.FORWARDED + keys.digest(session_id)):
        yield Envelope(number=next(keys.read_numbers(rest)), payload=payload)


def _place(session_id: SessionId, number: int) -> bytes:
    return keys.FORWARDED + keys.digest(session_id) + keys.number(number)


def _waiting(hub: Hub, session_id: SessionId) -> int:
    stored = hub.txn.get(keys.FORWARDED_COUNT + keys.digest(session_id))
    return 0 if stored is None else next(keys.read_numbers(stored))


def _set_waiting(hub: Hub, session_id: SessionId, count: int) -> None:
    hub.txn.put(keys.FORWARDED_COUNT + keys.digest(session_id), keys.number(count))


def _owner_of_instance(hub: Hub, key: InstanceKey) -> tuple[SessionId, ...]:
    try:
        row = hub.row(key)
    except BackendCorruptionError:
        return ()
    return () if row is None or row.owner is None else (row.owner,)


def _owns_task(hub: Hub, session_id: SessionId, instance_id: str, task_id: int) -> bool:
    prefix = keys.OWNED_TASKS + keys.digest(session_id)
    for rest, entry in hub.txn.scan(prefix):
        row = hub.follow_task(prefix + rest, entry)
        if row is not None:
            key = row.task.key
            if key.instance.instance_id == instance_id and key.task_id == task_id:
                return True
    return False

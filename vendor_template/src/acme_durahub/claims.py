"""Claims: what a session may take, in which order, and within which limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from durahub.backend import (
    ActivityTask,
    ClaimedInstance,
    ClaimLimit,
    InstanceClaims,
    Places,
    Session,
)
from durahub.types import InstanceKey, TaskKey

from acme_durahub import keys, rows, sessions
from acme_durahub.hub import Hub
from acme_durahub.rows import InstanceEntry, InstanceRow, TaskEntry, TaskRow


def claim_instances(hub: Hub, session: Session, most: int) -> InstanceClaims:
    """Take due, unowned instances, longest due first."""
    places = _instance_places(hub, session)
    taken: list[InstanceRow] = []
    next_due_at: datetime | None = None
    for wake_at, row in hub.due(session.app_id):
        if wake_at > hub.now:
            next_due_at = wake_at
            break
        if not places.take(row.record.name):
            continue
        if len(taken) == most:
            break
        taken.append(row)
    claimed = tuple(hub.claim(row, session.session_id) for row in taken)
    return InstanceClaims(instances=claimed, next_due_at=next_due_at, now=hub.now)


def claim_activities(hub: Hub, session: Session, most: int) -> tuple[ActivityTask, ...]:
    """Take unowned activity tasks, oldest first."""
    places = _task_places(hub, session)
    taken: list[TaskRow] = []
    for row in hub.waiting_tasks(session.app_id):
        if len(taken) == most or not places.left:
            break
        if places.take(row.task.name):
            taken.append(row)
    return tuple(hub.own_task(row, session.session_id) for row in taken)


def claim_instances_along(
    hub: Hub, session: Session, touched: Iterable[InstanceKey], most: int
) -> tuple[ClaimedInstance, ...]:
    """Take what a batch touched and made due."""
    found = (hub.row(key) for key in touched if key.app_id == session.app_id)
    due = [row for row in found if row is not None and hub.is_due(row)]
    if session.limits.instances:
        due = _admitted_instances(hub, session, due)
    return tuple(hub.claim(row, session.session_id) for row in due[:most])


def claim_activities_along(
    hub: Hub, session: Session, inserted: Iterable[TaskKey], most: int
) -> tuple[ActivityTask, ...]:
    """Take activity tasks that a batch inserted."""
    found = (hub.task(key) for key in inserted)
    mine = [row for row in found if row is not None and row.task.app_id == session.app_id]
    if session.limits.activities:
        mine = _admitted_tasks(hub, session, mine)
    return tuple(hub.own_task(row, session.session_id) for row in mine[:most])


def _admitted_instances(hub: Hub, session: Session, due: list[InstanceRow]) -> list[InstanceRow]:
    """Return what of the touched overtakes nothing that a limit counts, and finds a place."""
    places = _instance_places(hub, session)
    touched = {row.key for row in due}
    along: list[InstanceRow] = []
    is_overtaking = False
    for wake_at, row in hub.due(session.app_id):
        if wake_at > hub.now or not touched:
            break
        if row.key not in touched:
            is_overtaking = True
            continue
        touched.remove(row.key)
        name = row.record.name
        if not (is_overtaking and places.counts(name)) and places.take(name):
            along.append(row)
    return along


def _admitted_tasks(hub: Hub, session: Session, inserted: list[TaskRow]) -> list[TaskRow]:
    places = _task_places(hub, session)
    oldest = next(hub.waiting_tasks(session.app_id), None)
    is_overtaking = oldest is not None and oldest.position < min(
        (row.position for row in inserted), default=0
    )
    return [
        row
        for row in inserted
        if not (is_overtaking and places.counts(row.task.name)) and places.take(row.task.name)
    ]


def _instance_places(hub: Hub, session: Session) -> Places:
    entries = _owned(hub, session, keys.OWNED, session.limits.instances)
    return _places(session.limits.instances, map(rows.INSTANCE_ENTRY.decode, entries))


def _task_places(hub: Hub, session: Session) -> Places:
    entries = _owned(hub, session, keys.OWNED_TASKS, session.limits.activities)
    return _places(session.limits.activities, map(rows.TASK_ENTRY.decode, entries))


def _owned(hub: Hub, session: Session, index: bytes, limit: ClaimLimit) -> Iterable[bytes]:
    """Yield the entries of what all sessions of the application own; nothing where no limit counts it."""
    if limit:
        for owner in sessions.living(hub, session.app_id):
            for _, entry in hub.txn.scan(index + keys.digest(owner.session.session_id)):
                yield entry


def _places(limit: ClaimLimit, owned: Iterable[InstanceEntry | TaskEntry]) -> Places:
    names = Counter(entry.name for entry in owned)
    return Places(limit, owned=names.total(), by_name=names)

"""Limits over all sessions of an application: which of what is due may be claimed.

Each claim counts anew, and looks at everything due until its places are gone. That is as directly as the
contract can be said; it takes time in proportion to what is owned and what is held back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from durahub.backend import ClaimLimit, Places
from durahub.testing.memory_rows import InstanceRow, SessionRow, TaskRow
from durahub.testing.memory_store import MemoryStore
from durahub.types import AppId


def instance_places(store: MemoryStore, session: SessionRow) -> Places:
    """Return the places that the session's limit for instances leaves."""
    owners = _owners(store, session.session.app_id)
    names = (store.instances[key].record.name for owner in owners for key in owner.instances)
    return _places(session.session.limits.instances, names)


def task_places(store: MemoryStore, session: SessionRow) -> Places:
    """Return the places that the session's limit for activity tasks leaves."""
    owners = _owners(store, session.session.app_id)
    names = (store.tasks[key].task.name for owner in owners for key in owner.tasks)
    return _places(session.session.limits.activities, names)


def _owners(store: MemoryStore, app_id: AppId) -> list[SessionRow]:
    return [row for row in store.sessions.values() if row.alive and row.session.app_id == app_id]


def _places(limit: ClaimLimit, names: Iterable[str]) -> Places:
    owned = Counter(names)
    return Places(limit, owned=owned.total(), by_name=owned)


def admitted_instances(
    store: MemoryStore, session: SessionRow, most: int, now: datetime
) -> tuple[list[InstanceRow], datetime | None]:
    """Return what a claim of instances takes, and the moment of the next one, if nothing more is due."""
    places = instance_places(store, session)
    taken: list[InstanceRow] = []
    for row in store.waking(session.session.app_id):
        if not row.is_due(now):
            return taken, row.wake_at()
        if not places.take(row.record.name):
            continue
        if len(taken) == most:
            break
        taken.append(row)
    return taken, None


def admitted_tasks(store: MemoryStore, session: SessionRow, most: int) -> list[TaskRow]:
    """Return what a claim of activity tasks takes."""
    places = task_places(store, session)
    taken: list[TaskRow] = []
    for row in store.unowned_tasks(session.session.app_id):
        if len(taken) == most or not places.left:
            break
        if places.take(row.task.name):
            taken.append(row)
    return taken


def instances_along(
    store: MemoryStore, session: SessionRow, touched: Sequence[InstanceRow], now: datetime
) -> list[InstanceRow]:
    """Return which due instances that a batch touched may be claimed along with it, longest due first."""
    places = instance_places(store, session)
    keys = {row.key for row in touched}
    along: list[InstanceRow] = []
    is_overtaking = False
    for row in store.waking(session.session.app_id):
        if len(keys) == len(along) or not row.is_due(now):
            break
        if row.key not in keys:
            is_overtaking = True
            continue
        name = row.record.name
        if not (is_overtaking and places.counts(name)) and places.take(name):
            along.append(row)
    return along


def tasks_along(
    store: MemoryStore, session: SessionRow, inserted: Sequence[TaskRow]
) -> list[TaskRow]:
    """Return which activity tasks that a batch inserted may be claimed along with it."""
    places = task_places(store, session)
    oldest = store.next_task(session.session.app_id)
    is_overtaking = bool(inserted) and oldest is not inserted[0]
    return [
        row
        for row in inserted
        if not (is_overtaking and places.counts(row.task.name)) and places.take(row.task.name)
    ]

"""What a batch of a session with limits may claim along: nothing by which it would overtake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durahub.backend import ActivityTask

from durahub_sqlite.batch import Batch
from durahub_sqlite.bulk import id_list
from durahub_sqlite.limits import ACTIVITIES, INSTANCES, count_places
from durahub_sqlite.rows import InstanceRow

# Passes over what the batch itself has changed, at most.
LONGEST_DUE = """
SELECT wake_at, instance FROM instances
WHERE app_id = ? AND owner IS NULL AND wake_at <= ?
  AND instance NOT IN (SELECT value FROM json_each(?))
ORDER BY wake_at, instance LIMIT 1
"""

OLDEST_FREE = """
SELECT activity FROM activities WHERE app_id = ? AND owner IS NULL ORDER BY activity LIMIT 1
"""


def instances_along(batch: Batch, due: Sequence[InstanceRow]) -> list[InstanceRow]:
    """Return those of the due instances that a batch touched, in their order, that it may claim.

    The table does not show yet what the batch changed; rows of instances are written after claims.
    """
    places = count_places(batch.connection, batch.session, INSTANCES, batch.given_back)
    first = min([*_given_back(batch), *_longest_due(batch)], default=None)
    return [
        row
        for row in due
        if (first is None or (row.wake_at, row.instance) < first or not places.counts(row.name))
        and places.take(row.name)
    ]


def activities_along(batch: Batch, inserted: Mapping[int, ActivityTask]) -> dict[int, ActivityTask]:
    """Return those of the inserted activity tasks, oldest first, that the batch may claim."""
    places = count_places(batch.connection, batch.session, ACTIVITIES)
    (oldest,) = batch.connection.execute(OLDEST_FREE, (batch.session.app_id,)).fetchone()
    return {
        number: task
        for number, task in inserted.items()
        if (oldest in inserted or not places.counts(task.name)) and places.take(task.name)
    }


def _given_back(batch: Batch) -> list[tuple[int | None, int]]:
    """Return the places in the order of due instances that were given back without being touched."""
    return [
        (row.wake_at, row.instance)
        for row in batch.changes.instances.values()
        if row.instance not in batch.touched
        and row.app_id == batch.session.app_id
        and row.is_due(batch.now)
    ]


def _longest_due(batch: Batch) -> list[tuple[int | None, int]]:
    changed = id_list(batch.changes.instances)
    parameters = (batch.session.app_id, batch.now, changed)
    return batch.connection.execute(LONGEST_DUE, parameters).fetchall()

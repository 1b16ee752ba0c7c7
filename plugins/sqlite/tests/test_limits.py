"""Limits cost nobody who has none, and hardly anything however much waits for a place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from durahub.backend import NO_LIMITS, BackendServices, ClaimLimit, ClaimLimits, Room
from durahub_sqlite import SqliteBackend

FULL = ClaimLimit(total=50, by_name={"full": 0})
BACKLOG = 100_000

_WAITING_INSTANCES = """
WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?)
INSERT INTO instances (app_id, instance_id, name, execution_id, generation, status, created_at,
  last_updated_at, revision, history_length, last_message, pending_at, wake_at)
SELECT 'app', 'waiting ' || x, 'full', 'e', 1, 6, x, x, 0, 0, 1, x, x FROM n
"""

_WAITING_TASKS = """
WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?)
INSERT INTO activities (instance, execution_id, task_id, app_id, name, payload)
SELECT 1, 'e', x, 'app', 'full', x'00' FROM n
"""


@contextmanager
def steps_of(backend: SqliteBackend) -> Iterator[list[int]]:
    """Count the hundreds of steps that SQLite's machine takes."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    assert backend._store is not None
    connection = backend._store._writer._opened
    connection.set_progress_handler(count, 100)
    try:
        yield counted
    finally:
        connection.set_progress_handler(None, 100)


def indexes_by_name(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE '%by_name'"
        (count,) = connection.execute(query).fetchone()
        return int(count)


@pytest.mark.parametrize("limits", [ClaimLimits(instances=FULL, activities=FULL)])
async def test_claim_passes_what_waits_for_a_place_in_a_few_steps(hub: Any, make: Any) -> None:
    with closing(sqlite3.connect(hub.path)) as connection, connection:
        connection.execute(_WAITING_INSTANCES, (BACKLOG,))
        connection.execute(_WAITING_TASKS, (BACKLOG,))
    await hub.apply(*(make.creation(f"i{n}") for n in range(3)), room=Room())
    with steps_of(hub.backend) as steps:
        claims = await hub.backend.claim_instances(make.session, 10)
        turns = [
            make.turn(one, activities=(make.task(one, 1), make.task(one, 2)))
            for one in claims.instances
        ]
        assert len(turns) == 3
        await hub.apply(*turns, make.creation("i4"), room=Room(instances=10))
        tasks = await hub.backend.claim_activities(make.session, 10)
        assert [task.name for task in tasks] == ["activity"] * 6
        assert (await hub.backend.claim_instances(make.session, 10)).next_due_at is None
    assert steps[0] * 100 < BACKLOG / 5


async def test_indexes_for_names_exist_while_they_are_needed(
    hub: Any,
    make: Any,
    new_backend: Callable[..., SqliteBackend],
    services: BackendServices,
) -> None:
    assert indexes_by_name(hub.path) == 0
    total = ClaimLimits(instances=ClaimLimit(total=1), activities=ClaimLimit(total=1))
    by_name = ClaimLimits(activities=ClaimLimit(by_name={"a": 1}))
    for number, (limits, count) in enumerate(((total, 0), (by_name, 2), (by_name, 2))):
        await hub.backend.register(make.registration(f"s{number}", limits=limits))
        assert indexes_by_name(hub.path) == count
    await hub.backend.close()
    backend = new_backend()
    await backend.open(services)
    await backend.create_hub()
    assert indexes_by_name(hub.path) == 2
    assert await backend.claim_activities("s2", 10) == ()
    await backend.register(make.registration("s3", limits=NO_LIMITS))
    assert indexes_by_name(hub.path) == 0


@pytest.mark.parametrize(
    "limits", [ClaimLimits(instances=ClaimLimit(by_name={"flow": 2}), activities=FULL)]
)
async def test_names_with_limits_survive_a_restore_without_their_indexes(
    hub: Any, make: Any, new_backend: Callable[..., SqliteBackend], services: BackendServices
) -> None:
    """A dump that was restored by hand, or a tool, may lack them; the next start makes them anew."""
    await hub.apply(*(make.creation(f"i{n}") for n in range(3)), room=Room())
    await hub.backend.close()
    with closing(sqlite3.connect(hub.path)) as connection, connection:
        for name in ("instances_due_by_name", "activities_owned_by_name"):
            connection.execute(f"DROP INDEX {name}")
    backend = new_backend()
    await backend.open(services)
    limits = ClaimLimits(instances=ClaimLimit(by_name={"flow": 2}), activities=FULL)
    await backend.register(make.registration("next", limits=limits))
    assert indexes_by_name(hub.path) == 4
    assert len((await backend.claim_instances("next", 10)).instances) == 2


@pytest.mark.parametrize("limits", [ClaimLimits(instances=ClaimLimit(total=2))])
async def test_damaged_row_takes_no_place_for_good(hub: Any, make: Any) -> None:
    await hub.apply(*(make.creation(f"i{n}") for n in range(4)), room=Room())
    with closing(sqlite3.connect(hub.path)) as connection, connection:
        connection.execute("UPDATE instances SET tags = 'no JSON' WHERE instance_id = 'i0'")
    first = await hub.backend.claim_instances(make.session, 10)
    second = await hub.backend.claim_instances(make.session, 10)
    found = [one.record.key.instance_id for one in (*first.instances, *second.instances)]
    assert found == ["i1", "i2"]

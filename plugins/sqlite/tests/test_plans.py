"""No statement on the way of work reads a whole table: every one that runs is asked for its plan."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import (
    NO_LIMITS,
    ClaimLimit,
    ClaimLimits,
    CommitActivity,
    EndedQuery,
    InstanceQuery,
    Message,
    NextGeneration,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Room,
)
from durahub.types import ExecutionId, RuntimeStatus

# Tables whose size does not grow, or of which an index holds at most one row.
_SMALL = re.compile(r"SCAN (sqlite_sequence|meta|sessions USING INDEX sessions_alive)$")
# What is given in the statement itself.
_GIVEN = re.compile(
    r"SCAN ((\d+ )?CONSTANT ROWS?|(c|json_each) VIRTUAL TABLE .*|v|found|\(subquery-\d+\))$"
)
_PAGE_BRANCH = re.compile(r"SCAN (\(subquery-\d+\)|page)$")


_WIDE = (ClaimLimit(total=100), ClaimLimit(total=100, by_name={"flow": 50, "activity": 50}))
LIMITS = [NO_LIMITS, *(ClaimLimits(instances=limit, activities=limit) for limit in _WIDE)]


@pytest.fixture
def statements(hub: Any) -> Iterator[dict[str, str]]:
    """Every statement that runs during the test, by its text without values."""
    seen: dict[str, str] = {}

    def note(statement: str) -> None:
        seen.setdefault(re.sub(r"x?'[^']*'|\b\d+\b", "?", statement), statement)

    connections = [hub.backend._store._writer, *hub.backend._store._readers]
    for connection in connections:
        connection._opened.set_trace_callback(note)
    yield seen
    for connection in connections:
        connection._opened.set_trace_callback(None)


async def work(hub: Any, make: Any, limits: ClaimLimits) -> None:
    """Do everything that the contract knows, with more rows than one."""
    later = hub.clock.now() + timedelta(hours=1)
    claimed = await hub.start(*(make.creation(f"i{n}") for n in range(6)))
    first, second, third, fourth, *_ = claimed
    turns = [
        make.turn(first, timers=(make.timer(1, later), make.timer(2, hub.clock.now()))),
        make.turn(
            second,
            activities=tuple(make.task(second, n) for n in range(5)),
            outgoing=(make.delivery("i0", b"a"),),
            children=(make.creation("child"), make.creation("child-2")),
        ),
        make.turn(
            third,
            consumed=(1, 2, 3, 4, 5),
            removed_timers=(1, 2, 3, 4, 5),
            history=(),
            next_generation=NextGeneration(
                execution_id=ExecutionId("i2/2"), input="x", start=Message(payload=b"again")
            ),
        ),
        make.turn(fourth, status=RuntimeStatus.COMPLETED, completed_at=later, output="done"),
    ]
    applied = await hub.apply(*turns, room=Room(instances=1, activities=4))
    await hub.apply(
        *(
            CommitActivity(task=task.key, result=Message(payload=b"r"))
            for task in applied.activities[1:]
        ),
        ReleaseActivity(task=applied.activities[0].key),
        room=Room(),
    )
    await hub.backend.claim_instances(make.session, 100)
    await hub.backend.claim_activities(make.session, 100)
    await hub.apply(
        ReleaseInstance(key=make.key("i0")),
        ParkInstance(key=make.key("i1"), reason="why", updated_at=later),
        make.delivery("i4", b"a", expedite=True),
        PurgeInstance(key=make.key("i5"), force=True),
        PurgeInstance(key=make.key("i2"), force=True),
    )
    await hub.backend.release_except(make.session, {make.key("i4")}, set())
    keys = [make.key(f"i{n}") for n in range(6)]
    await hub.backend.get(keys)
    await hub.backend.get(keys, payloads=True)
    await hub.backend.history(keys)
    await hub.backend.list_instances(InstanceQuery(app_id=make.app))
    await hub.backend.list_instances(
        InstanceQuery(app_id=make.app, statuses=(RuntimeStatus.RUNNING,))
    )
    await hub.backend.list_ended(EndedQuery(app_id=make.app, status=RuntimeStatus.COMPLETED))
    await hub.backend.heartbeat(make.session)
    await hub.backend.register(make.registration("session-2", limits=limits))
    await hub.backend.unregister("session-2")


@pytest.mark.parametrize("limits", LIMITS)
async def test_no_statement_scans(
    hub: Any, make: Any, statements: dict[str, str], limits: ClaimLimits
) -> None:
    await work(hub, make, limits)
    ran = [
        text
        for text in statements.values()
        if text.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}
    ]
    assert len(ran) > 40
    with closing(sqlite3.connect(hub.path)) as connection:
        for statement in ran:
            scans = [step for step in plan_of(connection, statement) if "SCAN" in step]
            unexpected = [
                step
                for step in scans
                if not (_GIVEN.search(step) or _SMALL.search(step) or _PAGE_BRANCH.search(step))
            ]
            assert not unexpected, f"{statement}\n{scans}"


@pytest.mark.parametrize("limits", LIMITS)
async def test_claims_are_not_sorted(hub: Any, make: Any, statements: dict[str, str]) -> None:
    (claimed,) = await hub.start(make.creation("i0"))
    await hub.apply(make.turn(claimed, activities=(make.task(claimed, 1),)), room=Room())
    await hub.apply(make.creation("i1"), room=Room())
    statements.clear()
    await hub.backend.claim_instances(make.session, 10)
    await hub.backend.claim_activities(make.session, 10)
    ordered = [text for text in statements.values() if "ORDER BY" in text]
    ordered = [text for text in ordered if "json_each" not in text]
    assert len(ordered) == 3
    with closing(sqlite3.connect(hub.path)) as connection:
        for statement in ordered:
            assert not any("TEMP B-TREE" in step for step in plan_of(connection, statement))


async def test_one_page_of_one_status_is_read_in_the_order_of_its_index(
    hub: Any, make: Any, statements: dict[str, str]
) -> None:
    query = InstanceQuery(app_id=make.app, statuses=(RuntimeStatus.FAILED,), page_size=10)
    await hub.backend.list_instances(query)
    (listing,) = [text for text in statements.values() if "page" in text]
    with closing(sqlite3.connect(hub.path)) as connection:
        steps = plan_of(connection, listing)
    assert any(
        "COVERING INDEX instances_listed (app_id=? AND status=?" in step for step in steps
    ), steps


async def test_ends_are_read_in_the_order_of_their_index(
    hub: Any, make: Any, statements: dict[str, str]
) -> None:
    await hub.backend.list_ended(EndedQuery(app_id=make.app, status=RuntimeStatus.FAILED))
    (listing,) = [text for text in statements.values() if "completed_at IS NOT NULL" in text]
    with closing(sqlite3.connect(hub.path)) as connection:
        steps = plan_of(connection, listing)
    (step,) = steps
    assert step == (
        "SEARCH i USING INDEX instances_ended (app_id=? AND status=? AND completed_at>?)"
    )


def plan_of(connection: sqlite3.Connection, statement: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]

"""What SQL users see: readable, complete, and as the documentation promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from durahub.errors import BackendError, TaskHubNotFoundError
from durahub.protocol import messages as pb
from durahub.types import RuntimeStatus
from durahub_postgres import admin
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

HOW_TO = Path(__file__).parents[3] / "docs/how-to/postgres.md"
AT = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)


def event(event_id: int, **fields: Any) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(AT)
    return pb.HistoryEvent(eventId=event_id, timestamp=stamp, **fields).SerializeToString()


EVENTS = (
    event(-1, workflowStarted=pb.WorkflowStartedEvent()),
    event(
        -1, executionStarted=pb.ExecutionStartedEvent(name="flöw", input=StringValue(value="in"))
    ),
    event(
        0,
        taskScheduled=pb.TaskScheduledEvent(name="act", input=StringValue(value="a\0b")),
        router=pb.TaskRouter(sourceAppID="app"),
    ),
    event(-1, taskCompleted=pb.TaskCompletedEvent(result=StringValue(value=""))),
    event(
        -1,
        taskFailed=pb.TaskFailedEvent(
            taskScheduledId=300,
            failureDetails=pb.TaskFailureDetails(errorType="ValueError", errorMessage="no"),
        ),
    ),
    event(
        7,
        childWorkflowInstanceCreated=pb.ChildWorkflowInstanceCreatedEvent(instanceId="c", name="n"),
    ),
    event(8, timerCreated=pb.TimerCreatedEvent(name="nap")),
    event(
        9,
        executionCompleted=pb.ExecutionCompletedEvent(
            workflowStatus=pb.ORCHESTRATION_STATUS_COMPLETED, result=StringValue(value="x" * 5000)
        ),
    ),
)


@pytest.fixture
async def rows(hub: Any, make: Any) -> list[Any]:
    """The history of one instance, as the view shows it."""
    (claimed,) = await hub.start(make.creation("one", input="in\0put", tags={"k": "v"}))
    failure = pb.TaskFailureDetails(errorType="Oops", errorMessage="broken")
    await hub.apply(
        make.turn(
            claimed,
            history=EVENTS,
            activities=(make.task(claimed, 1),),
            timers=(make.timer(3, AT), make.timer(4, datetime.max.replace(tzinfo=UTC))),
            output="out",
            failure=failure.SerializeToString(),
        )
    )
    found: list[Any] = await hub.sql.fetch("SELECT * FROM v_history ORDER BY seq")
    return found


async def test_history_is_readable(rows: list[Any]) -> None:
    assert [row["type"] for row in rows] == [
        "WorkflowStarted",
        "ExecutionStarted",
        "TaskScheduled",
        "TaskCompleted",
        "TaskFailed",
        "ChildWorkflowInstanceCreated",
        "TimerCreated",
        "ExecutionCompleted",
    ]
    assert {row["happened_at"] for row in rows} == {AT}
    assert [row["event_id"] for row in rows] == [-1, -1, 0, -1, -1, 7, 8, 9]
    assert [row["name"] for row in rows] == [None, "flöw", "act", None, None, "n", "nap", None]
    assert [row["task_id"] for row in rows] == [None, None, None, 0, 300, None, None, None]
    assert (rows[1]["input"], rows[2]["input"]) == ("in", "a\u2400b")
    assert (rows[3]["result"], rows[7]["result"]) == ("", "x" * 5000)
    assert (rows[4]["failure_type"], rows[4]["failure_message"]) == ("ValueError", "no")
    assert rows[5]["other_instance_id"] == "c"


async def test_every_event_type_of_the_protocol_has_its_name(hub: Any) -> None:
    types = pb.HistoryEvent.DESCRIPTOR.oneofs_by_name["eventType"].fields
    known = dict(await hub.sql.fetch("SELECT field, type FROM event_types()"))
    assert known == {one.number: one.name[0].upper() + one.name[1:] for one in types}
    shown = {"name": ("name", "description"), "input": ("input",), "result": ("result",)}
    for row in await hub.sql.fetch("SELECT * FROM event_types()"):
        fields = {one.number: one for one in types}[row["field"]].message_type.fields_by_number
        for column, names in shown.items():
            there = {one.name: number for number, one in fields.items()}
            wanted = next((there[name] for name in names if name in there), None)
            assert row[column] == wanted, (row["type"], column)


@pytest.mark.usefixtures("rows")
async def test_instances_are_readable(hub: Any, make: Any) -> None:
    await hub.apply(make.delivery("one", b"x"))
    row = await hub.sql.fetchrow("SELECT * FROM v_instances WHERE instance_id = 'one'")
    assert (row["status"], row["input"], row["output"]) == ("RUNNING", "in\u2400put", "out")
    assert (row["failure_type"], row["failure_message"]) == ("Oops", "broken")
    assert (row["tags"], row["history_length"]) == ('{"k": "v"}', len(EVENTS))
    assert row["owned_by"] == "test"
    names = {
        status: (await hub.sql.fetchval("SELECT status_name($1)", status))
        for status in RuntimeStatus
    }
    assert names == {status: status.name for status in RuntimeStatus}


@pytest.mark.usefixtures("rows")
async def test_waiting_things_are_readable(hub: Any) -> None:
    activities = await hub.sql.fetch("SELECT * FROM v_activities")
    assert [(row["name"], row["task_id"], row["state"]) for row in activities] == [
        ("activity", 1, "RUNNING")
    ]
    timers = await hub.sql.fetch("SELECT timer_id, due_at::text FROM v_timers ORDER BY timer_id")
    assert [row["timer_id"] for row in timers] == [3, 4]
    assert timers[1]["due_at"] == "infinity"
    (storage,) = await hub.sql.fetch("SELECT * FROM v_storage")
    assert (storage["status"], storage["instances"], storage["history_rows"]) == ("RUNNING", 1, 8)
    assert storage["bytes"] > 200


@pytest.mark.usefixtures("rows")
async def test_documented_queries_run(hub: Any) -> None:
    queries = re.findall(r"```sql\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert len(queries) >= 5
    for query in queries:
        await hub.sql.fetch(query.replace("durahub.", f"{hub.schema}."))


@pytest.mark.usefixtures("rows")
async def test_reader_reads_the_views_and_nothing_else(hub: Any) -> None:
    role = f'reader {{hub}} "{hub.schema[-8:]}"'
    for _ in range(2):
        await hub.backend.grant_reader(role)
    quoted = '"' + role.replace('"', '""') + '"'
    try:
        await hub.sql.execute(f"SET ROLE {quoted}")
        for view in admin.VIEWS:
            assert await hub.sql.fetch(f"SELECT * FROM {view}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hub.sql.fetch("SELECT * FROM instances")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hub.sql.fetch("SELECT * FROM heartbeat('x')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hub.sql.execute("DELETE FROM timers")
    finally:
        await hub.sql.execute("RESET ROLE")
        await hub.sql.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


@pytest.mark.parametrize("role", ["", "nul\0", "é" * 32, "public", "pg_mine"])
async def test_reader_needs_a_name_that_a_role_may_have(hub: Any, role: str) -> None:
    before = await hub.sql.fetchval("SELECT count(*) FROM pg_roles")
    with pytest.raises(BackendError, match="role"):
        await hub.backend.grant_reader(role)
    assert await hub.sql.fetchval("SELECT count(*) FROM pg_roles") == before


async def test_reader_needs_a_task_hub(new_backend: Callable[..., Any]) -> None:
    backend = await new_backend()
    with pytest.raises(TaskHubNotFoundError, match="durahub db migrate"):
        await backend.grant_reader("reader")

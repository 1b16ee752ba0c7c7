"""What is in a backend's tables, read without the backend."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from durahub.protocol import messages as pb
from durahub.types import TERMINAL_STATUSES

WAITING_TABLES = ("messages", "timers", "activities")

_SCHEDULED = ("taskScheduled", "timerCreated", "childWorkflowInstanceCreated")


@dataclass(frozen=True)
class StoredInstance:
    """One instance and its history."""

    instance_id: str
    status: int
    history_length: int
    positions: tuple[int, ...]
    events: tuple[pb.HistoryEvent, ...]

    @property
    def has_ended(self) -> bool:
        return self.status in TERMINAL_STATUSES

    def check(self) -> None:
        """Fail if the history has gaps, or if anything in it happened twice or out of nothing."""
        assert self.positions == tuple(range(self.history_length)), self
        kinds = [str(event.WhichOneof("eventType")) for event in self.events]
        assert kinds[:2] == ["workflowStarted", "executionStarted"], kinds
        assert kinds.count("executionStarted") == 1, kinds
        assert kinds.count("executionCompleted") == int(self.has_ended), kinds
        self._check_resolutions()

    def _check_resolutions(self) -> None:
        open_tasks: set[tuple[str, int]] = set()
        seen: set[int] = set()
        for event in self.events:
            kind = str(event.WhichOneof("eventType"))
            if kind in _SCHEDULED:
                assert event.eventId not in seen, f"{self.instance_id}: {event} is there twice"
                seen.add(event.eventId)
                open_tasks.add((kind, event.eventId))
            elif resolved := _resolved_by(event, kind):
                assert resolved in open_tasks, f"{self.instance_id}: {event} answers nothing"
                open_tasks.remove(resolved)
        if self.has_ended:
            unanswered = {task for task in open_tasks if not self._is_endless(task)}
            assert not unanswered, f"{self.instance_id} ended without {unanswered}"

    def _is_endless(self, task: tuple[str, int]) -> bool:
        """Return whether a task is the timer with which the SDK waits for an event."""
        kind, event_id = task
        return kind == "timerCreated" and any(
            event.eventId == event_id and event.timerCreated.HasField("externalEvent")
            for event in self.events
        )


def _resolved_by(event: pb.HistoryEvent, kind: str) -> tuple[str, int] | None:
    match kind:
        case "taskCompleted":
            return "taskScheduled", event.taskCompleted.taskScheduledId
        case "taskFailed":
            return "taskScheduled", event.taskFailed.taskScheduledId
        case "timerFired":
            return "timerCreated", event.timerFired.timerId
        case "childWorkflowInstanceCompleted":
            created = event.childWorkflowInstanceCompleted.taskScheduledId
            return "childWorkflowInstanceCreated", created
        case "childWorkflowInstanceFailed":
            created = event.childWorkflowInstanceFailed.taskScheduledId
            return "childWorkflowInstanceCreated", created
    return None


class Database(Protocol):
    """Where a backend keeps its tables: the SQL backends name them alike."""

    def read(self, query: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows that a query finds in what is committed."""
        ...


@dataclass(frozen=True)
class SqliteFile:
    """The file of the SQLite backend."""

    path: Path

    def read(self, query: str) -> Sequence[Mapping[str, Any]]:
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query)]


@dataclass(frozen=True)
class PostgresSchema:
    """The schema of the Postgres backend."""

    url: str
    schema: str

    def read(self, query: str) -> Sequence[Mapping[str, Any]]:
        return asyncio.run(self._run(query))

    def drop(self) -> None:
        """Remove it, whoever still uses it. Idempotent."""
        asyncio.run(self._run(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE"))

    async def _run(self, statement: str) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(
            self.url, server_settings={"search_path": self.schema, "client_min_messages": "error"}
        )
        try:
            return [dict(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()


def count_unfinished(database: Database) -> int:
    """Return how many instances have not ended."""
    ended = ",".join(str(int(status)) for status in TERMINAL_STATUSES)
    return _count(database, f"instances WHERE status NOT IN ({ended})")


def count_rows(database: Database) -> dict[str, int]:
    """Return how many rows there are of instances, by table."""
    tables = ("instances", "payloads", "history", *WAITING_TABLES)
    return {table: _count(database, table) for table in tables}


def count_waiting(database: Database) -> dict[str, int]:
    """Return how much still waits to be done, by table."""
    return {table: _count(database, table) for table in WAITING_TABLES}


def read_instances(database: Database) -> list[StoredInstance]:
    """Return all instances with their histories."""
    history = database.read("SELECT instance, seq, event FROM history ORDER BY instance, seq")
    histories = {
        instance: list(rows) for instance, rows in groupby(history, key=lambda row: row["instance"])
    }
    return [
        _instance(row, histories.get(row["instance"], ()))
        for row in database.read(
            "SELECT instance, instance_id, status, history_length FROM instances"
        )
    ]


def _count(database: Database, what: str) -> int:
    (row,) = database.read(f"SELECT count(*) AS found FROM {what}")
    return int(row["found"])


def _instance(row: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> StoredInstance:
    return StoredInstance(
        instance_id=row["instance_id"],
        status=row["status"],
        history_length=row["history_length"],
        positions=tuple(entry["seq"] for entry in history),
        events=tuple(pb.HistoryEvent.FromString(entry["event"]) for entry in history),
    )

"""What is in the SQLite backend's file, read without the backend."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def count_unfinished(path: Path) -> int:
    """Return how many instances have not ended."""
    ended = ",".join(str(int(status)) for status in TERMINAL_STATUSES)
    with _opened(path) as database:
        (count,) = database.execute(
            f"SELECT count(*) FROM instances WHERE status NOT IN ({ended})"
        ).fetchone()
    return int(count)


def count_rows(path: Path) -> dict[str, int]:
    """Return how many rows there are of instances, by table."""
    with _opened(path) as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("instances", "payloads", "history", *WAITING_TABLES)
        }


def count_waiting(path: Path) -> dict[str, int]:
    """Return how much still waits to be done, by table."""
    with _opened(path) as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in WAITING_TABLES
        }


def read_instances(path: Path) -> list[StoredInstance]:
    """Return all instances with their histories."""
    with _opened(path) as database:
        rows = database.execute(
            "SELECT instance, instance_id, status, history_length FROM instances"
        ).fetchall()
        return [
            _instance(row, database.execute(_HISTORY, (row["instance"],)).fetchall())
            for row in rows
        ]


_HISTORY = "SELECT seq, event FROM history WHERE instance = ? ORDER BY seq"


def _instance(row: sqlite3.Row, history: Iterable[sqlite3.Row]) -> StoredInstance:
    history = tuple(history)
    return StoredInstance(
        instance_id=row["instance_id"],
        status=row["status"],
        history_length=row["history_length"],
        positions=tuple(entry["seq"] for entry in history),
        events=tuple(pb.HistoryEvent.FromString(entry["event"]) for entry in history),
    )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        yield database

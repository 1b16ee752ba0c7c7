"""What the file says about a workflow, read without Durahub's backend."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from durahub.protocol import messages as pb


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        claim: What should be the case.
        is_true: Whether it is.
        fact: What is the case.
    """

    claim: str
    is_true: bool
    fact: str


@dataclass(frozen=True)
class StoredHistory:
    """The committed history of one workflow instance."""

    positions: Sequence[int]
    events: Sequence[pb.HistoryEvent]

    def check(self, steps: int) -> list[Finding]:
        """Compare with the history of a workflow of so many activities, each of which ran to its end."""
        kinds = Counter(str(event.WhichOneof("eventType")) for event in self.events)
        scheduled = [event.eventId for event in self.events if event.HasField("taskScheduled")]
        completed = [
            event.taskCompleted.taskScheduledId
            for event in self.events
            if event.HasField("taskCompleted")
        ]
        return [
            Finding(
                "the history has no gap",
                list(self.positions) == list(range(len(self.positions))),
                f"{len(self.positions)} events, numbered from 0",
            ),
            Finding(
                "it began once and ended once",
                kinds["executionStarted"] == kinds["executionCompleted"] == 1,
                f"{kinds['executionStarted']} start, {kinds['executionCompleted']} end",
            ),
            Finding(
                "each step was scheduled once",
                len(scheduled) == len(set(scheduled)) == steps,
                f"{len(scheduled)} TaskScheduled",
            ),
            Finding(
                "each step's result was applied once",
                sorted(completed) == sorted(scheduled),
                f"{len(completed)} TaskCompleted, one for each TaskScheduled",
            ),
        ]


def read_history(database: Path, app_id: str, instance_id: str) -> StoredHistory:
    """Return the history of an instance."""
    history = f"dapr.internal.default.{app_id}.workflow||{instance_id}||history-"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT key, value FROM keys WHERE key GLOB ? ORDER BY key", (f"{history}*",)
        ).fetchall()
    return StoredHistory(
        positions=[int(key.removeprefix(history)) for key, _ in rows],
        events=[pb.HistoryEvent.FromString(event) for _, event in rows],
    )


def count_executions(ledger: Path, instance_id: str) -> Counter[int]:
    """Return how often the application executed each step."""
    lines = (line.split() for line in ledger.read_text().splitlines())
    return Counter(int(step) for instance, step, _attempt in lines if instance == instance_id)

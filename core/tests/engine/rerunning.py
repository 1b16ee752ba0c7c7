"""What tests look at after a rerun."""

from __future__ import annotations

from collections.abc import Sequence

from durahub.engine import Engine
from durahub.protocol import messages as pb

from . import making
from .hub import finished, history, row
from .worker import Worker


def done(worker: Worker, instance_id: str) -> list[int]:
    """Return the ids of the activities that were run for an instance."""
    return sorted(
        task.taskId for task in worker.tasks if task.workflowInstance.instanceId == instance_id
    )


def scheduled(events: Sequence[pb.HistoryEvent], event_id: int) -> pb.HistoryEvent:
    (event,) = [event for event in events if event.eventId == event_id]
    return event


async def check(engine: Engine, instance_id: str, output: str) -> list[pb.HistoryEvent]:
    """Return the history of an instance that has completed, whose record and history agree."""
    assert (await finished(engine, instance_id)).output.value == output
    events = await history(engine, instance_id)
    assert row(engine, instance_id).record.history_length == len(events)
    assert making.kinds(events).count("executionStarted") == 1
    assert making.kinds(events)[-1] == "executionCompleted"
    return events

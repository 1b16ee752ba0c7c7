"""Makes the work item of a turn for a stream: everything, or what the worker does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durahub.backend import CommitTurn
from durahub.engine.decision import Stall
from durahub.engine.events import visible_events
from durahub.engine.residents import Resident
from durahub.engine.streams import Watermark, WorkerStream
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.protocol.frames import WorkflowFrame

PAYLOAD_SHARE = 0.95
"""How much of the largest message a turn may fill (Dapr)."""

MAX_WATERMARKS = 100_000
"""Most instances whose sent history is remembered for a stream."""


def turn_frame(plan: TurnPlan, resident: Resident) -> Callable[[WorkerStream, str], bytes]:
    """Return a function that makes the serialised work item of a turn for a stream.

    A stream whose worker keeps histories gets only the events after those that it was sent before, of
    the same generation; everything else gets all. Sending everything is always right.
    """
    instance_id = plan.claimed.record.key.instance_id
    past: Sequence[bytes] = resident.history
    new: Sequence[bytes] = plan.new_events
    given = plan.given
    if given is not None:
        past, new = visible_events(past), visible_events(new)

    def frame(stream: WorkerStream, token: str) -> bytes:
        known = _known_events(stream, instance_id, plan.execution_id, len(past))
        return WorkflowFrame(
            instance_id=instance_id,
            execution_id=plan.execution_id,
            past_events=past[known:] if known else past,
            new_events=new,
            cached_event_count=known or None,
            propagated_history=given,
            completion_token=token,
        ).to_bytes()

    return frame


def oversize_activity(commit: CommitTurn, limit_bytes: int | None) -> Stall | None:
    """Return why a turn schedules an activity that is too large to be sent, or None."""
    if limit_bytes is None:
        return None
    for task in commit.activities:
        size_bytes = len(task.payload)
        if size_bytes > limit_bytes * PAYLOAD_SHARE:
            return Stall(
                pb.PAYLOAD_SIZE_EXCEEDED,
                f"activity '{task.name}::{task.key.task_id}' payload {size_bytes} bytes exceeds 95% of "
                f"max gRPC body size {limit_bytes} bytes; increase daprd --max-body-size and restart to "
                "resume: activity payload exceeds max gRPC body size",
            )
    return None


def _known_events(stream: WorkerStream, instance_id: str, execution_id: str, committed: int) -> int:
    """Return how many events the worker has, and note that it is about to have all."""
    if not stream.stateful_history:
        return 0
    mark = stream.watermarks.get(instance_id)
    known = 0
    if mark is not None and mark.execution_id == execution_id and mark.events <= committed:
        known = mark.events
    if len(stream.watermarks) >= MAX_WATERMARKS:
        stream.watermarks.clear()  # costs everybody one full send, and nothing else
    stream.watermarks[instance_id] = Watermark(execution_id, committed)
    return known


def oversize(plan: TurnPlan, resident: Resident, limit_bytes: int | None) -> Stall | None:
    """Return why a turn is too large to be sent, or None if it is not."""
    if limit_bytes is None:
        return None
    size_bytes = resident.size_bytes + sum(map(len, plan.new_events))
    if size_bytes <= limit_bytes * PAYLOAD_SHARE:
        return None
    return Stall(
        pb.PAYLOAD_SIZE_EXCEEDED,
        f"Workflow payload size {size_bytes} bytes exceeds 95% of max gRPC body size "
        f"{limit_bytes} bytes; increase daprd --max-body-size and restart to resume",
    )

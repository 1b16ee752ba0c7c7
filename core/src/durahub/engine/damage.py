"""Finds stored bytes that decode and yet can't be what was stored, and says what damage was met.

Only what would go unnoticed otherwise, and leave an instance waiting for ever or running on nonsense, is
looked for; a flipped bit in a user's text is not to be found here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from durahub.backend import ActivityTask, Timer
from durahub.errors import BackendCorruptionError, BackendError, BackendUnavailableError
from durahub.protocol import messages as pb

log = logging.getLogger("durahub.engine")

PASSING = (BackendUnavailableError, BackendCorruptionError)
"""What the engine lives with: it passes, or concerns a part of the store only."""

_BEGINNING = ("workflowStarted", "executionStarted")


def check_beginning(instance_id: str, history: Sequence[bytes]) -> None:
    """Refuse a history that does not begin as all do: with a turn, and in it the start.

    Before these there may be stalls only.

    Raises:
        google.protobuf.message.DecodeError: One of its first events does not decode.
        BackendCorruptionError: It begins with something else.
    """
    expected = list(_BEGINNING)
    for place, raw in enumerate(history):
        kind = pb.HistoryEvent.FromString(raw).WhichOneof("eventType")
        if kind == "executionStalled" and len(expected) == len(_BEGINNING):
            continue
        wanted = expected.pop(0)
        if kind != wanted:
            raise BackendCorruptionError(
                f"the history of instance {instance_id!r} is damaged: event {place} is {kind} instead"
                f" of {wanted}; restore a backup, or purge the instance by force"
            )
        if not expected:
            return


def check_timer(instance_id: str, timer: Timer, events: Sequence[pb.HistoryEvent]) -> None:
    """Refuse a timer whose payload is not its own firing.

    Raises:
        BackendCorruptionError: It is something else, or that of another timer.
    """
    fired = [event.timerFired.timerId for event in events if event.HasField("timerFired")]
    if len(events) != 1 or fired != [timer.timer_id]:
        raise BackendCorruptionError(
            f"timer {timer.timer_id} of instance {instance_id!r} is damaged: it holds something else"
            " than its firing; restore a backup, or purge the instance by force"
        )


def check_request(task: ActivityTask, request: pb.ActivityRequest) -> None:
    """Refuse the description of an activity task that is about another one.

    Raises:
        BackendCorruptionError: Its instance, its number or its name is not that of the task.
    """
    described = request.workflowInstance.instanceId, request.taskId, request.name
    if described != (task.key.instance.instance_id, task.key.task_id, task.name):
        raise BackendCorruptionError("it describes another task")


def report_damage(work: str, error: BackendError) -> None:
    """Log that damage was met; that the store is unavailable is the lane's to say."""
    if isinstance(error, BackendCorruptionError):
        log.error("%s met damage in the store", work, extra={"error": str(error)})

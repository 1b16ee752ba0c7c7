"""One turn before the worker has seen it: what it is made of, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from durahub.backend import ClaimedInstance
from durahub.engine.events import given_history, workflow_started
from durahub.engine.inbox import Admission, admit, never_scheduled
from durahub.engine.state import InstanceState, Wait
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil
from durahub.types import ExecutionId


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What a turn works on.

    Attributes:
        claimed: The instance as it was claimed.
        state: Its committed state; not changed by the turn.
        opening: The turn's WorkflowStarted event.
        admission: What it takes from the inbox.
        start: The instance's start event, committed before or accepted now.
        committed: The serialised committed history.
    """

    claimed: ClaimedInstance
    state: InstanceState
    opening: pb.HistoryEvent
    admission: Admission
    start: pb.HistoryEvent
    committed: Sequence[bytes]

    @property
    def execution_id(self) -> ExecutionId:
        """The generation that the turn belongs to."""
        return self.claimed.record.execution_id

    @property
    def new_events(self) -> list[bytes]:
        """The serialised events to hand to a worker: the opening, then what was accepted."""
        accepted = [arrival.raw for arrival in self.admission.accepted]
        return [self.opening.SerializeToString(), *accepted]

    @property
    def given(self) -> bytes | None:
        """What the instance may see of its ancestors, a serialised PropagatedHistory, if anything."""
        return given_history(self.start)

    @property
    def began_at(self) -> datetime:
        """The turn's time."""
        return from_timestamp_ceil(self.opening.timestamp)

    @property
    def consumed(self) -> tuple[int, ...]:
        """Ids of the messages that the turn uses up, accepted or not."""
        return tuple(message.message_id for message in self.claimed.messages)

    @property
    def fired_timers(self) -> tuple[int, ...]:
        """Ids of the timers that the turn uses up."""
        return tuple(timer.timer_id for timer in self.claimed.timers)

    def dropped(self, scheduled: Collection[Wait] = ()) -> tuple[str, ...]:
        """Return why events are left out of the turn, for the log.

        Args:
            scheduled: What the turn schedules; early resolutions of anything else are left out.
        """
        orphans = [wait for wait in self.admission.early if wait not in scheduled]
        return (*self.admission.dropped, *map(never_scheduled, orphans))

    @property
    def is_idle(self) -> bool:
        """Whether nothing was accepted, so that no worker needs to be asked."""
        return not self.admission.accepted

    @property
    def ends_before_start(self) -> bool:
        """Whether the instance is terminated while its scheduled start lies ahead."""
        started = self.start.executionStarted
        return (
            self.admission.terminate is not None
            and self.state.start is None
            and started.HasField("scheduledStartTimestamp")
            and from_timestamp_ceil(started.scheduledStartTimestamp) > self.began_at
        )


def plan_turn(
    state: InstanceState, claimed: ClaimedInstance, now: datetime, *, committed: Sequence[bytes]
) -> TurnPlan:
    """Return the turn that a claimed instance is due for.

    Args:
        state: Fold of the committed history of the claimed generation.
        claimed: The instance with what waits for it.
        now: The turn's time; the workflow function sees it as the present.
        committed: The history that `state` is the fold of.

    Raises:
        google.protobuf.message.DecodeError: An event in the inbox does not decode, or what the instance may
            see of its ancestors does not.
        BackendCorruptionError: A message is no batch of events, or there is no start event.
    """
    admission = admit(state, claimed)
    start = state.start or _start_among(admission)
    if start is None:
        raise BackendCorruptionError(
            f"instance {claimed.record.key.instance_id!r} has neither history nor a start event"
        )
    plan = TurnPlan(claimed, state, workflow_started(now), admission, start, committed)
    if plan.given is not None:
        # Nobody has looked into it, and a work item that does not decode ends a worker's whole stream.
        pb.PropagatedHistory.FromString(plan.given)
    return plan


def _start_among(admission: Admission) -> pb.HistoryEvent | None:
    for arrival in admission.accepted:
        if arrival.event.HasField("executionStarted"):
            return arrival.event
    return None

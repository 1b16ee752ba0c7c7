"""A turn's decision while it is being put together: history events and what goes out with them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from durahub.backend import ActivityTask, CreateInstance, Deliver, Message, Timer
from durahub.engine.state import Wait
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.protocol.frames import batch_bytes
from durahub.types import AppId, ExecutionId, InstanceKey


class InvalidResponseError(Exception):
    """A worker's response asks for something that has no meaning; nothing of it is applied."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """Where and when a turn is decided, and where new names come from.

    Attributes:
        app_id: The application of the instance.
        now: Time of every event that the decision writes.
        new_id: Returns a name that was never returned before.
    """

    app_id: AppId
    now: datetime
    new_id: Callable[[], str]


@dataclass(slots=True)
class Draft:
    """Collects what a turn's actions amount to.

    Attributes:
        plan: The turn.
        context: Where and when.
        events: New history events behind those of the plan.
        timers: New timers.
        activities: New activity tasks.
        children: New instances; child workflows have a parent, detached ones have none.
        outgoing: Messages to other instances, and to this one itself.
        completed: The event that ends the instance.
        scheduled: What the actions so far schedule.
        log: What of the actions comes to nothing, one line each.
        scopes: How much history goes to what is set going, where any does.
    """

    plan: TurnPlan
    context: TurnContext
    events: list[pb.HistoryEvent] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    activities: list[ActivityTask] = field(default_factory=list)
    children: list[CreateInstance] = field(default_factory=list)
    outgoing: list[Deliver] = field(default_factory=list)
    completed: pb.HistoryEvent | None = None
    scheduled: set[Wait] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    scopes: dict[Wait, pb.HistoryPropagationScope.ValueType] = field(default_factory=dict)

    def claim_id(self, wait: Wait) -> bool:
        """Return whether something is to be scheduled under an id: not if it is and is not resolved yet.

        Python SDKs before 1.17 use the id of a failed attempt again for the next one.

        Raises:
            InvalidResponseError: The same response has scheduled something under this id.
        """
        if wait in self.scheduled:
            raise InvalidResponseError(
                f"{wait.kind} {wait.event_id} is scheduled twice in one turn"
            )
        self.scheduled.add(wait)
        return wait not in self.plan.state.open

    def is_resolved(self, wait: Wait) -> bool:
        """Return whether the resolution of what this turn schedules came before it."""
        # In the history of a rerun every timer stands behind its firing, and fires once more (Dapr).
        in_history = wait in self.plan.state.early and wait.kind != "timer"
        return in_history or wait in self.plan.admission.early

    def redeliver(self, wait: Wait) -> None:
        """Put an early resolution into the inbox again, to be taken by the next turn.

        SDKs take no notice of a resolution that comes before what it resolves, so this turn can't have it.
        """
        arrival = self.plan.admission.early.get(wait)
        if arrival is not None:
            payload = batch_bytes([arrival.raw])
            message = Message(payload=payload, execution_id=self.plan.execution_id)
            self.outgoing.append(Deliver(key=self.key, messages=(message,)))

    @property
    def key(self) -> InstanceKey:
        """The instance whose turn it is."""
        return self.plan.claimed.record.key

    def stamp(self, event: pb.HistoryEvent, action: pb.WorkflowAction | None = None) -> None:
        """Set who wrote the event and, for a routed action, where it goes (Dapr)."""
        event.router.sourceAppID = self.context.app_id
        if action is not None and action.HasField("router"):
            if action.router.HasField("targetAppID"):
                event.router.targetAppID = action.router.targetAppID
            if action.router.HasField("targetAppNamespace"):
                event.router.targetAppNamespace = action.router.targetAppNamespace

    def send(
        self,
        receiver: InstanceKey,
        event: pb.HistoryEvent,
        *,
        execution_id: ExecutionId | None = None,
        expedite: bool = False,
    ) -> None:
        """Add a message to another instance."""
        message = Message(payload=batch_of(event), execution_id=execution_id)
        self.outgoing.append(Deliver(key=receiver, messages=(message,), expedite=expedite))


def batch_of(*events: pb.HistoryEvent) -> bytes:
    """Return the message payload that carries these events together."""
    return batch_bytes([event.SerializeToString() for event in events])

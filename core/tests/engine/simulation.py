"""A run without engine and store: turns planned, decided and absorbed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from durahub.backend import ClaimedInstance, StoredMessage, Timer
from durahub.engine.decision import Stall, TurnOutcome, decide
from durahub.engine.residents import Resident
from durahub.engine.turn import TurnPlan, plan_turn
from durahub.protocol import messages as pb
from durahub.types import ExecutionId

from . import making


@dataclass
class Run:
    """One generation of one instance, as far as its turns have come.

    Attributes:
        resident: What was committed.
        now: The next turn's time.
        waiting: The inbox.
        timers: Timers that have not fired.
    """

    resident: Resident = field(default_factory=lambda: Resident(making.RUN, 0))
    now: datetime = making.NOW
    waiting: list[StoredMessage] = field(default_factory=list)
    timers: dict[int, Timer] = field(default_factory=dict)
    last_number: int = 0
    new_id: making.Ids = field(default_factory=making.Ids)

    def deliver(self, *events: pb.HistoryEvent, execution_id: ExecutionId | None = None) -> None:
        self.last_number += 1
        self.waiting.append(
            making.stored(*events, number=self.last_number, at=self.now, execution_id=execution_id)
        )

    def plan(self) -> TurnPlan:
        due = sorted(
            (timer for timer in self.timers.values() if timer.due_at <= self.now),
            key=lambda timer: (timer.due_at, timer.timer_id),
        )
        claimed = ClaimedInstance(
            record=making.record(
                revision=self.resident.revision, history_length=len(self.resident.history)
            ),
            messages=tuple(self.waiting),
            timers=tuple(due),
        )
        return plan_turn(self.resident.state, claimed, self.now, committed=self.resident.history)

    def turn(
        self, plan: TurnPlan, actions: Sequence[pb.WorkflowAction] | pb.WorkflowResponse
    ) -> TurnOutcome | Stall:
        answer = actions
        if not isinstance(answer, pb.WorkflowResponse):
            answer = making.response(*answer)
        outcome = decide(plan, answer, making.context(self.now, self.new_id))
        if isinstance(outcome, TurnOutcome) and outcome.commit.next_generation is None:
            self.absorb(outcome)
        return outcome

    def absorb(self, outcome: TurnOutcome) -> None:
        commit = outcome.commit
        self.resident.absorb(self.resident.revision + 1, commit.history, outcome.history)
        self.waiting = [
            message for message in self.waiting if message.message_id not in commit.consumed
        ]
        for timer_id in commit.removed_timers:
            self.timers.pop(timer_id, None)
        self.timers.update({timer.timer_id: timer for timer in commit.timers})

    def events(self) -> list[pb.HistoryEvent]:
        return [pb.HistoryEvent.FromString(raw) for raw in self.resident.history]

    def kinds(self) -> list[str | None]:
        return making.kinds(self.events())


def begun(*actions: pb.WorkflowAction, start: pb.HistoryEvent | None = None) -> Run:
    """Return a run whose first turn answered with these actions."""
    run = Run()
    run.deliver(start or making.started("in"))
    run.turn(run.plan(), actions)
    return run


def decided(run: Run, *actions: pb.WorkflowAction) -> TurnOutcome:
    """Return the outcome of a run's next turn, which must be one that can be committed."""
    outcome = run.turn(run.plan(), actions)
    assert isinstance(outcome, TurnOutcome)
    return outcome

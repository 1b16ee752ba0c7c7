"""The state of one workflow as a value, without its history and payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from durahub.backend import (
    ClaimedInstance,
    CommitTurn,
    CreateInstance,
    Deliver,
    InstanceRecord,
    Message,
    ParkInstance,
    StoredMessage,
    Timer,
)
from durahub.backend.transitions import (
    first_message_id,
    handed_over,
    moment_of_waking,
    record_after_parking,
    record_after_turn,
    record_of_creation,
)

NO_TASK = -1
"""The highest task id of a generation that has scheduled none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowState:
    """A workflow instance as its turns and deliveries see it.

    Attributes:
        record: The record.
        rank: Place in the order of creation.
        inbox: Waiting messages in order of acceptance.
        last_message_id: The last one given out; outlives generations and replacements.
        timers: Timers of the present generation by id.
        not_before: Not due before this moment.
        woken_at: When a delivery first expedited the instance, since its last turn.
        last_task_id: The highest id of an activity task that this generation has scheduled.
        payloads: Keys of the payloads that there are.
        outboxes: Names of reminders with what turns sent, as far as they are not known to be gone.
    """

    record: InstanceRecord
    rank: int
    inbox: tuple[StoredMessage, ...] = ()
    last_message_id: int = 0
    timers: Mapping[int, Timer] = field(default_factory=dict)
    not_before: datetime | None = None
    woken_at: datetime | None = None
    last_task_id: int = NO_TASK
    payloads: frozenset[str] = frozenset()
    outboxes: tuple[str, ...] = ()

    def wake_at(self) -> datetime | None:
        """Return when the instance is due, were it unowned; None: never by itself."""
        return moment_of_waking(
            self.record,
            self.inbox[0] if self.inbox else None,
            self.timers.values(),
            not_before=self.not_before,
            woken_at=self.woken_at,
        )

    def claimed(self, now: datetime) -> ClaimedInstance:
        """Return what a claim hands over."""
        return handed_over(self.record, self.inbox, self.timers.values(), now)


def created(
    creation: CreateInstance, old: WorkflowState | None, *, rank: int, now: datetime
) -> WorkflowState:
    """Return a new instance, or a new run in place of an ended one."""
    record = record_of_creation(creation, old.record if old else None)
    keeps_tasks = old is not None and old.record.execution_id == record.execution_id
    state = WorkflowState(
        record=record,
        rank=rank,
        last_message_id=old.last_message_id if old else 0,
        not_before=creation.not_before,
        last_task_id=old.last_task_id if old and keeps_tasks else NO_TASK,
        outboxes=old.outboxes if old else (),
    )
    return _appended(state, (creation.start,), now)


def delivered(state: WorkflowState, delivery: Deliver, now: datetime) -> WorkflowState:
    """Return an instance that has not ended with messages more."""
    state = _appended(state, delivery.messages, now)
    if not delivery.expedite:
        return state
    return replace(state, not_before=None, woken_at=state.woken_at or now)


def released(state: WorkflowState, not_before: datetime | None) -> WorkflowState:
    """Return an instance that is given back without a turn."""
    return state if not_before is None else replace(state, not_before=not_before)


def parked(state: WorkflowState, parking: ParkInstance) -> WorkflowState:
    """Return an instance that is parked."""
    record = record_after_parking(state.record, parking)
    return replace(state, record=record, not_before=None, woken_at=None)


def turned(state: WorkflowState, commit: CommitTurn, now: datetime) -> WorkflowState:
    """Return an instance after a turn."""
    record = record_after_turn(state.record, commit)
    is_ended = commit.status.is_terminal
    return replace(
        state,
        record=record,
        inbox=() if is_ended else _inbox_after(state, commit, now),
        timers={} if is_ended else _timers_after(state, commit),
        not_before=None,
        woken_at=None,
        last_task_id=NO_TASK
        if commit.next_generation is not None
        else _highest_task_id(state, commit),
    )


def _appended(state: WorkflowState, messages: Iterable[Message], now: datetime) -> WorkflowState:
    first = state.last_message_id + 1
    added = tuple(
        [
            StoredMessage(message_id=number, message=message, accepted_at=now)
            for number, message in enumerate(messages, first)
        ]
    )
    if not added:
        return state
    return replace(
        state, inbox=state.inbox + added, last_message_id=state.last_message_id + len(added)
    )


def _inbox_after(
    state: WorkflowState, commit: CommitTurn, now: datetime
) -> tuple[StoredMessage, ...]:
    inbox = state.inbox
    if commit.consumed and inbox:
        consumed = frozenset(commit.consumed)
        inbox = tuple([one for one in inbox if one.message_id not in consumed])
    if commit.next_generation is None:
        return inbox
    start = StoredMessage(
        message_id=first_message_id(record_after_turn(state.record, commit)),
        message=commit.next_generation.start,
        accepted_at=now,
    )
    return (start, *inbox)


def _timers_after(state: WorkflowState, commit: CommitTurn) -> Mapping[int, Timer]:
    is_next = commit.next_generation is not None
    if not (is_next or commit.removed_timers or commit.timers):
        return state.timers
    kept = {} if is_next else dict(state.timers)
    for timer_id in commit.removed_timers:
        kept.pop(timer_id, None)
    kept.update((timer.timer_id, timer) for timer in commit.timers)
    return kept


def _highest_task_id(state: WorkflowState, commit: CommitTurn) -> int:
    ids = [
        task.key.task_id
        for task in commit.activities
        if task.key.execution_id == state.record.execution_id
    ]
    return max([state.last_task_id, *ids])

"""What a visit has changed in one workflow so far, and the save that makes it durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from durahub.backend import ActivityTask, CommitTurn, Payloads, StoredMessage
from durahub.clock import to_micros
from durahub.types import AppId

from durahub_actors.stores import ActorId, Reminder, Save
from durahub_actors.workflows import codec, names
from durahub_actors.workflows.names import Names
from durahub_actors.workflows.state import WorkflowState
from durahub_actors.workflows.steps import Visit

RANK_OFFSET = 1 << 51
"""Added to microseconds of ends, so that those from 1899 to 2184 are ranks, each its own."""

HIGHEST_RANK = (1 << 53) - 1


class Draft:
    """One workflow during a visit.

    Attributes:
        state: As it is by now; None: there is none.
        visit: On whose behalf.
        disowned: Names of reminders that the session has given back, or that are gone.
        is_touched: Whether it was created, delivered to, or committed.
        is_changed: Whether its status changed.
        is_scheduled: Whether it was created to become due later.
        is_claimed: Whether the save takes the instance for the session, or nothing happens.
        freed: Applications of what was given back.
        inserted: Activity tasks that are new, by name.
    """

    def __init__(
        self, actor: ActorId, before: WorkflowState | None, visit: Visit, workflows: Names
    ) -> None:
        self.state = before
        self.visit = visit
        self.disowned: set[str] = set()
        self.is_touched = self.is_changed = self.is_scheduled = self.is_claimed = False
        self.freed: set[AppId] = set()
        self.inserted: dict[str, ActivityTask] = {}
        self._actor = actor
        self._before = before
        self._names = workflows
        self._is_erased = False
        self._put: dict[str, bytes] = {}
        self._delete: dict[str, None] = {}
        self._mark: dict[str, int] = {}
        self._unmark: list[str] = []
        self._remind: dict[str, Reminder] = {}
        self._forget: list[str] = []
        self._held: dict[str, str | None] = {}
        self._hold: dict[str, str | None] = {}

    # What steps change

    def require(self, name: str) -> None:
        """Let nothing be saved unless the session holds a reminder."""
        self._held.setdefault(name, self.visit.lease)

    def give_back(self, name: str) -> None:
        """Take a reminder from the session; what it is about stays."""
        self._hold[name] = None
        self.disowned.add(name)

    def claim(self) -> None:
        """Take the workflow for the session, if nobody has it."""
        self._held[names.WAKE] = None
        self._hold[names.WAKE] = self.visit.lease
        self.is_claimed = True

    def drop_task(self, name: str) -> None:
        """Remove an activity task."""
        self._forget.append(name)
        self.disowned.add(name)

    def insert_task(self, task: ActivityTask, name: str) -> None:
        """Insert an activity task."""
        self.inserted[name] = task
        is_ours = task.app_id == self.visit.app_id and self.visit.budget.activities > 0
        if is_ours:
            self.visit.budget.activities -= 1
        self._remind[name] = Reminder(
            queue=self._names.activity_queue(task.app_id),
            due_at=self.visit.now,
            order=self.visit.next_rank(),
            label=task.name,
            payload=codec.encode_task(task),
            take=self.visit.lease if is_ours else None,
        )

    def send(self, name: str, parcel: codec.Parcel) -> None:
        """Save what is to be delivered to others."""
        self._remind[name] = Reminder(
            queue=self._names.outbox_queue,
            due_at=self.visit.now,
            payload=codec.encode_parcel(parcel),
            take=self.visit.host,
        )

    def append_history(self, first: int, events: Sequence[bytes]) -> None:
        """Add events, the first of them with this number."""
        for number, event in enumerate(events, first):
            self._put[names.history_key(number)] = event

    def drop_history(self, length: int) -> None:
        """Remove all events."""
        self._delete.update((names.history_key(number), None) for number in range(length))

    def put_payloads(self, payloads: Payloads, *, but_input: bool = False) -> frozenset[str]:
        """Replace the payloads, perhaps all but the input, and return the keys of those there are."""
        assert self.state is not None
        given: dict[str, str | None] = {
            names.OUTPUT: payloads.output,
            names.CUSTOM_STATUS: payloads.custom_status,
        }
        if not but_input:
            given[names.INPUT] = payloads.input
        values = {key: text.encode() for key, text in given.items() if text is not None}
        if payloads.failure is not None:
            values[names.FAILURE] = payloads.failure
        self._put.update(values)
        kept = self.state.payloads & {names.INPUT} if but_input else frozenset()
        keys = kept | values.keys()
        self._delete.update(dict.fromkeys(self.state.payloads - keys))
        return frozenset(keys)

    def rank(self) -> None:
        """Put the workflow into the order of creation."""
        assert self.state is not None
        self._mark[names.CREATED] = self.state.rank

    def rank_end(self, commit: CommitTurn) -> None:
        """Put the workflow into the order of ends."""
        assert commit.completed_at is not None
        rank = to_micros(commit.completed_at) + RANK_OFFSET
        index = names.ended_index(commit.status.name)
        self._mark[index] = min(max(rank, 0), HIGHEST_RANK)

    def unrank_end(self, status_name: str) -> None:
        """Take the workflow from the order of ends."""
        self._unmark.append(names.ended_index(status_name))

    def erase(self) -> None:
        """Remove every trace, also of what this visit did before."""
        self.state = None
        self._is_erased = True
        for changes in (
            self._put,
            self._delete,
            self._mark,
            self._remind,
            self._hold,
            self.inserted,
        ):
            changes.clear()

    # What comes of it

    def save(self, expected: str | None, etag: str) -> Save | None:
        """Return what is to be saved; None if nothing is.

        Args:
            expected: The etag that the workflow was loaded with.
            etag: A new one, used if the state changed.
        """
        self._forget_settled()
        self._wake()
        is_new_state = self.state is not self._before
        if is_new_state and self.state is not None:
            self._put_state(self.state)
        changes = (self._remind, self._forget, self._hold, self._held)
        if not (is_new_state or self._is_erased or any(changes)):
            return None
        return Save(
            actor=self._actor,
            leases=self.visit.leases,
            expected=expected,
            etag=etag if is_new_state and self.state is not None else None,
            held=self._held,
            erase=self._is_erased,
            put=self._put,
            delete=tuple(key for key in self._delete if key not in self._put),
            mark=self._mark,
            unmark=tuple(self._unmark),
            remind=self._remind,
            forget=tuple(self._forget),
            hold=self._hold,
        )

    def is_left(self) -> bool:
        """Whether the instance was touched and is due, and nothing was done to claim it."""
        if self.state is None or not self.is_touched or self._is_owned() or self._takes_instance:
            return False
        wake_at = self.state.wake_at()
        return wake_at is not None and wake_at <= self.visit.now

    def _forget_settled(self) -> None:
        settled = self.visit.settled.get(self._actor)
        if settled and self.state is not None and self.state is not self._before:
            left = tuple([name for name in self.state.outboxes if name not in settled])
            self.state = replace(self.state, outboxes=left)

    def _wake(self) -> None:
        """Bring the one reminder of the workflow in line with its state."""
        if self.state is None or (self.state is self._before and not self.is_touched):
            return
        wake_at = self.state.wake_at()
        is_released = names.WAKE in self.disowned
        before = None if self._before is None else self._before.wake_at()
        if wake_at is None:
            if before is not None or is_released:
                self._hold.pop(names.WAKE, None)
                self._forget.append(names.WAKE)
            return
        takes = self._may_take() and wake_at <= self.visit.now
        if wake_at != before or is_released or takes:
            self._hold.pop(names.WAKE, None)
            self._remind[names.WAKE] = Reminder(
                queue=self._actor.type,
                due_at=wake_at,
                order=self.state.rank,
                label=self.state.record.name,
                release=is_released,
                take=self.visit.lease if takes else None,
            )
        if takes:
            self.visit.budget.instances -= 1

    def _may_take(self) -> bool:
        assert self.state is not None
        return (
            self.is_touched
            and self.visit.budget.instances > 0
            and not self._is_owned()
            and self.state.record.key.app_id == self.visit.app_id
        )

    @property
    def _takes_instance(self) -> bool:
        wake = self._remind.get(names.WAKE)
        return wake is not None and wake.take is not None

    def _is_owned(self) -> bool:
        return self._actor in self.visit.owned and names.WAKE not in self.disowned

    def _put_state(self, state: WorkflowState) -> None:
        self._put[names.METADATA] = codec.encode_metadata(state)
        before = self._before
        if before is None or state.inbox is not before.inbox:
            old = {} if before is None else {one.message_id: one for one in before.inbox}
            self._put_changed_inbox(state, old)
        if before is None or state.timers is not before.timers:
            self._put_changed_timers(state, {} if before is None else before.timers)

    def _put_changed_inbox(self, state: WorkflowState, old: dict[int, StoredMessage]) -> None:
        for stored in state.inbox:
            if old.pop(stored.message_id, None) is not stored:
                self._put[names.inbox_key(stored)] = codec.encode_message(stored)
        if old and self._before is not None:
            gone = (one for one in self._before.inbox if one.message_id in old)
            self._delete.update((names.inbox_key(one), None) for one in gone)

    def _put_changed_timers(self, state: WorkflowState, old: Mapping[int, object]) -> None:
        for timer in state.timers.values():
            if old.get(timer.timer_id) is not timer:
                self._put[names.timer_key(timer.timer_id)] = codec.encode_timer(timer)
        gone = old.keys() - state.timers.keys()
        self._delete.update((names.timer_key(timer_id), None) for timer_id in gone)

"""One batch as the arrays that the function `apply` takes; each element is a row of a type in `types.sql`.

Numbers of operations, keys, slots and so on count from 1, as Postgres does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from durahub.backend import (
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    Message,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
)
from durahub.types import InstanceKey, TaskKey

from durahub_postgres.text import to_stored

_Row = tuple[Any, ...]


class Step(IntEnum):
    """What takes effect after the turns, as `apply.sql` numbers it."""

    CHILD = 1
    OUTGOING = 2
    CREATION = 3
    DELIVERY = 4
    RESULT = 5


@dataclass(slots=True)
class Batch:
    """The arrays of one batch, in the order of the function's parameters; see `types.sql`.

    Attributes:
        keys: Every instance that the batch names, once.
        steps: What happens after the turns, in the order in which it takes effect.
    """

    keys: list[_Row] = field(default_factory=list)
    purges: list[_Row] = field(default_factory=list)
    releases: list[_Row] = field(default_factory=list)
    freed: list[_Row] = field(default_factory=list)
    done: list[_Row] = field(default_factory=list)
    turns: list[_Row] = field(default_factory=list)
    creations: list[_Row] = field(default_factory=list)
    steps: list[_Row] = field(default_factory=list)
    messages: list[_Row] = field(default_factory=list)
    events: list[_Row] = field(default_factory=list)
    consumed: list[_Row] = field(default_factory=list)
    fired: list[_Row] = field(default_factory=list)
    timers: list[_Row] = field(default_factory=list)
    tasks: list[_Row] = field(default_factory=list)
    _slots: int = 0
    _places: dict[InstanceKey, int] = field(default_factory=dict)
    _outgoing: list[tuple[int, Deliver]] = field(default_factory=list)

    def parameters(self) -> tuple[object, ...]:
        """Return the parameters of `apply` from the keys on."""
        return (
            self.keys,
            self.purges,
            self.releases,
            self.freed,
            self.done,
            self.turns,
            self.creations,
            self.steps,
            self.messages,
            self.events,
            self.consumed,
            self.fired,
            self.timers,
            self.tasks,
            self._slots,
        )

    def add_all(self, operations: Sequence[Operation]) -> None:
        """Take in the operations of a batch; call it once."""
        for phase in _PHASES:
            for number, operation in enumerate(operations, 1):
                add = phase.get(type(operation))
                if add is not None:
                    add(self, number, operation)
            if phase is _TURNS:
                for number, delivery in self._outgoing:
                    self._step(Step.OUTGOING, number, delivery)

    def _key(self, key: InstanceKey) -> int:
        place = self._places.get(key)
        if place is None:
            self.keys.append((to_stored(key.app_id), to_stored(key.instance_id)))
            place = self._places[key] = len(self.keys)
        return place

    def _task(self, op: int, task: TaskKey) -> _Row:
        return (op, self._key(task.instance), to_stored(task.execution_id), task.task_id)

    def _slot(self, messages: Iterable[Message]) -> int:
        self._slots += 1
        self.messages += [
            (self._slots, place, message.payload, to_stored(message.execution_id))
            for place, message in enumerate(messages, 1)
        ]
        return self._slots

    def _events(self, op: int, events: Sequence[bytes]) -> int:
        self.events += [(op, place, event) for place, event in enumerate(events)]
        return len(events)

    # Operations, in the order of their phases

    def _purge(self, op: int, purge: PurgeInstance) -> None:
        self.purges.append(
            (op, self._key(purge.key), to_stored(purge.execution_id), purge.force),
        )

    def _release(self, op: int, release: ReleaseInstance) -> None:
        self.releases.append((op, self._key(release.key), release.not_before, None, None, 0))

    def _park(self, op: int, park: ParkInstance) -> None:
        events = self._events(op, park.history)
        reason = to_stored(park.reason)
        self.releases.append((op, self._key(park.key), None, reason, park.updated_at, events))

    def _free(self, op: int, release: ReleaseActivity) -> None:
        self.freed.append(self._task(op, release.task))

    def _turn(self, op: int, turn: CommitTurn) -> None:
        first_child = len(self.creations) + 1
        for child in turn.children:
            self._create(op, child, Step.CHILD)
        following = turn.next_generation
        self.turns.append(
            (
                op,
                self._key(turn.key),
                to_stored(turn.execution_id),
                turn.revision,
                int(turn.status),
                turn.updated_at,
                turn.started_at,
                turn.completed_at,
                to_stored(turn.output),
                to_stored(turn.custom_status),
                turn.failure,
                self._events(op, turn.history),
                first_child,
                len(self.creations),
                to_stored(following.execution_id) if following else None,
                to_stored(following.input) if following else None,
                self._slot((following.start,)) if following else None,
            )
        )
        self._outgoing += [(op, delivery) for delivery in turn.outgoing]
        self.consumed += [(op, message) for message in turn.consumed]
        self.fired += [(op, timer) for timer in turn.removed_timers]
        timers = {timer.timer_id: timer for timer in turn.timers}
        self.timers += [(op, one.timer_id, one.due_at, one.payload) for one in timers.values()]
        tasks = {
            (task.key.execution_id, task.key.task_id): task for task in reversed(turn.activities)
        }
        self.tasks += [
            (
                op,
                task.key.task_id,
                to_stored(task.key.execution_id),
                to_stored(task.app_id),
                to_stored(task.name),
                task.payload,
            )
            for task in reversed(tasks.values())
        ]

    def _create(self, op: int, creation: CreateInstance, kind: Step = Step.CREATION) -> None:
        parent = creation.parent
        key = self._key(creation.key)
        self.creations.append(
            (
                key,
                to_stored(creation.name),
                to_stored(creation.version),
                to_stored(creation.execution_id),
                to_stored(creation.input),
                # As JSON, which escapes NUL by itself.
                json.dumps(dict(creation.tags), ensure_ascii=False) if creation.tags else None,
                to_stored(parent.key.app_id) if parent else None,
                to_stored(parent.key.instance_id) if parent else None,
                to_stored(parent.execution_id) if parent else None,
                parent.task_id if parent else None,
                creation.created_at,
                creation.not_before,
                creation.replaces,
                self._slot((creation.start,)),
            )
        )
        self.steps.append((int(kind), op, key, len(self.creations), None, None, None))

    def _deliver(self, op: int, delivery: Deliver) -> None:
        self._step(Step.DELIVERY, op, delivery)

    def _commit_activity(self, op: int, commit: CommitActivity) -> None:
        self.done.append(self._task(op, commit.task))
        delivery = Deliver(key=commit.task.instance, messages=(commit.result,))
        self._step(Step.RESULT, op, delivery, item=len(self.done))

    def _step(self, kind: Step, op: int, delivery: Deliver, item: int | None = None) -> None:
        self.steps.append(
            (
                int(kind),
                op,
                self._key(delivery.key),
                item,
                self._slot(delivery.messages),
                len(delivery.messages),
                delivery.expedite,
            )
        )


_Phase = dict[type[Any], Callable[[Batch, int, Any], None]]

_TURNS: _Phase = {CommitTurn: Batch._turn}  # noqa: SLF001 - of the same module

_PHASES: tuple[_Phase, ...] = (
    {
        PurgeInstance: Batch._purge,  # noqa: SLF001
        ReleaseInstance: Batch._release,  # noqa: SLF001
        ParkInstance: Batch._park,  # noqa: SLF001
        ReleaseActivity: Batch._free,  # noqa: SLF001
    },
    _TURNS,
    {CreateInstance: Batch._create},  # noqa: SLF001
    {CommitActivity: Batch._commit_activity, Deliver: Batch._deliver},  # noqa: SLF001
)

"""Which steps a batch is made of, in which of two rounds, in which order. Pure.

The first round commits turns; the second creates their children, delivers what they sent, and does what the
batch asks of those receivers after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from durahub.backend import (
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    InstanceRecord,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Result,
)
from durahub.types import InstanceKey

from durahub_actors.stores import ActorId
from durahub_actors.workflows.steps import Answer, Step, Turn

_PHASES: Mapping[type, int] = {
    PurgeInstance: 0,
    ReleaseInstance: 1,
    ParkInstance: 1,
    ReleaseActivity: 1,
    CommitTurn: 2,
    CreateInstance: 3,
    CommitActivity: 4,
    Deliver: 4,
}
_CREATIONS = 3


def key_of(operation: Operation) -> InstanceKey:
    """Return the instance that an operation changes."""
    if isinstance(operation, CommitActivity | ReleaseActivity):
        return operation.task.instance
    return operation.key


def receivers_of(commits: Iterable[CommitTurn]) -> list[InstanceKey]:
    """Return the instances that turns create or write to."""
    keys = (
        key
        for commit in commits
        for key in (
            *(child.key for child in commit.children),
            *(message.key for message in commit.outgoing),
        )
    )
    return list(dict.fromkeys(keys))


@dataclass(slots=True)
class Round:
    """Steps by actor, each with the operation whose result it is, if it is one of the batch.

    Attributes:
        steps: Steps in order.
        places: For each step the number of its operation, or None.
    """

    steps: dict[ActorId, list[Step]] = field(default_factory=dict)
    places: dict[ActorId, list[int | None]] = field(default_factory=dict)

    def add(self, actor: ActorId, step: Step, place: int | None = None) -> None:
        """Add a step after all others of its actor."""
        self.steps.setdefault(actor, []).append(step)
        self.places.setdefault(actor, []).append(place)

    def note(self, answers: Mapping[ActorId, Answer], results: dict[int, Result]) -> None:
        """Put results where they belong."""
        for actor, answer in answers.items():
            placed = zip(self.places[actor], answer.results, strict=True)
            results.update((place, result) for place, result in placed if place is not None)


class Plan:
    """A batch of operations in two rounds.

    Attributes:
        commits: The turns, with their numbers in the batch.
        receivers: What turns create or write to.
        actors: All actors that may be changed.
    """

    def __init__(
        self, operations: Sequence[Operation], actor_of: Callable[[InstanceKey], ActorId]
    ) -> None:
        self._actor_of = actor_of
        self._operations = [(number, one) for number, one in enumerate(operations)]
        self._operations.sort(key=lambda numbered: _PHASES[type(numbered[1])])
        self.commits = [
            (number, one) for number, one in self._operations if isinstance(one, CommitTurn)
        ]
        receivers = receivers_of(commit for _, commit in self.commits)
        self.receivers = frozenset(map(actor_of, receivers))
        self.actors = self.receivers | {actor_of(key_of(one)) for one in operations}

    def first(self, occupants: Mapping[int, tuple[InstanceRecord, ...]]) -> Round:
        """Return the first round, given what is in the way of each turn's children."""
        steps = Round()
        for number, operation in self._operations:
            actor = self._actor_of(key_of(operation))
            if self._comes_late(operation, actor):
                continue
            if isinstance(operation, CommitTurn):
                steps.add(actor, Turn(operation, occupants.get(number, ())), number)
            else:
                steps.add(actor, operation, number)
        return steps

    def second(self, committed: Iterable[CommitTurn]) -> Round:
        """Return the second round, given the turns that were committed."""
        steps = Round()
        turns = list(committed)
        for commit in turns:
            for child in commit.children:
                steps.add(self._actor_of(child.key), child)
        for commit in turns:
            for message in commit.outgoing:
                steps.add(self._actor_of(message.key), message)
        for number, operation in self._operations:
            actor = self._actor_of(key_of(operation))
            if self._comes_late(operation, actor) and not isinstance(operation, CommitTurn):
                steps.add(actor, operation, number)
        return steps

    def _comes_late(self, operation: Operation, actor: ActorId) -> bool:
        return _PHASES[type(operation)] >= _CREATIONS and actor in self.receivers

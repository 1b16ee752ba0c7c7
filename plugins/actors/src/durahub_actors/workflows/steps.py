"""What is asked of one workflow at a time, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from durahub.backend import (
    ActivityTask,
    ClaimedInstance,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    InstanceRecord,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Result,
)
from durahub.types import AppId

from durahub_actors.stores import ActorId


@dataclass(frozen=True, slots=True)
class Turn:
    """Commit a turn; what it sends is saved with it and delivered by whoever asked for it.

    Attributes:
        commit: The turn.
        occupants: What is in the way of its children.
    """

    commit: CommitTurn
    occupants: tuple[InstanceRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """Take an instance that is due and that nobody owns."""


Step = (
    Turn
    | Claim
    | CreateInstance
    | Deliver
    | CommitActivity
    | ReleaseInstance
    | ParkInstance
    | ReleaseActivity
    | PurgeInstance
)
"""Anything that is asked of a workflow."""

CLAIM = Claim()


class Budget:
    """How much may be claimed along, shared by all workflows of one batch.

    Attributes:
        instances: Most instances more.
        activities: Most activity tasks more.
    """

    __slots__ = ("activities", "instances")

    def __init__(self, instances: int = 0, activities: int = 0) -> None:
        self.instances = instances
        self.activities = activities

    def shares(self, number: int) -> list[Budget]:
        """Take everything out, and return it in about equal parts."""
        parts = [
            Budget(
                self.instances // number + (place < self.instances % number),
                self.activities // number + (place < self.activities % number),
            )
            for place in range(number)
        ]
        self.instances = self.activities = 0
        return parts

    def give_back(self, share: Budget, answers: Iterable[Answer] = ()) -> None:
        """Put back what was not used of a share."""
        self.instances += share.instances
        self.activities += share.activities
        for answer in answers:
            self.instances -= answer.claimed is not None
            self.activities -= len(answer.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """On whose behalf workflows are asked, and what they need to know.

    Attributes:
        app_id: The session's application, whose work may be claimed along; None: none.
        lease: The session's lease, which owns; None: nobody's, as when a dead host's outbox is delivered.
        host: The lease of the host that delivers what turns send.
        now: The store's clock.
        budget: What may be claimed along.
        next_rank: Returns a number that is greater than those before, for the order of creation.
        owned: What the session owns already.
        settled: Names of outbox reminders by actor whose content has been delivered.
    """

    app_id: AppId | None
    lease: str | None
    host: str
    now: datetime
    budget: Budget
    next_rank: Callable[[], int]
    owned: AbstractSet[ActorId]
    settled: Mapping[ActorId, frozenset[str]]

    @property
    def leases(self) -> tuple[str, ...]:
        """The leases that must live for anything to be saved."""
        return (self.host,) if self.lease is None else (self.lease, self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of the steps of one workflow.

    Attributes:
        results: One per step, in their order; of a claim that failed `NotOwner`.
        claimed: The instance, if it belongs to the session now.
        tasks: Activity tasks that were inserted and belong to the session now.
        unclaimed: Activity tasks that were inserted and belong to nobody.
        is_left: Whether it was touched, is due, and was not claimed along; somebody may own it.
        is_changed: Whether its status changed.
        freed: Applications of what was given back.
        is_scheduled: Whether it was created to become due later.
        is_given_up: Whether no session of this process owns the instance after that, unless it was claimed.
        is_damaged: Whether it does not decode.
    """

    results: tuple[Result, ...]
    claimed: ClaimedInstance | None = None
    tasks: tuple[ActivityTask, ...] = ()
    unclaimed: tuple[ActivityTask, ...] = ()
    is_left: bool = False
    is_changed: bool = False
    freed: frozenset[AppId] = frozenset()
    is_scheduled: bool = False
    is_given_up: bool = False
    is_damaged: bool = False

"""What works with workflows in a backend that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from durahub.backend import NO_ROOM, BackendServices, Room

from durahub_actors.backend.clock import StoreClock
from durahub_actors.backend.sessions import Member, Sessions
from durahub_actors.runtime import ActorLocks, GroupWriter, Runtime
from durahub_actors.stores import ActorId, StateStore
from durahub_actors.workflows.behaviour import Loaded
from durahub_actors.workflows.names import Names
from durahub_actors.workflows.steps import Answer, Budget, Step, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One of each.

    Attributes:
        store: Where workflows are.
        writer: Saves them.
        runtime: Their actors.
        locks: Who works with which.
        names: How they are called.
        clock: The store's.
        sessions: For whom.
        services: The host's.
        settled: By sender, outbox reminders whose parcels have arrived.
    """

    store: StateStore
    writer: GroupWriter
    runtime: Runtime[Loaded, Step, Visit, Answer]
    locks: ActorLocks
    names: Names
    clock: StoreClock
    sessions: Sessions
    services: BackendServices
    settled: Mapping[ActorId, frozenset[str]]

    def visit(
        self, member: Member | None, room: Room = NO_ROOM, now: datetime | None = None
    ) -> Visit:
        """Return on whose behalf workflows are asked; None: on behalf of no session.

        Args:
            member: The session.
            room: What may be claimed along.
            now: The store's clock, if the store has just told it.
        """
        owned: AbstractSet[ActorId] = frozenset() if member is None else member.owned
        return Visit(
            app_id=None if member is None else member.app_id,
            lease=None if member is None else member.lease,
            host=self.sessions.host,
            now=self.clock.now() if now is None else now,
            budget=Budget(room.instances, room.activities),
            next_rank=self.clock.next_rank,
            owned=owned,
            settled=self.settled,
        )

    async def call(
        self, steps: Mapping[ActorId, Sequence[Step]], visit: Visit, member: Member | None
    ) -> dict[ActorId, Answer]:
        """Carry out steps of actors that are locked, and note what the session owns after them."""
        answers = await self.runtime.call(steps, visit)
        for actor, answer in answers.items():
            if answer.is_given_up:
                self.sessions.disown(actor)
            if answer.claimed is not None and member is not None:
                member.owned.add(actor)
        return answers

"""What works with workflows in a backend that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from durahub.backend import NO_ROOM, BackendServices, Room

from durahub_actors.backend.clock import StoreClock
from durahub_actors.backend.cluster import Cluster
from durahub_actors.backend.sessions import Member, Sessions
from durahub_actors.cluster import HostBusyError
from durahub_actors.runtime import ActorLocks, GroupWriter, Runtime
from durahub_actors.stores import ActorId, StateStore
from durahub_actors.workflows import wire
from durahub_actors.workflows.behaviour import Loaded
from durahub_actors.workflows.names import Names
from durahub_actors.workflows.steps import Answer, Budget, Step, Visit

LOCK_S = 0.25
"""How long a host waits for workflows that it is asked for."""


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
        cluster: The other hosts.
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
    cluster: Cluster
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
        """Carry out steps of actors that are locked, wherever the actors belong.

        What the session owns after them is noted. Raises as `Runtime.call`.
        """
        elsewhere = self.cluster.elsewhere(steps)
        away = {actor for actors in elsewhere.values() for actor in actors}
        here = {actor: asked for actor, asked in steps.items() if actor not in away}
        answers = await self.runtime.call(here, visit) if here else {}
        if elsewhere:
            answers |= await self._ask(elsewhere, steps, visit)
        for actor, answer in answers.items():
            if answer.is_given_up:
                self.sessions.disown(actor)
            if answer.claimed is not None and member is not None:
                member.owned.add(actor)
        return answers

    async def _ask(
        self,
        elsewhere: Mapping[str, Sequence[ActorId]],
        steps: Mapping[ActorId, Sequence[Step]],
        visit: Visit,
    ) -> dict[ActorId, Answer]:
        """Ask other hosts, all at once, and do here what they are too busy for."""
        budgets = visit.budget.shares(len(elsewhere))
        asked = [{actor: steps[actor] for actor in actors} for actors in elsewhere.values()]
        replies = await asyncio.gather(
            *(
                self.cluster.ask(host, one, visit, budget)
                for host, one, budget in zip(elsewhere, asked, budgets, strict=True)
            ),
            return_exceptions=True,
        )
        answers: dict[ActorId, Answer] = {}
        busy: dict[ActorId, Sequence[Step]] = {}
        for one, reply, budget in zip(asked, replies, budgets, strict=True):
            if isinstance(reply, HostBusyError):
                visit.budget.give_back(budget)
                busy |= one
            elif isinstance(reply, BaseException):
                raise reply
            else:
                answers |= zip(one, reply, strict=True)
                visit.budget.give_back(budget, reply)
        self.runtime.drop(answers)
        return answers | (await self.runtime.call(busy, visit) if busy else {})

    async def answer(self, call: wire.Call) -> list[Answer]:
        """Carry out what another host asks for.

        Raises:
            HostBusyError: Others have one of the workflows; nothing was done.
            LeaseEndedError: As `Runtime.call`.
            BackendError: Likewise.
        """
        steps = wire.steps_of(call.tasks)
        visit = Visit(
            app_id=call.app_id,
            lease=call.lease,
            host=call.host,
            now=call.now,
            budget=Budget(call.instances, call.activities),
            next_rank=self.clock.next_rank,
            owned=frozenset(task.actor for task in call.tasks if task.is_owned),
            settled={task.actor: task.settled for task in call.tasks},
        )
        # Two hosts that wait for each other's workflows must not do so for long.
        try:
            async with asyncio.timeout(LOCK_S) as waiting, self.locks.holding(frozenset(steps)):
                waiting.reschedule(None)
                answers = await self.runtime.call(steps, visit)
        except TimeoutError:
            raise HostBusyError from None
        for actor, answer in answers.items():
            if answer.is_given_up:
                self.sessions.disown(actor)
        return [answers[actor] for actor in steps]

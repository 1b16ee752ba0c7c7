"""Takes what is due and belongs to nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import count

from durahub.backend import ActivityTask, ClaimedInstance, InstanceClaims
from durahub.types import InstanceKey, TaskKey

from durahub_actors.backend.core import Core
from durahub_actors.backend.sessions import Member
from durahub_actors.runtime import LeaseEndedError
from durahub_actors.stores import ActorId, DueReminder, Refusal, Refused, ReminderId, Save
from durahub_actors.workflows.codec import decode_task
from durahub_actors.workflows.names import WAKE, task_key
from durahub_actors.workflows.steps import CLAIM, Visit

log = logging.getLogger("durahub.actors.claims")

MOST_ROUNDS = 10
"""How often a claim looks again because others were faster."""


class Claims:
    """The claims of the sessions of this process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._damaged: set[ActorId] = set()
        self._turn = asyncio.Lock()

    async def instances(self, member: Member, limit: int) -> InstanceClaims:
        """Take due instances, longest due first; see `Backend.claim_instances`.

        What does not decode is left out, and told in the log once.

        Raises:
            LeaseEndedError: The session or this process was declared dead; nothing was claimed.
        """
        queue = self._core.names.workflow_type(member.app_id)
        claimed: list[ClaimedInstance] = []
        # Those of one process don't compete for the same.
        async with self._turn:
            for attempt in count(1):
                most = limit - len(claimed)
                asked = most + len(self._damaged) if most else 0
                due = await self._core.store.due(queue, asked)
                wanted = [one.id.home for one in due.reminders]
                visit = self._core.visit(member, now=due.now)
                taken = await self._take(member, wanted, visit, most)
                claimed += taken
                is_all = len(claimed) == limit or len(taken) == len(wanted) < asked
                if is_all or attempt == MOST_ROUNDS:
                    return InstanceClaims(
                        instances=tuple(claimed), next_due_at=due.next_due_at, now=due.now
                    )
        raise AssertionError("counting ends nowhere")

    async def _take(
        self, member: Member, actors: Sequence[ActorId], visit: Visit, limit: int
    ) -> list[ClaimedInstance]:
        """Take some of these instances, in their order, those that somebody owns left out."""
        async with self._core.locks.holding(frozenset(actors)):
            return await self.take_locked(member, actors, visit, limit)

    async def take_locked(
        self, member: Member, actors: Iterable[ActorId], visit: Visit, limit: int
    ) -> list[ClaimedInstance]:
        """Likewise, for actors that are locked."""
        wanted = [actor for actor in actors if actor not in self._damaged][:limit]
        answers = await self._core.call(dict.fromkeys(wanted, (CLAIM,)), visit, member)
        for actor in wanted:
            if answers[actor].is_damaged and actor not in self._damaged:
                self._damaged.add(actor)
                log.error("an instance is damaged and can't be claimed", extra={"id": actor.id})
        claimed = (answers[actor].claimed for actor in wanted)
        return [one for one in claimed if one is not None]

    async def tasks(self, member: Member, limit: int) -> tuple[ActivityTask, ...]:
        """Take activity tasks, oldest first; see `Backend.claim_activities`.

        Raises:
            LeaseEndedError: The session or this process was declared dead; nothing was claimed.
        """
        queue = self._core.names.activity_queue(member.app_id)
        claimed: list[ActivityTask] = []
        async with self._turn:
            for _ in range(MOST_ROUNDS):
                asked = limit - len(claimed)
                due = await self._core.store.due(queue, asked)
                taken = await self.take_reminders(member, [one.id for one in due.reminders])
                claimed += [self._task(one) for one in due.reminders if one.id in taken]
                if len(claimed) == limit or len(taken) == len(due.reminders) < asked:
                    break
        return tuple(claimed)

    async def take_reminders(
        self, member: Member, wanted: Sequence[ReminderId]
    ) -> frozenset[ReminderId]:
        """Take reminders that nobody holds, and return those that were taken."""
        by_home: dict[ActorId, list[ReminderId]] = {}
        for one in wanted:
            by_home.setdefault(one.home, []).append(one)
        taken, contested = await self._hold(member, list(by_home.values()))
        if contested:
            singles = [[one] for group in contested for one in group if len(group) > 1]
            taken += (await self._hold(member, singles))[0]
        return frozenset(taken)

    async def release_except(
        self, member: Member, instances: AbstractSet[InstanceKey], tasks: AbstractSet[TaskKey]
    ) -> bool:
        """Give back what a session owns except what is named, and return whether there was anything.

        Raises:
            LeaseEndedError: The session or this process was declared dead.
        """
        given_back = [
            one
            for one in await self._core.store.held(member.lease)
            if not self._is_named(one, instances, tasks)
        ]
        saves = [
            Save(
                actor=one.home,
                leases=(member.lease, self._core.sessions.host),
                held={one.name: member.lease},
                hold={one.name: None},
            )
            for one in given_back
        ]
        if Refused(Refusal.LEASE) in await self._core.writer.write(saves):
            raise LeaseEndedError("a lease has ended")
        for one in given_back:
            if one.name == WAKE:
                member.owned.discard(one.home)
        return bool(given_back)

    def _is_named(
        self,
        reminder: ReminderId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> bool:
        instance = self._core.names.key_of(reminder.home)
        if reminder.name == WAKE:
            return instance in instances
        return task_key(instance, reminder.name) in tasks

    async def _hold(
        self, member: Member, groups: Sequence[Sequence[ReminderId]]
    ) -> tuple[list[ReminderId], list[Sequence[ReminderId]]]:
        """Take groups of reminders of one home each, and return what was taken, and which groups were not."""
        leases = (member.lease, self._core.sessions.host)
        saves = [
            Save(
                actor=group[0].home,
                leases=leases,
                held={one.name: None for one in group},
                hold={one.name: member.lease for one in group},
            )
            for group in groups
        ]
        results = await self._core.writer.write(saves)
        if Refused(Refusal.LEASE) in results:
            raise LeaseEndedError("a lease has ended")
        pairs = list(zip(groups, results, strict=True))
        taken = [one for group, result in pairs if not isinstance(result, Refused) for one in group]
        return taken, [group for group, result in pairs if isinstance(result, Refused)]

    def _task(self, due: DueReminder) -> ActivityTask:
        instance = self._core.names.key_of(due.id.home)
        return decode_task(task_key(instance, due.id.name), due.payload)

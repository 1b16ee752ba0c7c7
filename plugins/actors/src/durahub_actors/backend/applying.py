"""Carries out batches: commits turns, delivers what they sent, claims what became due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from durahub.backend import (
    ActivityTask,
    Applied,
    ClaimedInstance,
    CommitTurn,
    CreateInstance,
    InstanceExists,
    InstanceRecord,
    Operation,
    PurgeInstance,
    Result,
    Room,
    TurnCommitted,
)
from durahub.backend.transitions import occupant_of
from durahub.errors import BackendError
from durahub.types import AppId, InstanceKey

from durahub_actors.backend.claims import Claims
from durahub_actors.backend.core import Core
from durahub_actors.backend.outbox import Outbox
from durahub_actors.backend.plan import Plan, Round
from durahub_actors.backend.sessions import Member
from durahub_actors.stores import ActorId, ReminderId
from durahub_actors.workflows import names
from durahub_actors.workflows.behaviour import Damaged
from durahub_actors.workflows.codec import Parcel
from durahub_actors.workflows.state import WorkflowState
from durahub_actors.workflows.steps import Answer, Visit

MOST_SETTLEMENTS = 10
"""How often a child may be answered anew, while others create and end under the same id."""

MOST_LOOKS = 20
"""How often a purge looks whether another host has delivered what the instance sent."""

LOOK_S = 0.05
"""Time between two such looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What a batch left for others to hear of.

    Attributes:
        due: Applications with something to claim, now or later.
        changed: Instances whose status changed.
    """

    due: frozenset[AppId]
    changed: tuple[InstanceKey, ...]


class Applier:
    """Carries out batches for the sessions of this process."""

    def __init__(self, core: Core, claims: Claims, outbox: Outbox) -> None:
        self._core = core
        self._claims = claims
        self._outbox = outbox

    async def apply(
        self, member: Member, operations: Sequence[Operation], room: Room
    ) -> tuple[Applied, Echo]:
        """Carry out a batch; see `Backend.apply`.

        Raises:
            LeaseEndedError: The session or this process was declared dead.
            BackendError: As the store; operations may have taken effect.
        """
        if self._outbox.is_late:
            await self._outbox.catch_up(self.deliver)
        plan = Plan(operations, self._core.names.actor_of)
        async with self._core.locks.holding(plan.actors):
            await self._require_nothing_on_its_way(operations)
            visit = self._core.visit(member, room)
            results, answers = await self._carry_out(member, plan, visit)
            claimed = await self._claimed(member, answers, visit, room)
            tasks, left = await self._tasks(member, answers, room)
        applied = Applied(
            results=tuple([results[number] for number in range(len(operations))]),
            instances=tuple(claimed.values()),
            activities=tasks,
        )
        return applied, self._echo(answers, claimed, left)

    async def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Create children and deliver messages that turns sent, on behalf of no session.

        What has arrived before arrives once more: whoever gets it drops it.
        """
        steps = Round()
        parents: set[ActorId] = set()
        for parcel in parcels:
            for child in parcel.children:
                steps.add(self._core.names.actor_of(child.key), child)
                if child.parent is not None:
                    parents.add(self._core.names.actor_of(child.parent.key))
        for parcel in parcels:
            for message in parcel.outgoing:
                steps.add(self._core.names.actor_of(message.key), message)
        async with self._core.locks.holding(parents | steps.steps.keys()):
            visit = self._core.visit(None)
            answers = await self._core.call(steps.steps, visit, None)
            await self._settle_conflicts(_conflicts(steps, answers), visit, None)

    async def _carry_out(
        self, member: Member, plan: Plan, visit: Visit
    ) -> tuple[dict[int, Result], list[Mapping[ActorId, Answer]]]:
        """Carry out both rounds, and return the results by number, and the answers."""
        results: dict[int, Result] = {}
        first = plan.first(await self._occupants(plan))
        try:
            answers: list[Mapping[ActorId, Answer]] = [
                await self._core.call(first.steps, visit, member)
            ]
        except BaseException:
            if plan.receivers:
                self._outbox.doubt()
            raise
        first.note(answers[0], results)
        committed = {
            number: commit
            for number, commit in plan.commits
            if isinstance(results[number], TurnCommitted)
        }
        sent = self._sent(committed, results)
        self._outbox.expect(sent)
        second = plan.second(committed.values())
        try:
            if second.steps:
                answers.append(await self._core.call(second.steps, visit, member))
                second.note(answers[1], results)
                conflicts = _conflicts(second, answers[1])
                answers += await self._settle_conflicts(conflicts, visit, member)
        except BaseException:
            self._outbox.fail(sent)
            raise
        self._outbox.settle([reminder for reminder, _ in sent])
        return results, answers

    async def _require_nothing_on_its_way(self, operations: Sequence[Operation]) -> None:
        """See to it that no purge removes what its instance has sent and nobody has got.

        Raises:
            BackendError: Another host is about to deliver it.
        """
        purges = [one for one in operations if isinstance(one, PurgeInstance)]
        if not purges:
            return
        actors = [self._core.names.actor_of(one.key) for one in purges]
        for actor, state in (await self._core.runtime.states(actors)).items():
            if not isinstance(state, WorkflowState) or not state.outboxes:
                continue
            settled = self._core.settled.get(actor, frozenset())
            if not settled.issuperset(state.outboxes):
                await self._require_arrived(actor)

    async def _require_arrived(self, actor: ActorId) -> None:
        for _ in range(MOST_LOOKS):
            if await self._outbox.is_empty(actor):
                return
            await asyncio.sleep(LOOK_S)
        raise BackendError(
            f"what instance {actor.id!r} sent last is still on its way; purge it later"
        )

    async def _occupants(self, plan: Plan) -> dict[int, tuple[InstanceRecord, ...]]:
        """Return what is in the way of each turn's children, by the number of the turn."""
        children = {
            child.key: self._core.names.actor_of(child.key)
            for _, commit in plan.commits
            for child in commit.children
        }
        if not children:
            return {}
        states = await self._core.runtime.states(children.values())

        def existing(key: InstanceKey) -> InstanceRecord | None:
            state = states.get(children[key])
            if isinstance(state, Damaged):
                raise state.error
            return None if state is None else state.record

        return {
            number: tuple(
                found
                for child in commit.children
                if (found := occupant_of(existing(child.key), child)) is not None
            )
            for number, commit in plan.commits
            if commit.children
        }

    def _sent(
        self, committed: Mapping[int, CommitTurn], results: Mapping[int, Result]
    ) -> list[tuple[ReminderId, Parcel]]:
        sent: list[tuple[ReminderId, Parcel]] = []
        for number, commit in committed.items():
            parcel, result = Parcel(commit.children, commit.outgoing), results[number]
            if parcel and isinstance(result, TurnCommitted):
                home = self._core.names.actor_of(commit.key)
                sent.append((ReminderId(home, names.outbox_name(result.revision)), parcel))
        return sent

    async def _settle_conflicts(
        self,
        conflicts: Sequence[tuple[CreateInstance, InstanceRecord]],
        visit: Visit,
        member: Member | None,
    ) -> list[Mapping[ActorId, Answer]]:
        """Do what is to be done for children whose ids were taken after their turn was committed."""
        settle = self._core.services.settle_occupied
        answered: list[Mapping[ActorId, Answer]] = []
        for _ in range(MOST_SETTLEMENTS):
            if not conflicts or settle is None:
                return answered
            steps = Round()
            for child, existing in conflicts:
                settlement = await settle(child, existing)
                if settlement is not None:
                    steps.add(self._core.names.actor_of(settlement.key), settlement)
            answers = await self._core.call(steps.steps, visit, member)
            answered.append(answers)
            conflicts = _conflicts(steps, answers)
        raise BackendError("children could not be created: their ids kept changing hands")

    async def _claimed(
        self,
        member: Member,
        rounds: Sequence[Mapping[ActorId, Answer]],
        visit: Visit,
        room: Room,
    ) -> dict[ActorId, ClaimedInstance]:
        """Return what was claimed along, complete, after taking what there is still room for."""
        claimed: dict[ActorId, ClaimedInstance] = {}
        for answers in rounds:
            for actor, answer in answers.items():
                if answer.claimed is not None:
                    claimed[actor] = answer.claimed
                elif actor in claimed and actor in member.owned:
                    # Something came for it after it was taken; another host has it, if it is not known here.
                    state = self._core.runtime.known(actor)
                    if isinstance(state, WorkflowState):
                        claimed[actor] = state.claimed(visit.now)
        space = room.instances - len(claimed)
        if space > 0:
            left = {
                actor: None
                for answers in rounds
                for actor, answer in answers.items()
                if answer.is_left
                and actor not in claimed
                and self._core.names.key_of(actor).app_id == member.app_id
            }
            more = await self._claims.take_locked(member, left, visit, space) if left else []
            claimed |= {self._core.names.actor_of(one.record.key): one for one in more}
        return claimed

    async def _tasks(
        self, member: Member, rounds: Sequence[Mapping[ActorId, Answer]], room: Room
    ) -> tuple[tuple[ActivityTask, ...], list[ActivityTask]]:
        """Return the tasks that were claimed along, and those that nobody has."""
        all_answers = [answer for answers in rounds for answer in answers.values()]
        tasks = [task for answer in all_answers for task in answer.tasks]
        left = [task for answer in all_answers for task in answer.unclaimed]
        space = room.activities - len(tasks)
        wanted = [task for task in left if task.app_id == member.app_id][: max(space, 0)]
        if wanted:
            by_id = {self._reminder(task): task for task in wanted}
            taken = await self._claims.take_reminders(member, list(by_id))
            more = [task for one, task in by_id.items() if one in taken]
            tasks += more
            left = [task for task in left if task not in more]
        return tuple(tasks), left

    def _reminder(self, task: ActivityTask) -> ReminderId:
        home = self._core.names.actor_of(task.key.instance)
        return ReminderId(home, names.task_name(task.key))

    def _echo(
        self,
        rounds: Sequence[Mapping[ActorId, Answer]],
        claimed: Mapping[ActorId, ClaimedInstance],
        left: Sequence[ActivityTask],
    ) -> Echo:
        due = {task.app_id for task in left}
        changed: dict[InstanceKey, None] = {}
        for answers in rounds:
            for actor, answer in answers.items():
                key = self._core.names.key_of(actor)
                due |= answer.freed
                if answer.is_scheduled or (answer.is_left and actor not in claimed):
                    due.add(key.app_id)
                if answer.is_changed:
                    changed[key] = None
        return Echo(due=frozenset(due), changed=tuple(changed))


def _conflicts(
    steps: Round, answers: Mapping[ActorId, Answer]
) -> list[tuple[CreateInstance, InstanceRecord]]:
    """Return the children whose ids somebody else has, and who."""
    return [
        (step, result.existing)
        for actor, asked in steps.steps.items()
        for step, place, result in zip(
            asked, steps.places[actor], answers[actor].results, strict=True
        )
        if place is None
        and isinstance(step, CreateInstance)
        and isinstance(result, InstanceExists)
        and result.existing.execution_id != step.execution_id
    ]

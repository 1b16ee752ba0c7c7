"""What the actor type of workflows does with steps: the operations of the backend contract, one actor each.

Pure: a visit makes of a state another one, a save and an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import count
from typing import Any

from durahub.backend import (
    ActivityCommitted,
    ActivityTask,
    ChildrenExist,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    Delivered,
    InstanceCreated,
    InstanceExists,
    InstanceMissing,
    NotOwner,
    ParkInstance,
    Payloads,
    Purged,
    PurgeInstance,
    ReleaseActivity,
    Released,
    ReleaseInstance,
    Result,
    TaskNotOwned,
    TurnCommitted,
)
from durahub.backend.transitions import (
    delivery_refusal,
    is_turn_of,
    occupant_of,
    payloads_after_turn,
    purge_refusal,
)
from durahub.errors import BackendCorruptionError

from durahub_actors.runtime import Outcome
from durahub_actors.stores import ActorId, ActorState
from durahub_actors.workflows import names
from durahub_actors.workflows import state as states
from durahub_actors.workflows.codec import Parcel, decode_state
from durahub_actors.workflows.draft import Draft
from durahub_actors.workflows.names import Names
from durahub_actors.workflows.state import WorkflowState
from durahub_actors.workflows.steps import Answer, Claim, Step, Turn, Visit


class Damaged:
    """A workflow whose state does not decode: it can be purged by force, and nothing else.

    Attributes:
        error: Why.
    """

    def __init__(self, error: BackendCorruptionError) -> None:
        self.error = error


Loaded = WorkflowState | Damaged
"""What the runtime keeps of a workflow."""


class Workflows:
    """The behaviour of workflow actors, for the runtime.

    Args:
        workflows: The names of actors.
        owner: Makes etags unique for ever, together with a number.
    """

    keys: tuple[str, ...] = (names.METADATA,)
    prefixes: tuple[str, ...] = (names.INBOX, names.TIMER)

    def __init__(self, workflows: Names, owner: str) -> None:
        self._names = workflows
        self._owner = owner
        self._numbers = count(1)

    def load(self, actor: ActorId, stored: ActorState) -> Loaded:
        """Return the state in what is stored."""
        try:
            return decode_state(self._names.key_of(actor), stored.values)
        except BackendCorruptionError as error:
            return Damaged(error)

    def is_blind(self, steps: Sequence[Step]) -> bool:
        """Whether to try without loading: a creation finds most ids free, and its save finds out."""
        return isinstance(steps[0], CreateInstance)

    def asks_for_reminders(self, state: Loaded | None, steps: Sequence[Step]) -> bool:
        """Whether the steps can't be carried out without knowing which activity tasks there are."""
        return isinstance(state, WorkflowState) and any(
            _may_exist(state, task)
            for step in steps
            if isinstance(step, Turn)
            for task in step.commit.activities
        )

    def run(
        self,
        actor: ActorId,
        state: Loaded | None,
        etag: str | None,
        steps: Sequence[Step],
        visit: Visit,
        reminders: AbstractSet[str],
    ) -> Outcome[Loaded, Answer]:
        """Carry out steps, in their order.

        Raises:
            BackendCorruptionError: The state does not decode, and the step is no purge by force.
        """
        if isinstance(state, Damaged):
            return self._run_damaged(actor, state, etag, steps, visit)
        draft = Draft(actor, state, visit, self._names)
        results = tuple([_STEPS[type(step)](draft, step, reminders) for step in steps])
        save = draft.save(etag, f"{self._owner}-{next(self._numbers)}")

        def conclude(taken: AbstractSet[str]) -> Answer:
            return _answer(draft, results, taken)

        return Outcome(state=draft.state, save=save, conclude=conclude)

    def _run_damaged(
        self,
        actor: ActorId,
        state: Damaged,
        etag: str | None,
        steps: Sequence[Step],
        visit: Visit,
    ) -> Outcome[Loaded, Answer]:
        if isinstance(steps[0], Claim):
            left_out = Answer(results=(NotOwner(),), is_damaged=True)
            return Outcome(state=state, save=None, conclude=lambda _: left_out)
        if not (isinstance(steps[0], PurgeInstance) and steps[0].force):
            raise state.error
        draft = Draft(actor, None, visit, self._names)
        draft.erase()
        draft.is_changed = True
        results: list[Result] = [Purged()]
        results += [_STEPS[type(step)](draft, step, frozenset()) for step in steps[1:]]
        save = draft.save(etag, f"{self._owner}-{next(self._numbers)}")
        return Outcome(
            state=draft.state,
            save=save,
            conclude=lambda taken: _answer(draft, tuple(results), taken),
        )

    def refused(self, step: Step) -> Answer:
        """Answer a step whose reminder is not held by whom it should be."""
        is_task = isinstance(step, CommitActivity | ReleaseActivity)
        result = TaskNotOwned() if is_task else NotOwner()
        return Answer(results=(result,), is_given_up=not is_task)

    def merged(self, answers: Sequence[Answer]) -> Answer:
        """Return one answer for steps that were carried out one after the other."""
        return Answer(
            results=tuple(result for answer in answers for result in answer.results),
            claimed=next((one.claimed for one in reversed(answers) if one.claimed), None),
            tasks=tuple(task for answer in answers for task in answer.tasks),
            unclaimed=tuple(task for answer in answers for task in answer.unclaimed),
            is_left=answers[-1].is_left,
            is_changed=any(answer.is_changed for answer in answers),
            freed=frozenset().union(*(answer.freed for answer in answers)),
            is_scheduled=any(answer.is_scheduled for answer in answers),
            is_given_up=any(answer.is_given_up for answer in answers),
        )


def _answer(draft: Draft, results: tuple[Result, ...], taken: AbstractSet[str]) -> Answer:
    state = draft.state
    is_claimed = draft.is_claimed or names.WAKE in taken
    return Answer(
        results=results,
        claimed=state.claimed(draft.visit.now) if state is not None and is_claimed else None,
        tasks=tuple(task for name, task in draft.inserted.items() if name in taken),
        unclaimed=tuple(task for name, task in draft.inserted.items() if name not in taken),
        is_left=draft.is_left(),
        is_changed=draft.is_changed,
        freed=frozenset(draft.freed),
        is_scheduled=draft.is_scheduled,
        is_given_up=state is None or names.WAKE in draft.disowned,
    )


def _may_exist(state: WorkflowState, task: ActivityTask) -> bool:
    """Whether a task may have been scheduled before; ids of tasks rise within a generation."""
    is_of_this = task.key.execution_id == state.record.execution_id
    return not is_of_this or task.key.task_id <= state.last_task_id


# Steps: each checks everything first and then changes everything.


def _claim(draft: Draft, _: Claim, __: AbstractSet[str]) -> Result:
    if draft.state is None:
        return NotOwner()
    draft.claim()
    return Released()


def _create(draft: Draft, step: CreateInstance, _: AbstractSet[str]) -> Result:
    old = draft.state
    occupant = occupant_of(None if old is None else old.record, step)
    if occupant is not None:
        return InstanceExists(existing=occupant)
    if old is not None:
        draft.drop_history(old.record.history_length)
        draft.unrank_end(old.record.status.name)
    rank = draft.visit.next_rank()
    draft.state = states.created(step, old, rank=rank, now=draft.visit.now)
    if old is not None:
        draft.state = replace(draft.state, payloads=old.payloads)
    payloads = draft.put_payloads(Payloads(input=step.input))
    draft.state = replace(draft.state, payloads=payloads)
    draft.rank()
    draft.is_touched = draft.is_changed = True
    draft.is_scheduled = step.not_before is not None
    return InstanceCreated(generation=draft.state.record.generation)


def _deliver(draft: Draft, step: Deliver, _: AbstractSet[str]) -> Result:
    state = draft.state
    refusal = delivery_refusal(None if state is None else state.record)
    if state is None or refusal is not None:
        return refusal or InstanceMissing()
    draft.state = states.delivered(state, step, draft.visit.now)
    draft.is_touched = True
    return Delivered()


def _turn(draft: Draft, step: Turn, existing: AbstractSet[str]) -> Result:
    state, commit = draft.state, step.commit
    if state is None or not is_turn_of(state.record, commit) or names.WAKE in draft.disowned:
        return NotOwner()
    draft.require(names.WAKE)
    if step.occupants:
        return ChildrenExist(existing=step.occupants)
    _write_turn(draft, state, commit)
    _insert_tasks(draft, state, commit, existing)
    _send(draft, commit)
    draft.disowned.add(names.WAKE)
    draft.is_touched = True
    return TurnCommitted(revision=draft.state.record.revision if draft.state else 0)


def _write_turn(draft: Draft, state: WorkflowState, commit: CommitTurn) -> None:
    length = state.record.history_length
    payloads = payloads_after_turn(Payloads(), commit)
    keys = draft.put_payloads(payloads, but_input=commit.next_generation is None)
    if commit.next_generation is None:
        draft.append_history(length, commit.history)
    else:
        draft.drop_history(length)
    draft.state = replace(states.turned(state, commit, draft.visit.now), payloads=keys)
    draft.is_changed = draft.is_changed or state.record.status is not commit.status
    if commit.status.is_terminal:
        draft.rank_end(commit)


def _insert_tasks(
    draft: Draft, state: WorkflowState, commit: CommitTurn, existing: AbstractSet[str]
) -> None:
    for task in commit.activities:
        name = names.task_name(task.key)
        is_old = name in draft.inserted or (name in existing and _may_exist(state, task))
        if not is_old:
            draft.insert_task(task, name)


def _send(draft: Draft, commit: CommitTurn) -> None:
    parcel = Parcel(commit.children, commit.outgoing)
    if not parcel:
        return
    assert draft.state is not None
    name = names.outbox_name(draft.state.record.revision)
    draft.send(name, parcel)
    draft.state = replace(draft.state, outboxes=(*draft.state.outboxes, name))


def _release(draft: Draft, step: ReleaseInstance, _: AbstractSet[str]) -> Result:
    if draft.state is None or names.WAKE in draft.disowned:
        return NotOwner()
    draft.require(names.WAKE)
    draft.state = states.released(draft.state, step.not_before)
    draft.give_back(names.WAKE)
    draft.freed.add(step.key.app_id)
    return Released()


def _park(draft: Draft, step: ParkInstance, _: AbstractSet[str]) -> Result:
    if draft.state is None or names.WAKE in draft.disowned:
        return NotOwner()
    draft.require(names.WAKE)
    draft.append_history(draft.state.record.history_length, step.history)
    draft.state = states.parked(draft.state, step)
    draft.give_back(names.WAKE)
    draft.is_changed = True
    return Released()


def _release_task(draft: Draft, step: ReleaseActivity, _: AbstractSet[str]) -> Result:
    name = names.task_name(step.task)
    if draft.state is None or name in draft.disowned:
        return TaskNotOwned()
    draft.require(name)
    draft.give_back(name)
    if draft.visit.app_id is not None:
        draft.freed.add(draft.visit.app_id)
    return Released()


def _commit_task(draft: Draft, step: CommitActivity, _: AbstractSet[str]) -> Result:
    name = names.task_name(step.task)
    state = draft.state
    if state is None or name in draft.disowned:
        return TaskNotOwned()
    draft.require(name)
    draft.drop_task(name)
    if (
        state.record.execution_id == step.task.execution_id
        and delivery_refusal(state.record) is None
    ):
        delivery = Deliver(key=step.task.instance, messages=(step.result,))
        draft.state = states.delivered(state, delivery, draft.visit.now)
        draft.is_touched = True
    return ActivityCommitted()


def _purge(draft: Draft, step: PurgeInstance, _: AbstractSet[str]) -> Result:
    state = draft.state
    refusal = purge_refusal(None if state is None else state.record, step)
    if state is None or refusal is not None:
        return refusal or InstanceMissing()
    draft.erase()
    draft.is_changed = True
    return Purged()


_STEPS: Mapping[type[Any], Callable[[Draft, Any, AbstractSet[str]], Result]] = {
    Turn: _turn,
    Claim: _claim,
    CreateInstance: _create,
    Deliver: _deliver,
    CommitActivity: _commit_task,
    ReleaseInstance: _release,
    ParkInstance: _park,
    ReleaseActivity: _release_task,
    PurgeInstance: _purge,
}

"""What a turn comes to: from the worker's response to the write that makes it durable. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from durahub.backend import CommitTurn, Deliver, Message
from durahub.engine import events
from durahub.engine.actions import apply_action
from durahub.engine.draft import Draft, InvalidResponseError, TurnContext, batch_of
from durahub.engine.generation import next_generation
from durahub.engine.propagation import share_history
from durahub.engine.state import child_key
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus

_ENDINGS = frozenset(
    {
        pb.ORCHESTRATION_STATUS_COMPLETED,
        pb.ORCHESTRATION_STATUS_FAILED,
        pb.ORCHESTRATION_STATUS_TERMINATED,
        pb.ORCHESTRATION_STATUS_CANCELED,
    }
)


@dataclass(frozen=True, slots=True)
class Stall:
    """The turn can't be applied now; the instance waits for a worker that is able to.

    Attributes:
        kind: What is in the way.
        reason: The same for people, in Dapr's words.
        refused_by: Streams of workers that lack what the turn needs; others may have it.
    """

    kind: pb.StalledReason.ValueType
    reason: str
    refused_by: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """A turn that can be committed.

    Attributes:
        commit: The write.
        history: The events that the write appends, decoded; empty for continue-as-new.
        log: What to say about it, one line each.
    """

    commit: CommitTurn
    history: tuple[pb.HistoryEvent, ...]
    log: tuple[str, ...]


def decide(
    plan: TurnPlan, response: pb.WorkflowResponse, context: TurnContext
) -> TurnOutcome | Stall:
    """Return what a worker's response to a turn comes to.

    Termination wins over continue-as-new in one turn, and is enforced when the worker did not complete
    the instance itself. Of several completions the first counts.

    Raises:
        InvalidResponseError: The response asks for something that has no meaning.
    """
    completion = _completion(plan, response)
    if _lacks_version(response, completion):
        return Stall(
            pb.VERSION_NOT_AVAILABLE, f"Version not available: {plan.state.version_name or ''}"
        )
    mismatch = _patch_mismatch(plan, response)
    if mismatch is not None:
        return Stall(pb.PATCH_MISMATCH, mismatch)
    if (
        completion is not None
        and completion.completeWorkflow.workflowStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
    ):
        commit = next_generation(plan, response, completion.completeWorkflow, context)
        return TurnOutcome(commit, (), plan.dropped())
    draft = Draft(plan, context)
    for action in response.actions:
        if not action.HasField("completeWorkflow"):
            apply_action(draft, action)
    if completion is not None:
        _complete(draft, completion)
    elif plan.admission.terminate is not None:
        return force_termination(plan, response, context)
    return _outcome(draft, response)


def force_termination(
    plan: TurnPlan, response: pb.WorkflowResponse, context: TurnContext
) -> TurnOutcome:
    """Return the end of an instance that was asked to terminate, whatever the worker made of it."""
    draft = Draft(plan, context)
    action = pb.WorkflowAction(id=events.UNNUMBERED)
    action.completeWorkflow.workflowStatus = pb.ORCHESTRATION_STATUS_TERMINATED
    request = plan.admission.terminate
    if request is not None and request.HasField("input"):
        action.completeWorkflow.result.CopyFrom(request.input)
    _complete(draft, action)
    return _outcome(draft, response)


def settle_idle(plan: TurnPlan, custom_status: str | None, context: TurnContext) -> TurnOutcome:
    """Return the turn of an instance whose inbox held nothing new: only the inbox is cleared.

    Args:
        plan: The turn.
        custom_status: The instance's present custom status, which it keeps.
        context: Where and when.
    """
    record = plan.claimed.record
    suspended = RuntimeStatus.SUSPENDED if plan.state.suspended else RuntimeStatus.RUNNING
    commit = CommitTurn(
        key=record.key,
        execution_id=record.execution_id,
        revision=record.revision,
        status=suspended,
        updated_at=context.now,
        started_at=record.started_at,
        custom_status=custom_status,
        consumed=plan.consumed,
        removed_timers=plan.fired_timers,
    )
    return TurnOutcome(commit, (), plan.dropped())


def _completion(plan: TurnPlan, response: pb.WorkflowResponse) -> pb.WorkflowAction | None:
    for action in response.actions:
        if not action.HasField("completeWorkflow"):
            continue
        status = action.completeWorkflow.workflowStatus
        if status == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW and plan.admission.terminate:
            continue
        return action
    return None


def _lacks_version(response: pb.WorkflowResponse, completion: pb.WorkflowAction | None) -> bool:
    # The Java SDK says it by completing with the status STALLED, all others by an action.
    return any(action.HasField("workflowVersionNotAvailable") for action in response.actions) or (
        completion is not None
        and completion.completeWorkflow.workflowStatus == pb.ORCHESTRATION_STATUS_STALLED
    )


def _patch_mismatch(plan: TurnPlan, response: pb.WorkflowResponse) -> str | None:
    """Return how the patches of the worker's code contradict those that the history was made with.

    The worker reports all that it met in the order in which it met them, so what is recorded must be how
    its list begins. A worker that only notes a suspension may not have run the code at all.
    """
    recorded = plan.state.patches
    current = list(dict.fromkeys(response.version.patches))
    if plan.admission.suspended or current[: len(recorded)] == recorded:
        return None
    return (
        f"Patch mismatch. History patches: [{', '.join(recorded)}], "
        f"current patches: [{', '.join(current)}]. "
    )


def _complete(draft: Draft, action: pb.WorkflowAction) -> None:
    asked = action.completeWorkflow
    if asked.workflowStatus not in _ENDINGS:
        raise InvalidResponseError(f"a workflow can't complete with status {asked.workflowStatus}")
    draft.completed = events.execution_completed(
        draft.context.now,
        action.id,
        asked.workflowStatus,
        asked.result if asked.HasField("result") else None,
        asked.failureDetails if asked.HasField("failureDetails") else None,
    )
    draft.stamp(draft.completed)
    draft.events.append(draft.completed)
    _tell_parent(draft, draft.completed.executionCompleted)
    _tell_children(draft)


def _tell_parent(draft: Draft, completed: pb.ExecutionCompletedEvent) -> None:
    started = draft.plan.start.executionStarted
    if not started.HasField("parentInstance"):
        return
    parent = started.parentInstance
    if completed.workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED:
        result = completed.result if completed.HasField("result") else None
        event = events.child_completed(draft.context.now, parent.taskScheduledId, result)
    else:
        failure = completed.failureDetails if completed.HasField("failureDetails") else None
        event = events.child_failed(draft.context.now, parent.taskScheduledId, failure)
    event.router.sourceAppID = draft.context.app_id
    parent_app = AppId(parent.appID or draft.context.app_id)
    if parent_app != draft.context.app_id:
        event.router.targetAppID = parent_app
    execution_id = parent.workflowInstance.executionId.value
    draft.send(
        InstanceKey(parent_app, parent.workflowInstance.instanceId),
        event,
        execution_id=ExecutionId(execution_id) if execution_id else None,
    )


def _tell_children(draft: Draft) -> None:
    request = draft.plan.admission.terminate
    if request is None or not request.recurse:
        return
    # A child that has ended is no receiver, and its id may belong to somebody else by now.
    running = [
        child_key(draft.key, child)
        for child in draft.plan.state.children
        if child.wait in draft.plan.state.open and child.wait not in draft.plan.admission.settled
    ]
    # Each once: a retried child has the id of the attempt before.
    draft.outgoing += terminations(list(dict.fromkeys(running)), request, draft.context)
    # What this turn starts is told with its start: should its id be taken, nobody else is told.
    told = batch_of(_termination(request, draft.context))
    draft.children = [
        child if child.parent is None else replace(child, start=_together(child.start, told))
        for child in draft.children
    ]


def terminations(
    receivers: Sequence[InstanceKey], request: pb.ExecutionTerminatedEvent, context: TurnContext
) -> list[Deliver]:
    """Return the messages by which a recursive termination reaches other instances."""
    payload = batch_of(_termination(request, context))
    return [
        Deliver(key=key, messages=(Message(payload=payload),), expedite=True) for key in receivers
    ]


def _termination(request: pb.ExecutionTerminatedEvent, context: TurnContext) -> pb.HistoryEvent:
    output = request.input if request.HasField("input") else None
    return events.execution_terminated(context.now, output, recurse=True)


def _together(first: Message, batch: bytes) -> Message:
    """Return a message with the events of another batch behind its own."""
    return replace(first, payload=first.payload + batch)


def _outcome(draft: Draft, response: pb.WorkflowResponse) -> TurnOutcome:
    plan, now = draft.plan, draft.context.now
    version = response.version if response.HasField("version") else None
    opening = events.workflow_started(plan.began_at, version)
    accepted = plan.admission.accepted
    history = (
        opening.SerializeToString(),
        *(arrival.raw for arrival in accepted),
        *(event.SerializeToString() for event in draft.events),
    )
    share_history(draft, history)
    completed = draft.completed.executionCompleted if draft.completed is not None else None
    record = plan.claimed.record
    commit = CommitTurn(
        key=record.key,
        execution_id=record.execution_id,
        revision=record.revision,
        status=_status(plan, completed),
        updated_at=now,
        started_at=record.started_at or plan.began_at,
        completed_at=now if completed is not None else None,
        custom_status=response.customStatus.value if response.HasField("customStatus") else None,
        output=completed.result.value if completed and completed.HasField("result") else None,
        failure=_failure(completed),
        consumed=plan.consumed,
        removed_timers=(*plan.fired_timers, *plan.admission.cancelled_timers),
        history=history,
        timers=() if completed is not None else tuple(draft.timers),
        activities=tuple(draft.activities),
        children=tuple(draft.children),
        outgoing=tuple(draft.outgoing),
    )
    events_added = (opening, *(arrival.event for arrival in accepted), *draft.events)
    return TurnOutcome(commit, events_added, (*plan.dropped(draft.scheduled), *draft.log))


def _status(plan: TurnPlan, completed: pb.ExecutionCompletedEvent | None) -> RuntimeStatus:
    if completed is not None:
        return RuntimeStatus(completed.workflowStatus)
    return RuntimeStatus.SUSPENDED if plan.admission.suspended else RuntimeStatus.RUNNING


def _failure(completed: pb.ExecutionCompletedEvent | None) -> bytes | None:
    if completed is None or not completed.HasField("failureDetails"):
        return None
    return completed.failureDetails.SerializeToString()

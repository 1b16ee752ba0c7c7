"""What each action of a worker's response means (durabletask's applier). Pure."""

from __future__ import annotations

from collections.abc import Callable

from durahub.backend import ActivityTask, CreateInstance, Message, ParentLink, Timer
from durahub.engine import events
from durahub.engine.draft import Draft, InvalidResponseError, batch_of
from durahub.engine.propagation import SHARING
from durahub.engine.routing import misrouted_failure, misrouting
from durahub.engine.sizes import id_objection, name_objection, tags_objection
from durahub.engine.state import Wait, scheduled_wait, target_app
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil
from durahub.types import ExecutionId, InstanceKey, TaskKey

_SHOWN_LENGTH = 64


def apply_action(draft: Draft, action: pb.WorkflowAction) -> None:
    """Add what an action means to a draft; one that is in the history already is left out.

    Raises:
        InvalidResponseError: The action is unknown or lacks what it needs.
    """
    kind = action.WhichOneof("workflowActionType")
    handler = _HANDLERS.get(kind) if kind else None
    if handler is None:
        raise InvalidResponseError(f"unknown action type: {kind}")
    handler(draft, action)


def _schedule_task(draft: Draft, action: pb.WorkflowAction) -> None:
    if not draft.claim_id(Wait("task", action.id)):
        return
    asked = action.scheduleTask
    event = events.new_event(draft.context.now, action.id)
    draft.stamp(event, action)
    scheduled = event.taskScheduled
    scheduled.name = asked.name
    scheduled.taskExecutionId = asked.taskExecutionId
    _copy(asked, scheduled, "version", "input")
    _copy_trace(draft, scheduled)
    if asked.HasField("historyPropagationScope"):
        scheduled.historyPropagationScope = asked.historyPropagationScope
    draft.events.append(event)
    carry_out(draft, event)


def carry_out(draft: Draft, event: pb.HistoryEvent) -> None:
    """Add to a draft what an event of the scheduling kind sets going; others set nothing going.

    Nothing is set going either if it was resolved before. What is routed to where nothing can be sent
    fails.
    """
    wait = scheduled_wait(event)
    if wait is None:
        return
    if draft.is_resolved(wait):
        draft.redeliver(wait)
        return
    objection = misrouting(event.router, draft.context.app_id)
    match wait.kind:
        case "task" if objection:
            _fail(draft, _failed_task(draft, event, misrouted_failure(objection)))
        case "task":
            draft.activities.append(_activity_task(draft, event))
            _note_scope(draft, wait, event.taskScheduled)
        case "timer":
            draft.timers.append(_timer(draft, event))
        case "child" if objection:
            failure = misrouted_failure(objection)
            _fail(draft, events.child_failed(draft.context.now, event.eventId, failure))
        case "child":
            _start_child(draft, event)
            _note_scope(draft, wait, event.childWorkflowInstanceCreated)


def _note_scope(
    draft: Draft, wait: Wait, event: pb.TaskScheduledEvent | pb.ChildWorkflowInstanceCreatedEvent
) -> None:
    if event.historyPropagationScope in SHARING:
        draft.scopes[wait] = event.historyPropagationScope


def _fail(draft: Draft, failed: pb.HistoryEvent) -> None:
    """Have the next turn learn that something that this one schedules has failed already."""
    draft.send(draft.key, failed, execution_id=draft.plan.execution_id)


def _failed_task(
    draft: Draft, event: pb.HistoryEvent, failure: pb.TaskFailureDetails
) -> pb.HistoryEvent:
    request = pb.ActivityRequest(
        taskId=event.eventId, taskExecutionId=event.taskScheduled.taskExecutionId
    )
    response = pb.ActivityResponse(failureDetails=failure)
    return events.activity_result(draft.context.now, request, response, event.router)


def _activity_task(draft: Draft, event: pb.HistoryEvent) -> ActivityTask:
    scheduled = event.taskScheduled
    request = pb.ActivityRequest(
        name=scheduled.name, taskId=event.eventId, taskExecutionId=scheduled.taskExecutionId
    )
    request.workflowInstance.instanceId = draft.key.instance_id
    _copy(scheduled, request, "version", "input", "parentTraceContext")
    return ActivityTask(
        key=TaskKey(draft.key, draft.plan.execution_id, event.eventId),
        app_id=target_app(event) or draft.context.app_id,
        name=scheduled.name,
        payload=request.SerializeToString(),
    )


def _create_timer(draft: Draft, action: pb.WorkflowAction) -> None:
    if not draft.claim_id(Wait("timer", action.id)):
        return
    asked = action.createTimer
    event = events.new_event(draft.context.now, action.id)
    draft.stamp(event, action)
    if not asked.HasField("fireAt"):
        raise InvalidResponseError(f"timer {action.id} has no time to fire at")
    created = event.timerCreated
    _copy(asked, created, "fireAt")
    if asked.HasField("name"):
        created.name = asked.name
    origin = asked.WhichOneof("origin")
    if origin is not None:
        getattr(created, origin).CopyFrom(getattr(asked, origin))
    draft.events.append(event)
    carry_out(draft, event)


def _timer(draft: Draft, event: pb.HistoryEvent) -> Timer:
    due_at = from_timestamp_ceil(event.timerCreated.fireAt)
    fired = events.timer_fired(max(due_at, draft.context.now), event.eventId, event.timerCreated)
    return Timer(timer_id=event.eventId, due_at=due_at, payload=batch_of(fired))


def _create_child(draft: Draft, action: pb.WorkflowAction) -> None:
    if not draft.claim_id(Wait("child", action.id)):
        return
    asked = action.createChildWorkflow
    instance_id = asked.instanceId or f"{draft.key.instance_id}:{action.id:04x}"
    event = events.new_event(draft.context.now, action.id)
    draft.stamp(event, action)
    created = event.childWorkflowInstanceCreated
    created.instanceId = instance_id
    created.name = asked.name
    _copy(asked, created, "version", "input")
    _copy_trace(draft, created)
    if asked.HasField("historyPropagationScope"):
        created.historyPropagationScope = asked.historyPropagationScope
    if asked.HasField("retryParentInstanceInfo"):
        created.retryParentInstanceInfo.CopyFrom(asked.retryParentInstanceInfo)
    draft.events.append(event)
    carry_out(draft, event)


def _start_child(draft: Draft, event: pb.HistoryEvent) -> None:
    instance_id = event.childWorkflowInstanceCreated.instanceId
    objection = id_objection(instance_id) or name_objection(event.childWorkflowInstanceCreated.name)
    if objection is not None:
        failure = oversized_failure(objection)
        _fail(draft, events.child_failed(draft.context.now, event.eventId, failure))
        return
    key = InstanceKey(target_app(event) or draft.context.app_id, instance_id)
    if any(child.key == key for child in draft.children):
        failure = occupied_failure(instance_id)
        _fail(draft, events.child_failed(draft.context.now, event.eventId, failure))
        return
    draft.children.append(_child(draft, event, key))


def _child(draft: Draft, created: pb.HistoryEvent, key: InstanceKey) -> CreateInstance:
    asked = created.childWorkflowInstanceCreated
    start = events.new_event(draft.context.now)
    start.router.CopyFrom(created.router)
    started = start.executionStarted
    started.name = asked.name
    started.workflowInstance.instanceId = key.instance_id
    execution_id = ExecutionId(draft.context.new_id())
    started.workflowInstance.executionId.value = execution_id
    _copy(asked, started, "input", "parentTraceContext")
    parent = started.parentInstance
    parent.taskScheduledId = created.eventId
    parent.name.value = draft.plan.start.executionStarted.name
    parent.workflowInstance.instanceId = draft.key.instance_id
    parent.workflowInstance.executionId.value = draft.plan.execution_id
    parent.appID = draft.context.app_id
    return CreateInstance(
        key=key,
        name=asked.name,
        version=_value(asked, "version"),
        execution_id=execution_id,
        input=_value(asked, "input"),
        parent=ParentLink(
            key=draft.key, execution_id=draft.plan.execution_id, task_id=created.eventId
        ),
        created_at=draft.context.now,
        start=Message(payload=batch_of(start), execution_id=execution_id),
    )


def _create_detached(draft: Draft, action: pb.WorkflowAction) -> None:
    asked = action.createDetachedWorkflow
    if not asked.instanceId:
        raise InvalidResponseError("CreateDetachedWorkflowAction requires an instance ID")
    event = events.new_event(draft.context.now, action.id)
    draft.stamp(event, action)
    event.detachedWorkflowInstanceCreated.instanceId = asked.instanceId
    draft.events.append(event)
    objection = name_objection(asked.name) or tags_objection(asked.tags)
    if objection is not None:
        draft.log.append(f"createDetachedWorkflow dropped: {objection}")
        return
    key = _routed(draft, action, asked.instanceId)
    if key is not None and all(child.key != key for child in draft.children):
        draft.children.append(_detached(draft, asked, key))


def _detached(
    draft: Draft, asked: pb.CreateDetachedWorkflowAction, key: InstanceKey
) -> CreateInstance:
    start = events.new_event(draft.context.now)
    # A detached workflow belongs to the application it runs in and does not know who spawned it.
    start.router.sourceAppID = key.app_id
    execution_id = ExecutionId(asked.executionId.value or draft.context.new_id())
    started = start.executionStarted
    started.name = asked.name
    started.workflowInstance.instanceId = key.instance_id
    started.workflowInstance.executionId.value = execution_id
    started.tags.update(asked.tags)
    _copy(asked, started, "input", "scheduledStartTimestamp")
    if asked.HasField("parentTraceContext"):
        started.parentTraceContext.CopyFrom(asked.parentTraceContext)
    else:
        _copy_trace(draft, started)
    return CreateInstance(
        key=key,
        name=asked.name,
        version=_value(asked, "version"),
        execution_id=execution_id,
        input=_value(asked, "input"),
        tags=dict(asked.tags),
        created_at=draft.context.now,
        start=Message(payload=batch_of(start), execution_id=execution_id),
        not_before=(
            from_timestamp_ceil(asked.scheduledStartTimestamp)
            if asked.HasField("scheduledStartTimestamp")
            else None
        ),
    )


def _send_event(draft: Draft, action: pb.WorkflowAction) -> None:
    asked = action.sendEvent
    event = events.new_event(draft.context.now, action.id)
    draft.stamp(event, action)
    event.eventSent.instanceId = asked.instance.instanceId
    event.eventSent.name = asked.name
    if asked.HasField("data"):
        event.eventSent.input.CopyFrom(asked.data)
    draft.events.append(event)
    # The receiver gets an event it understands; SDKs reject an EventSent in an inbox.
    data = asked.data if asked.HasField("data") else None
    raised = events.event_raised(draft.context.now, asked.name, data)
    events.mark(raised, draft.context.new_id().encode())
    receiver = _routed(draft, action, asked.instance.instanceId)
    if receiver is not None:
        draft.send(receiver, raised)


def _terminate_other(draft: Draft, action: pb.WorkflowAction) -> None:
    asked = action.terminateWorkflow
    reason = asked.reason if asked.HasField("reason") else None
    event = events.execution_terminated(draft.context.now, reason, recurse=asked.recurse)
    receiver = _routed(draft, action, asked.instanceId)
    if receiver is not None:
        draft.send(receiver, event, expedite=True)


def _routed(draft: Draft, action: pb.WorkflowAction, instance_id: str) -> InstanceKey | None:
    """Return which instance an action is about that expects no answer; None: nothing can be sent there."""
    objection = misrouting(action.router, draft.context.app_id) or id_objection(instance_id)
    if objection is not None:
        kind = action.WhichOneof("workflowActionType")
        draft.log.append(f"{kind} for {instance_id[:_SHOWN_LENGTH]!r} dropped: {objection}")
        return None
    return InstanceKey(target_app(action) or draft.context.app_id, instance_id)


def oversized_failure(objection: str) -> pb.TaskFailureDetails:
    """Return why a child could not be created that no store could hold; trying again does not help."""
    return pb.TaskFailureDetails(
        errorType="WorkflowNameTooLong", errorMessage=objection, isNonRetriable=True
    )


def occupied_failure(instance_id: str) -> pb.TaskFailureDetails:
    """Return why a child could not be created, as its parent sees it (Dapr)."""
    return pb.TaskFailureDetails(
        errorType="WorkflowInstanceAlreadyExists",
        errorMessage=f"an active workflow with ID '{instance_id}' already exists",
    )


def _copy(source: object, target: object, *names: str) -> None:
    """Copy message fields that are present: absent and empty stay different."""
    for name in names:
        if source.HasField(name):  # type: ignore[attr-defined]  # any of the protocol's messages
            getattr(target, name).CopyFrom(getattr(source, name))


def _copy_trace(draft: Draft, target: object) -> None:
    _copy(draft.plan.start.executionStarted, target, "parentTraceContext")


def _value(source: object, name: str) -> str | None:
    if not source.HasField(name):  # type: ignore[attr-defined]  # any of the protocol's messages
        return None
    wrapped: str = getattr(source, name).value
    return wrapped


_HANDLERS: dict[str, Callable[[Draft, pb.WorkflowAction], None]] = {
    "scheduleTask": _schedule_task,
    "createTimer": _create_timer,
    "createChildWorkflow": _create_child,
    "createDetachedWorkflow": _create_detached,
    "sendEvent": _send_event,
    "terminateWorkflow": _terminate_other,
}

"""Workflows and a worker in this process, for requirements of an engine that runs on the backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, timedelta

from durahub.clock import SystemClock
from durahub.engine import Engine, EngineOptions
from durahub.errors import ShuttingDownError
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from google.protobuf.wrappers_pb2 import StringValue

from durahub_conformance.harness import Harness
from durahub_conformance.values import APP

Events = Sequence[pb.HistoryEvent]
Workflow = Callable[[Events], Sequence[pb.WorkflowAction]]
"""Returns all that a workflow asks for in the light of its history, also what it has asked for before."""

STOP_S = 2.0


@asynccontextmanager
async def engine_on(
    harness: Harness, workflows: Mapping[str, Workflow], done: list[str] | None = None
) -> AsyncIterator[Engine]:
    """Run an engine with one worker on a harness' store; no backend of this process may be open.

    Args:
        harness: The store.
        workflows: By name.
        done: Gets the input of each activity that was run.
    """
    options = EngineOptions(
        app_id=APP,
        safety_poll=timedelta(seconds=0.1),
        session_time_to_live=max(4 * harness.moment, timedelta(seconds=2))
        if harness.clock is None
        else timedelta(seconds=2),
    )
    engine = Engine(harness.backend(), options, SystemClock())
    await engine.start()
    try:
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(_serve(engine, workflows, [] if done is None else done))
            yield engine
            worker.cancel()
    finally:
        await engine.stop(STOP_S)


async def _serve(engine: Engine, workflows: Mapping[str, Workflow], done: list[str]) -> None:
    async def answer(item: pb.WorkItem) -> None:
        if item.HasField("activityRequest"):
            done.append(item.activityRequest.input.value)
            await engine.complete_activity(_result(item))
        else:
            await engine.complete_workflow(_decision(item, workflows))

    try:
        async with (
            asyncio.TaskGroup() as group,
            aclosing(engine.work_items(pb.GetWorkItemsRequest())) as items,
        ):
            async for raw in items:
                group.create_task(answer(pb.WorkItem.FromString(raw)))
    except* ShuttingDownError:
        pass


def _result(item: pb.WorkItem) -> pb.ActivityResponse:
    request = item.activityRequest
    return pb.ActivityResponse(
        instanceId=request.workflowInstance.instanceId,
        taskId=request.taskId,
        completionToken=item.completionToken,
        result=StringValue(value=f"{request.input.value}+"),
    )


def _decision(item: pb.WorkItem, workflows: Mapping[str, Workflow]) -> pb.WorkflowResponse:
    request = item.workflowRequest
    events = [*request.pastEvents, *request.newEvents]
    if any(event.HasField("executionTerminated") for event in events):
        wanted: Sequence[pb.WorkflowAction] = [ending(0, "", pb.ORCHESTRATION_STATUS_TERMINATED)]
    else:
        wanted = workflows[_start(events).name](events)
    asked = {event.eventId for event in events if event.WhichOneof("eventType") in _ASKED}
    return pb.WorkflowResponse(
        instanceId=request.instanceId,
        completionToken=item.completionToken,
        actions=[action for action in wanted if action.id not in asked],
    )


_ASKED = {"taskScheduled", "timerCreated", "childWorkflowInstanceCreated"}


# Asking


def activity(number: int, value: str) -> pb.WorkflowAction:
    """Run an activity that adds a plus to its input."""
    action = pb.WorkflowAction(id=number)
    action.scheduleTask.name = "plus"
    action.scheduleTask.input.value = value
    return action


def child(number: int, name: str, instance_id: str) -> pb.WorkflowAction:
    """Run a child workflow."""
    action = pb.WorkflowAction(id=number)
    action.createChildWorkflow.name = name
    action.createChildWorkflow.instanceId = instance_id
    action.createChildWorkflow.input.value = instance_id
    return action


def sleep(number: int, events: Events, duration: timedelta) -> pb.WorkflowAction:
    """Wait, from the beginning of the workflow on."""
    action = pb.WorkflowAction(id=number)
    opened = next(event.timestamp for event in events if event.HasField("workflowStarted"))
    action.createTimer.fireAt.CopyFrom(to_timestamp(opened.ToDatetime(UTC) + duration))
    return action


def ending(
    number: int,
    result: str,
    status: pb.OrchestrationStatus.ValueType = pb.ORCHESTRATION_STATUS_COMPLETED,
) -> pb.WorkflowAction:
    """End the workflow."""
    action = pb.WorkflowAction(id=number)
    action.completeWorkflow.workflowStatus = status
    action.completeWorkflow.result.value = result
    return action


def beginning_anew(value: str, left: Events) -> pb.WorkflowAction:
    """Continue as new with another input, and with the events that were not looked at."""
    action = ending(0, value, pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW)
    action.completeWorkflow.carryoverEvents.extend(left)
    return action


# Looking back


def _start(events: Events) -> pb.ExecutionStartedEvent:
    return next(e.executionStarted for e in events if e.HasField("executionStarted"))


def input_of(events: Events) -> str:
    """Return the workflow's input."""
    return _start(events).input.value


def results(events: Events) -> dict[int, str]:
    """Return what activities, children and timers have come to, by the number of the action."""
    found: dict[int, str] = {}
    for event in events:
        if event.HasField("taskCompleted"):
            found[event.taskCompleted.taskScheduledId] = event.taskCompleted.result.value
        if event.HasField("childWorkflowInstanceCompleted"):
            completed = event.childWorkflowInstanceCompleted
            found[completed.taskScheduledId] = completed.result.value
        if event.HasField("timerFired"):
            found[event.timerFired.timerId] = "fired"
    return found


def raised(events: Events) -> list[pb.HistoryEvent]:
    """Return the external events."""
    return [event for event in events if event.HasField("eventRaised")]

"""A worker that costs as little as possible, so that what is measured is the sidecar.

It replays nothing: which step comes next follows from how many results there are.
"""

from __future__ import annotations

import asyncio

import grpc.aio
from durahub.protocol import messages as pb
from google.protobuf.wrappers_pb2 import StringValue

STEPS = 3
"""So many activities, one after the other."""

_ANSWER_S = 60.0


async def serve(channel: grpc.aio.Channel) -> None:
    """Take and answer work items of any workflow and any activity until cancelled."""
    listen = channel.unary_stream(
        "/TaskHubSidecarService/GetWorkItems",
        request_serializer=pb.GetWorkItemsRequest.SerializeToString,
        response_deserializer=pb.WorkItem.FromString,
    )
    complete = {
        answer: channel.unary_unary(
            f"/TaskHubSidecarService/{method}",
            request_serializer=answer.SerializeToString,
            response_deserializer=pb.CompleteTaskResponse.FromString,
        )
        for answer, method in (
            (pb.ActivityResponse, "CompleteActivityTask"),
            (pb.WorkflowResponse, "CompleteOrchestratorTask"),
        )
    }

    async def respond(item: pb.WorkItem) -> None:
        done = _result(item) if item.HasField("activityRequest") else _turn(item)
        await complete[type(done)](done, timeout=_ANSWER_S)

    async with asyncio.TaskGroup() as group:
        async for item in listen(pb.GetWorkItemsRequest()):
            group.create_task(respond(item))


def _result(item: pb.WorkItem) -> pb.ActivityResponse:
    request = item.activityRequest
    return pb.ActivityResponse(
        instanceId=request.workflowInstance.instanceId,
        taskId=request.taskId,
        completionToken=item.completionToken,
        result=StringValue(value=f"{request.input.value}+"),
    )


def _turn(item: pb.WorkItem) -> pb.WorkflowResponse:
    request = item.workflowRequest
    value, done = "", 0
    for events in (request.pastEvents, request.newEvents):
        for event in events:
            kind = event.WhichOneof("eventType")
            if kind == "executionStarted":
                value = event.executionStarted.input.value
            elif kind == "taskCompleted":
                value, done = event.taskCompleted.result.value, done + 1
    action = pb.WorkflowAction(id=done)
    if done < STEPS:
        action.scheduleTask.name = "step"
        action.scheduleTask.input.value = value
    else:
        action.completeWorkflow.workflowStatus = pb.ORCHESTRATION_STATUS_COMPLETED
        action.completeWorkflow.result.value = value
    return pb.WorkflowResponse(
        instanceId=request.instanceId, completionToken=item.completionToken, actions=[action]
    )

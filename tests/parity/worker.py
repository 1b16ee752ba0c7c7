"""A worker over gRPC that runs `flows`: what an application with an SDK is to a sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from durahub.protocol import messages as pb

from tests.parity.flows import Workflow, decide, text

Activity = Callable[[pb.ActivityRequest], Awaitable[str | None]]
RawWorkflow = Callable[[pb.WorkflowRequest], Awaitable[pb.WorkflowResponse | None]]


async def echo(request: pb.ActivityRequest) -> str | None:
    return request.input.value if request.HasField("input") else None


@dataclass
class Worker:
    """One work-item stream, and what came through it.

    Attributes:
        channel: The connection to the sidecar.
        workflows: By name.
        activities: By name; `*` serves all other names.
        stateful: Whether it advertises and keeps histories, as current Python and Go SDKs do.
        tokens: Whether it returns completion tokens; the JavaScript SDK does not.
        first_id: Its SDK's first action id.
        go: Whether it answers through CompleteWorkflowTask.
        balanced: Connections through which its answers go in turn, as behind a load balancer; none: `channel`.
        raw: Answers turns instead of `workflows`; None as an answer: none is given.
        items: Every item, in order.
        active: Activities that run now.
        most_active: Most activities that ran at the same time.
        sent: How many answers it has sent.
        answered: How many of its answers the sidecar has taken; a result is durable then.
    """

    channel: grpc.aio.Channel
    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    activities: Mapping[str, Activity] = field(default_factory=dict)
    stateful: bool = False
    tokens: bool = True
    first_id: int = 0
    go: bool = False
    balanced: Sequence[grpc.aio.Channel] = ()
    raw: RawWorkflow | None = None
    items: list[pb.WorkItem] = field(default_factory=list)
    cache: dict[str, list[pb.HistoryEvent]] = field(default_factory=dict)
    active: int = 0
    most_active: int = 0
    turns: int = 0
    most_turns: int = 0
    answered: int = 0
    sent: int = 0

    @property
    def requests(self) -> list[pb.WorkflowRequest]:
        """The turns that it was given."""
        return [item.workflowRequest for item in self.items if item.HasField("workflowRequest")]

    @property
    def tasks(self) -> list[pb.ActivityRequest]:
        """The activities that it was given."""
        return [item.activityRequest for item in self.items if item.HasField("activityRequest")]

    def task_names(self) -> list[str]:
        return [task.name for task in self.tasks]

    async def run(self) -> None:
        """Take and answer items until the stream ends."""
        capabilities = [pb.WORKER_CAPABILITY_STATEFUL_HISTORY] if self.stateful else []
        listen = self.channel.unary_stream(
            "/TaskHubSidecarService/GetWorkItems",
            request_serializer=pb.GetWorkItemsRequest.SerializeToString,
            response_deserializer=pb.WorkItem.FromString,
        )
        stream = listen(pb.GetWorkItemsRequest(capabilities=capabilities))
        try:
            async with asyncio.TaskGroup() as group:
                async for item in stream:
                    self.items.append(item)
                    group.create_task(self._answer(item))
        except* grpc.aio.AioRpcError:
            pass  # The sidecar has gone.
        finally:
            stream.cancel()

    async def _answer(self, item: pb.WorkItem) -> None:
        token = item.completionToken if self.tokens else ""
        if item.HasField("activityRequest"):
            done = await self._run_activity(item.activityRequest)
            done.completionToken = token
            await self.complete("CompleteActivityTask", done)
        elif item.HasField("workflowRequest"):
            decided = await self._run_turn(item.workflowRequest)
            if decided is not None:
                decided.completionToken = token
                method = "CompleteWorkflowTask" if self.go else "CompleteOrchestratorTask"
                await self.complete(method, decided)

    async def complete(self, method: str, answer: Any) -> None:
        """Send an answer, whichever."""
        ways = self.balanced or (self.channel,)
        channel = ways[self.sent % len(ways)]
        self.sent += 1
        invoke = channel.unary_unary(
            f"/TaskHubSidecarService/{method}",
            request_serializer=type(answer).SerializeToString,
            response_deserializer=pb.CompleteTaskResponse.FromString,
        )
        await invoke(answer, timeout=20)
        self.answered += 1

    async def _run_turn(self, request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        self.turns += 1
        self.most_turns = max(self.most_turns, self.turns)
        try:
            await asyncio.sleep(0)
            if self.raw is not None:
                return await self.raw(request)
            past = await self._past(request)
            return decide(request, past, self.workflows, first_id=self.first_id)
        finally:
            self.turns -= 1

    async def _past(self, request: pb.WorkflowRequest) -> list[pb.HistoryEvent]:
        past = list(request.pastEvents)
        if request.HasField("cachedHistory"):
            count = request.cachedHistory.eventCount
            known = self.cache.get(request.instanceId)
            if known is None:
                known = await self._committed(request.instanceId)
            past = known[:count] + past
        if self.stateful:
            self.cache[request.instanceId] = past
        return past

    async def _committed(self, instance_id: str) -> list[pb.HistoryEvent]:
        invoke = self.channel.unary_unary(
            "/TaskHubSidecarService/GetInstanceHistory",
            request_serializer=pb.GetInstanceHistoryRequest.SerializeToString,
            response_deserializer=pb.GetInstanceHistoryResponse.FromString,
        )
        answer = await invoke(pb.GetInstanceHistoryRequest(instanceId=instance_id), timeout=20)
        return list(answer.events)

    async def _run_activity(self, request: pb.ActivityRequest) -> pb.ActivityResponse:
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        answer = pb.ActivityResponse(
            instanceId=request.workflowInstance.instanceId, taskId=request.taskId
        )
        function = self.activities.get(request.name) or self.activities.get("*", echo)
        try:
            result = await function(request)
        except Exception as error:  # noqa: BLE001 -- whatever an activity raises is its failure
            answer.failureDetails.CopyFrom(
                pb.TaskFailureDetails(errorType=type(error).__name__, errorMessage=str(error))
            )
        else:
            if result is not None:
                answer.result.CopyFrom(text(result))
        finally:
            self.active -= 1
        return answer

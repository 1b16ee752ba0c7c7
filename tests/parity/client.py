"""A client of a sidecar, over gRPC, in the words of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import grpc
import grpc.aio
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.parity.flows import text

AnswerT = TypeVar("AnswerT", bound=Message)

ANSWER_S = 20.0
"""A call that takes longer has failed the test."""


class Refused(Exception):  # noqa: N818 -- what a sidecar does
    """The sidecar refused a call.

    Attributes:
        code: The gRPC status, such as `ALREADY_EXISTS`.
        details: What it says.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


def routed(app: str) -> pb.TaskRouter | None:
    return pb.TaskRouter(targetAppID=app) if app else None


def status_name(status: Any) -> str:
    return pb.OrchestrationStatus.Name(status).removeprefix("ORCHESTRATION_STATUS_")


class Client:
    """Calls one sidecar; every method raises `Refused` with what the sidecar answered."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(
        self, method: str, request: Message, answer: type[AnswerT], within_s: float = ANSWER_S
    ) -> AnswerT:
        invoke = self._channel.unary_unary(
            f"/TaskHubSidecarService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return await invoke(request, timeout=within_s)
        except grpc.aio.AioRpcError as error:
            raise Refused(error.code().name, error.details() or "") from None

    async def hello(self) -> None:
        await self.call("Hello", Empty(), Empty)

    async def start(
        self,
        name: str,
        instance_id: str,
        value: str | None = None,
        *,
        at: datetime | None = None,
        app: str = "",
        within_s: float = ANSWER_S,
        **fields: Any,
    ) -> str:
        request = pb.CreateInstanceRequest(
            instanceId=instance_id,
            name=name,
            input=text(value),
            scheduledStartTimestamp=to_timestamp(at) if at else None,
            router=routed(app),
            **fields,
        )
        answer = await self.call("StartInstance", request, pb.CreateInstanceResponse, within_s)
        return answer.instanceId

    async def get(
        self, instance_id: str, *, payloads: bool = True, app: str = ""
    ) -> pb.GetInstanceResponse:
        request = pb.GetInstanceRequest(
            instanceId=instance_id, getInputsAndOutputs=payloads, router=routed(app)
        )
        return await self.call("GetInstance", request, pb.GetInstanceResponse)

    async def state(self, instance_id: str, *, app: str = "") -> pb.WorkflowState:
        found = await self.get(instance_id, app=app)
        assert found.exists, instance_id
        return found.workflowState

    async def status(self, instance_id: str, *, app: str = "") -> str:
        return status_name((await self.state(instance_id, app=app)).workflowStatus)

    async def started(self, instance_id: str, within_s: float = ANSWER_S) -> pb.WorkflowState:
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        answer = await self.call("WaitForInstanceStart", request, pb.GetInstanceResponse, within_s)
        return answer.workflowState

    async def finished(
        self, instance_id: str, *, app: str = "", within_s: float = ANSWER_S
    ) -> pb.WorkflowState:
        request = pb.GetInstanceRequest(
            instanceId=instance_id, getInputsAndOutputs=True, router=routed(app)
        )
        answer = await self.call(
            "WaitForInstanceCompletion", request, pb.GetInstanceResponse, within_s
        )
        return answer.workflowState

    async def output(self, instance_id: str, *, app: str = "") -> str:
        """Wait for the end, which must be COMPLETED, and return the output."""
        state = await self.finished(instance_id, app=app)
        assert status_name(state.workflowStatus) == "COMPLETED", state
        return state.output.value

    async def until_status(self, instance_id: str, wanted: str, *, app: str = "") -> None:
        """Return when the instance exists and has the status."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                found = await self.get(instance_id, app=app)
                if found.exists and status_name(found.workflowState.workflowStatus) == wanted:
                    return
                await asyncio.sleep(0.01)

    async def until_state(
        self, instance_id: str, wanted: Callable[[pb.WorkflowState], bool]
    ) -> pb.WorkflowState:
        """Return the first state of an instance that is as wanted."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                state = await self.state(instance_id)
                if wanted(state):
                    return state
                await asyncio.sleep(0.01)

    async def send(
        self, instance_id: str, name: str, data: str | None = None, *, app: str = ""
    ) -> None:
        request = pb.RaiseEventRequest(
            instanceId=instance_id, name=name, input=text(data), router=routed(app)
        )
        await self.call("RaiseEvent", request, pb.RaiseEventResponse)

    async def terminate(
        self,
        instance_id: str,
        output: str | None = None,
        *,
        recursive: bool = False,
        app: str = "",
        within_s: float = ANSWER_S,
    ) -> None:
        request = pb.TerminateRequest(
            instanceId=instance_id, output=text(output), recursive=recursive, router=routed(app)
        )
        await self.call("TerminateInstance", request, pb.TerminateResponse, within_s)

    async def suspend(self, instance_id: str, reason: str | None = None, *, app: str = "") -> None:
        request = pb.SuspendRequest(instanceId=instance_id, reason=text(reason), router=routed(app))
        await self.call("SuspendInstance", request, pb.SuspendResponse)

    async def resume(self, instance_id: str, reason: str | None = None, *, app: str = "") -> None:
        request = pb.ResumeRequest(instanceId=instance_id, reason=text(reason), router=routed(app))
        await self.call("ResumeInstance", request, pb.ResumeResponse)

    async def purge(
        self, instance_id: str, *, recursive: bool = False, force: bool = False, app: str = ""
    ) -> int:
        request = pb.PurgeInstancesRequest(
            instanceId=instance_id, recursive=recursive, force=force, router=routed(app)
        )
        answer = await self.call("PurgeInstances", request, pb.PurgeInstancesResponse)
        return answer.deletedInstanceCount

    async def rerun(
        self, source_id: str, event_id: int, new_id: str | None = None, **fields: Any
    ) -> str:
        if "input" in fields:
            fields["input"] = text(fields["input"])
        request = pb.RerunWorkflowFromEventRequest(
            sourceInstanceID=source_id, eventID=event_id, newInstanceID=new_id, **fields
        )
        answer = await self.call(
            "RerunWorkflowFromEvent", request, pb.RerunWorkflowFromEventResponse
        )
        return answer.newInstanceID

    async def page(
        self, size: int | None = None, token: str | None = None
    ) -> tuple[Sequence[str], str | None]:
        """Return one page of the ids and the token of the next, None on the last."""
        request = pb.ListInstanceIDsRequest(pageSize=size, continuationToken=token)
        answer = await self.call("ListInstanceIDs", request, pb.ListInstanceIDsResponse)
        more = answer.continuationToken if answer.HasField("continuationToken") else None
        return list(answer.instanceIds), more

    async def ids(self) -> list[str]:
        ids, token = await self.page()
        found = list(ids)
        while token is not None:
            ids, token = await self.page(token=token)
            found += ids
        return found

    async def history(self, instance_id: str) -> list[pb.HistoryEvent]:
        request = pb.GetInstanceHistoryRequest(instanceId=instance_id)
        answer = await self.call("GetInstanceHistory", request, pb.GetInstanceHistoryResponse)
        return list(answer.events)

    async def kinds(self, instance_id: str) -> list[str | None]:
        """Return the kinds of the events of an instance's history, in order."""
        return [event.WhichOneof("eventType") for event in await self.history(instance_id)]

    async def until_event(self, instance_id: str, kind: str, count: int = 1) -> None:
        """Return when an instance's history has so many events of a kind."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                if (await self.kinds(instance_id)).count(kind) >= count:
                    return
                await asyncio.sleep(0.01)

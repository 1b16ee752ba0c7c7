"""TaskHubSidecarService: the RPCs of Dapr Workflow's SDKs, on an engine.

The service has no package, so its paths are `/TaskHubSidecarService/<Method>`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from durahub.engine import Engine
from durahub.engine.options import UNLIMITED_IN_FLIGHT
from durahub.errors import (
    BackendUnavailableError,
    CapabilityNotSupportedError,
    InstanceExistsError,
    InstanceNotFoundError,
    InvalidRequestError,
    RequestError,
    RerunTargetError,
    ShuttingDownError,
    StreamEndedError,
)
from durahub.protocol import messages as pb
from durahub.server.access import Caller, authorize
from durahub.server.operations import Operation
from durahub.server.rpc import (
    CallContext,
    Route,
    RpcError,
    StatusCode,
    StreamRoute,
    UnaryRoute,
)
from durahub.server.taskhub_guard import TaskHubGuard, require

log = logging.getLogger("durahub.server.taskhub")

_NORMAL_END_AGENT = "grpc-node-js"
"""The JavaScript SDK gives up if its first stream ends with an error, and connects again if it ends well.
The Java one would connect in a tight loop then, so all others get the error."""

_LIMITED_AGENT = "dapr-js-sdk/workflow"
_LIMITED_AGENT_ITEMS = 10
"""The JavaScript SDK runs ten items, keeps a hundred more, and drops what exceeds that without a word.
It keeps them even when its stream ends. With ten at most it never needs its queue, except for what is left
of earlier streams: it would have to connect again ten times before one of these items is done."""

RequestT = TypeVar("RequestT", bound=Message)

_STATUS_OF: tuple[tuple[type[Exception], StatusCode], ...] = (
    (InstanceExistsError, StatusCode.ALREADY_EXISTS),
    (InvalidRequestError, StatusCode.INVALID_ARGUMENT),
    (RerunTargetError, StatusCode.NOT_FOUND),
    (ShuttingDownError, StatusCode.UNAVAILABLE),
    (StreamEndedError, StatusCode.UNAVAILABLE),
    (RequestError, StatusCode.UNKNOWN),
    (CapabilityNotSupportedError, StatusCode.UNIMPLEMENTED),
    (BackendUnavailableError, StatusCode.UNAVAILABLE),
)
"""The first class that fits decides; daprd answers most refusals with UNKNOWN."""


def taskhub_routes(engine: Engine) -> Sequence[Route[Any]]:
    """Return the routes of the service for a started engine."""
    return _TaskHubService(engine).routes()


class _TaskHubService:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client = engine.client
        self._guard = TaskHubGuard(engine.client)

    def routes(self) -> Sequence[Route[Any]]:
        client, unary = self._client, self._unary
        routes: list[Route[Any]] = [
            unary("Hello", Empty, self._hello),
            unary("StartInstance", pb.CreateInstanceRequest, self._start),
            unary("GetInstance", pb.GetInstanceRequest, client.get),
            self._wait("WaitForInstanceStart", client.wait_for_start),
            self._wait("WaitForInstanceCompletion", client.wait_for_completion),
            unary("RaiseEvent", pb.RaiseEventRequest, client.raise_event),
            unary("TerminateInstance", pb.TerminateRequest, self._terminate),
            unary("SuspendInstance", pb.SuspendRequest, client.suspend),
            unary("ResumeInstance", pb.ResumeRequest, client.resume),
            self._seeing("PurgeInstances", pb.PurgeInstancesRequest, self._purge),
            unary("RerunWorkflowFromEvent", pb.RerunWorkflowFromEventRequest, self._rerun),
            self._seeing("ListInstanceIDs", pb.ListInstanceIDsRequest, self._list),
            unary("GetInstanceHistory", pb.GetInstanceHistoryRequest, self._history),
            unary("CompleteActivityTask", pb.ActivityResponse, self._complete_activity),
            unary("CompleteOrchestratorTask", pb.WorkflowResponse, self._complete_workflow),
            unary("CompleteWorkflowTask", pb.WorkflowResponse, self._complete_workflow),
            StreamRoute(_path("GetWorkItems"), pb.GetWorkItemsRequest, self._work_items),
        ]
        return routes

    def _unary(
        self,
        method: str,
        request_type: type[RequestT],
        handler: Callable[[RequestT], Awaitable[Message | bytes]],
    ) -> UnaryRoute[RequestT]:
        """Return the route of a method that does not need to know who calls."""
        return self._seeing(method, request_type, lambda request, _: handler(request))

    def _seeing(
        self,
        method: str,
        request_type: type[RequestT],
        handler: Callable[[RequestT, Caller], Awaitable[Message | bytes]],
    ) -> UnaryRoute[RequestT]:
        path = _path(method)

        async def answer(request: RequestT, context: CallContext) -> Message | bytes:
            try:
                await self._guard.admit(path, request, context.caller)
                return await handler(request, context.caller)
            except (RequestError, CapabilityNotSupportedError, BackendUnavailableError) as error:
                raise _rpc_error(error) from error

        return UnaryRoute(path, request_type, answer)

    def _wait(
        self,
        method: str,
        wait: Callable[[pb.GetInstanceRequest], Awaitable[pb.GetInstanceResponse]],
    ) -> UnaryRoute[pb.GetInstanceRequest]:
        async def handler(request: pb.GetInstanceRequest, caller: Caller) -> pb.GetInstanceResponse:
            found = await wait(request)
            # By now another workflow may have the id.
            require(authorize(caller, Operation.GET, found.workflowState.name))
            return found

        return self._seeing(method, pb.GetInstanceRequest, handler)

    async def _hello(self, _: Empty) -> Empty:
        return Empty()

    async def _start(self, request: pb.CreateInstanceRequest) -> pb.CreateInstanceResponse:
        with _prefixed("failed to create workflow instance"):
            return await self._client.start(request)

    async def _terminate(self, request: pb.TerminateRequest) -> pb.TerminateResponse:
        with _prefixed("failed to submit termination request"):
            return await self._client.terminate(request)

    async def _purge(
        self, request: pb.PurgeInstancesRequest, caller: Caller
    ) -> pb.PurgeInstancesResponse:
        with _prefixed("failed to purge workflow state"):
            return await self._client.purge(request, may_see=caller.may_see)

    async def _list(
        self, request: pb.ListInstanceIDsRequest, caller: Caller
    ) -> pb.ListInstanceIDsResponse:
        return await self._client.list_ids(request, may_see=caller.may_see)

    async def _rerun(
        self, request: pb.RerunWorkflowFromEventRequest
    ) -> pb.RerunWorkflowFromEventResponse:
        try:
            return await self._client.rerun(request)
        except InstanceNotFoundError as error:
            raise RpcError(StatusCode.NOT_FOUND, str(error)) from error

    async def _history(self, request: pb.GetInstanceHistoryRequest) -> bytes:
        try:
            return await self._client.history(request)
        except InstanceNotFoundError as error:
            raise RpcError(StatusCode.NOT_FOUND, str(error)) from error

    async def _complete_activity(self, response: pb.ActivityResponse) -> pb.CompleteTaskResponse:
        await self._engine.complete_activity(response)
        return pb.CompleteTaskResponse()

    async def _complete_workflow(self, response: pb.WorkflowResponse) -> pb.CompleteTaskResponse:
        await self._engine.complete_workflow(response)
        return pb.CompleteTaskResponse()

    async def _work_items(
        self, request: pb.GetWorkItemsRequest, context: CallContext
    ) -> AsyncIterator[bytes]:
        log.info("work item stream established by user-agent: [%s]", context.user_agent)
        limit = (
            _LIMITED_AGENT_ITEMS if _LIMITED_AGENT in context.user_agent else UNLIMITED_IN_FLIGHT
        )
        items = self._engine.work_items(request, items_limit=limit)
        try:
            async for item in items:
                yield item
        except ShuttingDownError:
            if _NORMAL_END_AGENT not in context.user_agent:
                await _end_with_the_server()
        except StreamEndedError as error:
            if _NORMAL_END_AGENT not in context.user_agent:
                raise _rpc_error(error) from error
        finally:
            await items.aclose()
            log.info("work item stream closed")


async def _end_with_the_server() -> None:
    """Wait until the server ends the stream, when nobody can connect any more.

    Workers of some SDKs, told earlier, would connect again and again without a pause.
    """
    await asyncio.get_running_loop().create_future()


def _path(method: str) -> str:
    return f"/TaskHubSidecarService/{method}"


def _rpc_error(error: Exception, prefix: str = "") -> RpcError:
    code = next(code for kind, code in _STATUS_OF if isinstance(error, kind))
    return RpcError(code, f"{prefix}: {error}" if prefix else str(error))


@contextmanager
def _prefixed(text: str) -> Iterator[None]:
    """Say what failed before why, as daprd does, and keep the code of the reason."""
    try:
        yield
    except RequestError as error:
        raise _rpc_error(error, text) from error

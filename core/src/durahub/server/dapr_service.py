"""`dapr.proto.runtime.v1.Dapr`: the part of Dapr's own gRPC service that a workflow sidecar serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from durahub.engine.client import Client
from durahub.protocol import dapr_messages as dapr
from durahub.server.access import Caller, authorize
from durahub.server.admission import authorize_instance, refuse
from durahub.server.api_errors import ApiError
from durahub.server.dapr_workflows import DaprWorkflows
from durahub.server.metadata import Metadata
from durahub.server.operations import Operation, Scope, operation_of
from durahub.server.rpc import CallContext, Route, UnaryRoute
from durahub.server.status import SidecarStatus
from durahub.types import AppId, InstanceKey

_STAGES = ("Alpha1", "Beta1")

RequestT = TypeVar("RequestT", bound=Message)


def dapr_routes(client: Client, metadata: Metadata, status: SidecarStatus) -> Sequence[Route[Any]]:
    """Return the routes of the methods that are served.

    Args:
        client: Carries out what is about workflows.
        metadata: What the sidecar tells about itself.
        status: The sidecar, to be stopped.
    """
    return _DaprService(client, metadata, status).routes()


class _DaprService:
    def __init__(self, client: Client, metadata: Metadata, status: SidecarStatus) -> None:
        self._client = client
        self._workflows = DaprWorkflows(client)
        self._metadata = metadata
        self._status = status

    def routes(self) -> Sequence[Route[Any]]:
        return [
            *self._workflow_routes(),
            self._unary("GetMetadata", dapr.GetMetadataRequest, self._get_metadata),
            self._unary("SetMetadata", dapr.SetMetadataRequest, self._set_metadata),
            self._unary("Shutdown", dapr.ShutdownRequest, self._shutdown),
        ]

    def _workflow_routes(self) -> Sequence[Route[Any]]:
        workflows = self._workflows
        return [
            route
            for stage in _STAGES
            for route in (
                self._unary(f"StartWorkflow{stage}", dapr.StartWorkflowRequest, workflows.start),
                self._unary(f"GetWorkflow{stage}", dapr.GetWorkflowRequest, self._get),
                self._unary(f"PurgeWorkflow{stage}", dapr.PurgeWorkflowRequest, workflows.purge),
                self._unary(
                    f"TerminateWorkflow{stage}",
                    dapr.TerminateWorkflowRequest,
                    workflows.terminate,
                ),
                self._unary(f"PauseWorkflow{stage}", dapr.PauseWorkflowRequest, workflows.pause),
                self._unary(f"ResumeWorkflow{stage}", dapr.ResumeWorkflowRequest, workflows.resume),
                self._unary(
                    f"RaiseEventWorkflow{stage}",
                    dapr.RaiseEventWorkflowRequest,
                    workflows.raise_event,
                ),
            )
        ]

    async def _get(self, request: dapr.GetWorkflowRequest) -> dapr.GetWorkflowResponse:
        found = await self._workflows.get(request)
        # Not an error here, unlike over HTTP.
        return found or dapr.GetWorkflowResponse(instance_id=request.instance_id)

    async def _get_metadata(self, _: dapr.GetMetadataRequest) -> dapr.GetMetadataResponse:
        return self._metadata.message()

    async def _set_metadata(self, request: dapr.SetMetadataRequest) -> None:
        self._metadata.put(request.key, request.value)

    async def _shutdown(self, _: dapr.ShutdownRequest) -> None:
        self._status.request_stop("shutdown requested over gRPC")

    def _unary(
        self,
        method: str,
        request_type: type[RequestT],
        handler: Callable[[RequestT], Awaitable[Message | None]],
    ) -> UnaryRoute[RequestT]:
        path = f"/{dapr.DAPR_SERVICE_NAME}/{method}"
        operation = operation_of(path)

        async def answer(request: RequestT, context: CallContext) -> Message:
            try:
                if operation.scope is Scope.INSTANCE:
                    await self._admit(request, operation, context.caller)
                return await handler(request) or Empty()
            except ApiError as error:
                raise error.to_rpc() from error

        return UnaryRoute(path, request_type, answer)

    async def _admit(self, request: Any, operation: Operation, caller: Caller) -> None:
        if isinstance(request, dapr.StartWorkflowRequest):
            refuse(authorize(caller, operation, request.workflow_name))
        # A start may take the place of an ended instance.
        app_id = AppId(request.app_id or self._status.app_id)
        key = InstanceKey(app_id, request.instance_id)
        refuse(await authorize_instance(self._client, caller, operation, key))

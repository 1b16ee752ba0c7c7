"""`dapr.proto.runtime.v1.Dapr`: the part of Dapr's own gRPC service that a workflow sidecar serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from durahub.protocol import dapr_messages as dapr
from durahub.server.api_errors import ApiError
from durahub.server.dapr_workflows import DaprWorkflows
from durahub.server.metadata import Metadata
from durahub.server.rpc import CallContext, Route, UnaryRoute
from durahub.server.status import SidecarStatus

_STAGES = ("Alpha1", "Beta1")

_ABSENT = (
    ("Actor", "actors that applications can call"),
    ("Job", "scheduled jobs"),
    ("State", "state stores that applications can use"),
    ("Publish", "publish and subscribe"),
    ("Bulk", "publish and subscribe"),
    ("Subscribe", "subscriptions"),
    ("InvokeService", "service invocation"),
    ("InvokeBinding", "bindings"),
    ("Secret", "secret stores that applications can read"),
    ("Configuration", "configuration stores"),
    ("Lock", "locks"),
    ("crypt", "cryptography"),
    ("Subtle", "cryptography"),
    ("Converse", "conversations with language models"),
    ("Index", "search"),
    ("Document", "search"),
    ("Search", "search"),
    ("Collection", "vector stores"),
    ("Vector", "vector stores"),
    ("BinaryFile", "binary stores"),
)
"""What is not there, by a part of the method's name; the first that fits counts."""

RequestT = TypeVar("RequestT", bound=Message)


def dapr_routes(
    workflows: DaprWorkflows, metadata: Metadata, status: SidecarStatus
) -> Sequence[Route[Any]]:
    """Return the routes of the methods that are served.

    Args:
        workflows: Carries out what is about workflows.
        metadata: What the sidecar tells about itself.
        status: The sidecar, to be stopped.
    """
    return _DaprService(workflows, metadata, status).routes()


def unserved_text(path: str) -> str:
    """Return what to say about a method that no route serves, as `/Service/Method`."""
    service, _, method = path.removeprefix("/").rpartition("/")
    text = f"unknown method {method} for service {service}"
    if service != dapr.DAPR_SERVICE_NAME:
        return text
    absent = next((what for part, what in _ABSENT if part in method), None)
    lacking = f" and has no {absent}" if absent else ""
    return f"{text}: Durahub is a sidecar for workflows{lacking}"


class _DaprService:
    def __init__(self, workflows: DaprWorkflows, metadata: Metadata, status: SidecarStatus) -> None:
        self._workflows = workflows
        self._metadata = metadata
        self._status = status

    def routes(self) -> Sequence[Route[Any]]:
        return [
            *self._workflow_routes(),
            _unary("GetMetadata", dapr.GetMetadataRequest, self._get_metadata),
            _unary("SetMetadata", dapr.SetMetadataRequest, self._set_metadata),
            _unary("Shutdown", dapr.ShutdownRequest, self._shutdown),
        ]

    def _workflow_routes(self) -> Sequence[Route[Any]]:
        workflows = self._workflows
        return [
            route
            for stage in _STAGES
            for route in (
                _unary(f"StartWorkflow{stage}", dapr.StartWorkflowRequest, workflows.start),
                _unary(f"GetWorkflow{stage}", dapr.GetWorkflowRequest, self._get),
                _unary(f"PurgeWorkflow{stage}", dapr.PurgeWorkflowRequest, workflows.purge),
                _unary(
                    f"TerminateWorkflow{stage}",
                    dapr.TerminateWorkflowRequest,
                    workflows.terminate,
                ),
                _unary(f"PauseWorkflow{stage}", dapr.PauseWorkflowRequest, workflows.pause),
                _unary(f"ResumeWorkflow{stage}", dapr.ResumeWorkflowRequest, workflows.resume),
                _unary(
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
    method: str,
    request_type: type[RequestT],
    handler: Callable[[RequestT], Awaitable[Message | None]],
) -> UnaryRoute[RequestT]:
    async def answer(request: RequestT, _: CallContext) -> Message:
        try:
            return await handler(request) or Empty()
        except ApiError as error:
            raise error.to_rpc() from error

    return UnaryRoute(f"/{dapr.DAPR_SERVICE_NAME}/{method}", request_type, answer)

"""Who may call TaskHubSidecarService for which instance."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from durahub.engine.client import Client
from durahub.protocol import messages as pb
from durahub.server.access import Caller, Decision, authorize
from durahub.server.operations import Operation, Scope, operation_of, purging
from durahub.server.rpc import RpcError, StatusCode


class TaskHubGuard:
    """Asks for the rights that depend on what a request says.

    The role that a method needs has been asked for already, when the call came in.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def admit(self, path: str, request: Message, caller: Caller) -> None:
        """Return if a caller may have a request carried out.

        Of a caller that is limited to workflows, it looks up which workflow the instance runs. If another
        one takes the instance's id between this and the request, that was not asked for.

        Args:
            path: Path of the method.
            request: Of the method's type.
            caller: Who calls.

        Raises:
            RpcError: PERMISSION_DENIED, with what is missing.
            InvalidRequestError: The request is routed to where nothing can be sent.
        """
        operation = _operation(path, request)
        require(authorize(caller, operation))
        if not caller.is_limited or operation.scope is not Scope.INSTANCE:
            return
        if isinstance(request, pb.CreateInstanceRequest):
            require(authorize(caller, operation, request.name))
        # A start may take the place of an ended instance.
        require(authorize(caller, operation, await self._workflow_of(request)))

    async def _workflow_of(self, request: Any) -> str | None:
        is_rerun = isinstance(request, pb.RerunWorkflowFromEventRequest)
        wanted = pb.GetInstanceRequest(
            instanceId=request.sourceInstanceID if is_rerun else request.instanceId
        )
        if not isinstance(request, pb.GetInstanceHistoryRequest):
            wanted.router.CopyFrom(request.router)
        found = await self._client.get(wanted)
        return found.workflowState.name if found.exists else None


def require(decision: Decision) -> None:
    """Return if a decision allows.

    Raises:
        RpcError: PERMISSION_DENIED, with what is missing.
    """
    if not decision.is_allowed:
        raise RpcError(StatusCode.PERMISSION_DENIED, decision.text)


def _operation(path: str, request: Message) -> Operation:
    if isinstance(request, pb.PurgeInstancesRequest):
        is_selection = request.HasField("purgeInstanceFilter")
        return purging(is_selection=is_selection, is_forced=request.force)
    return operation_of(path)

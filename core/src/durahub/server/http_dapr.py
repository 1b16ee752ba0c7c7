"""Dapr's HTTP routes about workflows, under their three prefixes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from starlette.responses import JSONResponse, Response

from durahub.protocol import dapr_messages as dapr
from durahub.server.dapr_workflows import DaprWorkflows, not_found
from durahub.server.http_endpoint import Call, Endpoint
from durahub.server.http_schemas import DaprQuery, DaprStartQuery, DaprWorkflow, Empty, Started
from durahub.server.operations import Operation
from durahub.types import AppId, InstanceKey

PREFIXES = ("/v1.0-alpha1", "/v1.0-beta1", "/v1.0")

RequestT = TypeVar(
    "RequestT",
    dapr.TerminateWorkflowRequest,
    dapr.PauseWorkflowRequest,
    dapr.ResumeWorkflowRequest,
    dapr.PurgeWorkflowRequest,
)


def dapr_endpoints(workflows: DaprWorkflows, app_id: AppId) -> Sequence[Endpoint]:
    """Return the endpoints.

    Args:
        workflows: Carries out what they ask.
        app_id: The application whose instances are meant where a call names no other.
    """
    routes = _Routes(workflows, app_id)
    return [endpoint for prefix in PREFIXES for endpoint in routes.under(f"{prefix}/workflows")]


class _Routes:
    def __init__(self, workflows: DaprWorkflows, app_id: AppId) -> None:
        self._workflows = workflows
        self._app_id = app_id

    def under(self, prefix: str) -> Sequence[Endpoint]:
        instance = f"{prefix}/{{component}}/{{instanceID}}"
        return [
            Endpoint(
                method="POST",
                path=f"{prefix}/{{component}}/{{workflowName}}/start",
                operation=Operation.START,
                summary="Start a workflow; does not wait for the start",
                handler=self._start,
                query=DaprStartQuery,
                text_body="The input",
                success={202: Started},
                errors=(400, 413, 500),
            ),
            Endpoint(
                method="GET",
                path=instance,
                operation=Operation.GET,
                summary="Look at an instance",
                handler=self._get,
                query=DaprQuery,
                success={200: DaprWorkflow},
                errors=(400, 404, 500),
            ),
            Endpoint(
                method="POST",
                path=f"{instance}/raiseEvent/{{eventName}}",
                operation=Operation.RAISE,
                summary="Raise an event",
                handler=self._raise_event,
                query=DaprQuery,
                text_body="The event's data",
                success={202: Empty},
                errors=(400, 413, 500),
            ),
            *self._steerings(instance),
        ]

    def _steerings(self, instance: str) -> Sequence[Endpoint]:
        workflows = self._workflows
        return [
            self._steering(
                f"{instance}/terminate",
                Operation.TERMINATE,
                dapr.TerminateWorkflowRequest,
                workflows.terminate,
            ),
            self._steering(
                f"{instance}/pause", Operation.SUSPEND, dapr.PauseWorkflowRequest, workflows.pause
            ),
            self._steering(
                f"{instance}/resume", Operation.RESUME, dapr.ResumeWorkflowRequest, workflows.resume
            ),
            self._steering(
                f"{instance}/purge", Operation.PURGE, dapr.PurgeWorkflowRequest, workflows.purge
            ),
        ]

    def _steering(
        self,
        path: str,
        operation: Operation,
        request_type: type[RequestT],
        work: Callable[[RequestT], Awaitable[None]],
    ) -> Endpoint:
        return Endpoint(
            method="POST",
            path=path,
            operation=operation,
            summary=f"{operation.purpose.capitalize()}; does not wait for the effect",
            handler=partial(self._steer, request_type, work),
            query=DaprQuery,
            success={202: Empty},
            errors=(400, 404, 500),
        )

    async def _start(self, call: Call) -> Response:
        query = call.query(DaprStartQuery)
        name = call.path["workflowName"]
        call.admit(name)
        # The id may be that of an ended instance, which is replaced.
        await call.admit_instance(self._key(query.instance_id, query))
        started = await self._workflows.start(
            dapr.StartWorkflowRequest(
                instance_id=query.instance_id,
                workflow_component=call.path["component"],
                workflow_name=name,
                input=await call.raw_body(),
                app_id=query.app_id,
            )
        )
        return _accepted({"instanceID": started.instance_id})

    async def _get(self, call: Call) -> Response:
        query, instance_id = call.query(DaprQuery), call.path["instanceID"]
        await call.admit_instance(self._key(instance_id, query))
        found = await self._workflows.get(
            dapr.GetWorkflowRequest(instance_id=instance_id, app_id=query.app_id)
        )
        if found is None:
            raise not_found(instance_id)
        document = DaprWorkflow(
            instance_id=found.instance_id,
            workflow_name=found.workflow_name,
            created_at=found.created_at.ToJsonString(),
            last_updated_at=found.last_updated_at.ToJsonString(),
            runtime_status=found.runtime_status,
            properties=dict(found.properties),
        )
        return JSONResponse(document.model_dump(by_alias=True))

    async def _raise_event(self, call: Call) -> Response:
        query, instance_id = call.query(DaprQuery), call.path["instanceID"]
        await call.admit_instance(self._key(instance_id, query))
        await self._workflows.raise_event(
            dapr.RaiseEventWorkflowRequest(
                instance_id=instance_id,
                event_name=call.path["eventName"],
                event_data=await call.raw_body(),
                app_id=query.app_id,
            )
        )
        return _accepted({})

    async def _steer(
        self,
        request_type: type[RequestT],
        work: Callable[[RequestT], Awaitable[None]],
        call: Call,
    ) -> Response:
        query, instance_id = call.query(DaprQuery), call.path["instanceID"]
        await call.admit_instance(self._key(instance_id, query))
        await work(request_type(instance_id=instance_id, app_id=query.app_id))
        return _accepted({})

    def _key(self, instance_id: str, query: DaprQuery | DaprStartQuery) -> InstanceKey:
        return InstanceKey(AppId(query.app_id or self._app_id), instance_id)


def _accepted(document: dict[str, str]) -> Response:
    return JSONResponse(document, status_code=202)

"""Dapr's workflow API, as its gRPC service and its HTTP routes have it in common.

Requests and answers are those of gRPC; refusals have Dapr's codes and texts. Nothing waits for workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from durahub.engine.client import Client
from durahub.engine.routing import misrouting
from durahub.errors import (
    BackendUnavailableError,
    CapabilityNotSupportedError,
    DurahubError,
    InstanceExistsError,
    InstanceNotFoundError,
    InvalidRequestError,
)
from durahub.protocol import dapr_messages as dapr
from durahub.protocol import messages as pb
from durahub.server.api_errors import INSTANCE_NOT_FOUND, MALFORMED, ApiError
from durahub.types import RuntimeStatus

MAX_ID_LENGTH = 64
"""Most characters of an id that an instance is started with here; other ways have no such rule."""
START_TIME = "dapr.workflow.start_time"

_PUNCTUATION: Final = frozenset("-_")
_PROPERTIES: Final[tuple[tuple[Literal["customStatus", "input", "output"], str], ...]] = (
    ("customStatus", "dapr.workflow.custom_status"),
    ("input", "dapr.workflow.input"),
    ("output", "dapr.workflow.output"),
)


class _Addressed(Protocol):
    @property
    def instance_id(self) -> str: ...
    @property
    def app_id(self) -> str: ...


class DaprWorkflows:
    """Carries out what Dapr's API asks of workflows."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, request: dapr.StartWorkflowRequest) -> dapr.StartWorkflowResponse:
        """Create an instance; returns after that is durable, without waiting for the start.

        Raises:
            ApiError: See the reference of the API.
        """
        if not request.workflow_name:
            raise ApiError(400, "ERR_WORKFLOW_NAME_MISSING", "workflow name is not configured")
        _check_new_id(request.instance_id)
        creation = pb.CreateInstanceRequest(
            instanceId=request.instance_id, name=request.workflow_name, router=_router(request)
        )
        # Always there: Dapr does not tell no input from an empty one here.
        creation.input.value = _text(request.input, "input")
        if START_TIME in request.options:
            creation.scheduledStartTimestamp.CopyFrom(_start_time(request.options[START_TIME]))
        with _refusing(request, "ERR_START_WORKFLOW", _start_failure(request.workflow_name)):
            started = await self._client.start(creation, wait=False)
        return dapr.StartWorkflowResponse(instance_id=started.instanceId)

    async def get(self, request: dapr.GetWorkflowRequest) -> dapr.GetWorkflowResponse | None:
        """Return an instance with its payloads; None if there is none.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        wanted = pb.GetInstanceRequest(
            instanceId=request.instance_id, getInputsAndOutputs=True, router=_router(request)
        )
        failure = f"error while getting workflow info on instance '{request.instance_id}': "
        with _refusing(request, "ERR_GET_WORKFLOW", failure):
            found = await self._client.get(wanted)
        return _describe(found.workflowState) if found.exists else None

    async def terminate(self, request: dapr.TerminateWorkflowRequest) -> None:
        """Ask an instance, and all below it, to end; returns after that is durable.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        wanted = pb.TerminateRequest(
            instanceId=request.instance_id, recursive=True, router=_router(request)
        )
        failure = f"error terminating workflow '{request.instance_id}': "
        with (
            _refusing(request, "ERR_TERMINATE_WORKFLOW", failure),
            _missing_instance(request.instance_id),
        ):
            await self._client.terminate(wanted, wait=False)

    async def raise_event(self, request: dapr.RaiseEventWorkflowRequest) -> None:
        """Deliver an event; returns after that is durable.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        if not request.event_name:
            raise ApiError(400, "ERR_WORKFLOW_EVENT_NAME_MISSING", "missing workflow event name")
        wanted = pb.RaiseEventRequest(
            instanceId=request.instance_id, name=request.event_name, router=_router(request)
        )
        wanted.input.value = _text(request.event_data, "event data")
        failure = f"error raising event on workflow '{request.instance_id}': "
        with _refusing(request, "ERR_RAISE_EVENT_WORKFLOW", failure):
            await self._client.raise_event(wanted)

    async def pause(self, request: dapr.PauseWorkflowRequest) -> None:
        """Suspend an instance; returns after the request is durable.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        wanted = pb.SuspendRequest(instanceId=request.instance_id, router=_router(request))
        failure = f"error pausing workflow {request.instance_id}: "
        with _refusing(request, "ERR_PAUSE_WORKFLOW", failure):
            await self._client.suspend(wanted, wait=False)

    async def resume(self, request: dapr.ResumeWorkflowRequest) -> None:
        """Resume an instance; returns after the request is durable.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        wanted = pb.ResumeRequest(instanceId=request.instance_id, router=_router(request))
        failure = f"error resuming workflow {request.instance_id}: "
        with _refusing(request, "ERR_RESUME_WORKFLOW", failure):
            await self._client.resume(wanted, wait=False)

    async def purge(self, request: dapr.PurgeWorkflowRequest) -> None:
        """Remove an ended instance and all below it.

        Raises:
            ApiError: See the reference of the API.
        """
        _check_id(request)
        wanted = pb.PurgeInstancesRequest(
            instanceId=request.instance_id, recursive=True, router=_router(request)
        )
        failure = f"error purging workflow {request.instance_id}: "
        with (
            _refusing(request, "ERR_PURGE_WORKFLOW", failure),
            _missing_instance(request.instance_id),
        ):
            await self._client.purge(wanted)


def _router(request: _Addressed) -> pb.TaskRouter | None:
    return pb.TaskRouter(targetAppID=request.app_id) if request.app_id else None


def _check_id(request: _Addressed) -> None:
    if not request.instance_id:
        raise ApiError(400, "ERR_INSTANCE_ID_PROVIDED_MISSING", "no instance ID was provided")


def _check_new_id(instance_id: str) -> None:
    if len(instance_id) > MAX_ID_LENGTH:
        raise ApiError(
            400,
            "ERR_INSTANCE_ID_TOO_LONG",
            f"workflow instance ID exceeds the max length of {MAX_ID_LENGTH} characters",
        )
    if not all(one.isalpha() or one.isdecimal() or one in _PUNCTUATION for one in instance_id):
        raise ApiError(
            400,
            "ERR_INSTANCE_ID_INVALID",
            f"workflow instance ID '{instance_id}' is invalid: only alphanumeric, underscore and dash"
            " characters are allowed",
        )


def _text(payload: bytes, what: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, MALFORMED, f"the {what} is no UTF-8 text: {error}") from None


def _start_time(text: str) -> Timestamp:
    moment = Timestamp()
    try:
        moment.FromJsonString(text)
    except ValueError:
        raise ApiError(
            400,
            MALFORMED,
            f"{START_TIME} is no RFC 3339 time such as 2026-11-23T20:00:00Z: {text!r}",
        ) from None
    return moment


def _start_failure(workflow_name: str) -> str:
    return (
        f"error starting workflow '{workflow_name}': unable to start workflow: "
        "failed to start workflow: "
    )


@contextmanager
def _missing_instance(instance_id: str) -> Iterator[None]:
    try:
        yield
    except InstanceNotFoundError:
        raise not_found(instance_id) from None


def not_found(instance_id: str) -> ApiError:
    """Return the refusal for an instance that does not exist."""
    return ApiError(
        404,
        INSTANCE_NOT_FOUND,
        f"unable to find workflow with the provided instance ID: {instance_id}",
    )


@contextmanager
def _refusing(request: _Addressed, error_code: str, prefix: str) -> Iterator[None]:
    """Turn errors of the engine into Dapr's; the reason follows the prefix."""
    try:
        yield
    except InvalidRequestError as error:
        is_misrouted = misrouting(pb.TaskRouter(targetAppID=request.app_id), "") is not None
        code = "ERR_WORKFLOW_APP_ID_INVALID" if is_misrouted else MALFORMED
        raise ApiError(400, code, str(error)) from error
    except DurahubError as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
        raise ApiError(status, error_code, prefix + _reason(error)) from error


_STATUSES: Final = (
    # Dapr says 500 to these too; a client that is to repeat its request has to be able to tell.
    (BackendUnavailableError, 503),
    (CapabilityNotSupportedError, 501),
)


def _reason(error: DurahubError) -> str:
    if isinstance(error, InstanceExistsError):
        return f"rpc error: code = AlreadyExists desc = {error}"
    return str(error)


def _describe(state: pb.WorkflowState) -> dapr.GetWorkflowResponse:
    response = dapr.GetWorkflowResponse(
        instance_id=state.instanceId,
        workflow_name=state.name,
        runtime_status=_status_name(state.workflowStatus),
        properties=_properties(state),
    )
    response.created_at.CopyFrom(state.createdTimestamp)
    response.last_updated_at.CopyFrom(state.lastUpdatedTimestamp)
    return response


def _status_name(status: int) -> str:
    # Dapr's table has no name for it.
    return "UNKNOWN" if status == RuntimeStatus.STALLED else RuntimeStatus(status).name


def _properties(state: pb.WorkflowState) -> Mapping[str, str]:
    found = {
        name: getattr(state, field).value for field, name in _PROPERTIES if state.HasField(field)
    }
    if state.HasField("failureDetails"):
        failure = state.failureDetails
        found["dapr.workflow.failure.error_type"] = failure.errorType
        found["dapr.workflow.failure.error_message"] = failure.errorMessage
        if failure.HasField("stackTrace"):
            found["dapr.workflow.failure.stack_trace"] = failure.stackTrace.value
    return found

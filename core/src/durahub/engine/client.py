"""What clients ask of a task hub: start, look, wait, tell, remove.

Every method that changes something returns after the change is durable.
"""

from __future__ import annotations

import dataclasses
import os
import uuid

from google.protobuf.timestamp_pb2 import Timestamp

from durahub.backend import (
    Backend,
    CreateInstance,
    Deliver,
    InstanceCreated,
    InstanceEnded,
    InstanceExists,
    InstanceMissing,
    InstanceNotEnded,
    InstanceQuery,
    InstanceRecord,
    Message,
    PurgeInstance,
)
from durahub.clock import Clock
from durahub.engine import events
from durahub.engine.decision import terminations
from durahub.engine.descendants import (
    children_of,
    linked_children,
    live_below,
    live_descendant,
)
from durahub.engine.describe import instance_response
from durahub.engine.draft import TurnContext, batch_of
from durahub.engine.lane import StoreLane
from durahub.engine.state import request_identity
from durahub.engine.watchers import Condition, Watchers
from durahub.errors import (
    BackendError,
    InstanceExistsError,
    InstanceNotCompletedError,
    InstanceNotFoundError,
    InstanceStalledError,
    InvalidRequestError,
)
from durahub.protocol import messages as pb
from durahub.protocol.frames import history_response_bytes
from durahub.protocol.times import from_timestamp_ceil, is_valid
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus

_MARK_BYTES = 12

DEFAULT_PAGE_SIZE = 1024
"""Ids on one page, unless the request says otherwise; what Dapr's clients ask for."""

_REPLACE_ROUNDS = 10
"""How often a creation is tried anew while others end and create the same id."""


class Client:
    """Carries out the requests of clients."""

    def __init__(
        self, backend: Backend, lane: StoreLane, watchers: Watchers, clock: Clock, app_id: AppId
    ) -> None:
        self._backend = backend
        self._lane = lane
        self._watchers = watchers
        self._clock = clock
        self._app_id = app_id

    async def start(self, request: pb.CreateInstanceRequest) -> pb.CreateInstanceResponse:
        """Create an instance and, without a start time, wait until its first turn is durable (Dapr).

        Raises:
            InstanceExistsError: The id is in use, by itself or by descendants of its ended run, or
                was used and the request enforces unique ids.
            InvalidRequestError: The start time is none.
        """
        if request.HasField("scheduledStartTimestamp"):
            _refuse_invalid_time(request.scheduledStartTimestamp)
        creation = self._creation(request)
        await self._create(creation, enforce_unique=request.enforceUniqueInstanceId)
        if not request.HasField("scheduledStartTimestamp"):
            with self._watchers.watch(creation.key, _has_started) as watch:
                await watch.outcome()
        return pb.CreateInstanceResponse(instanceId=creation.key.instance_id)

    async def get(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        """Return what is known of an instance; `exists` is false if there is none."""
        key = self._key(request)
        (view,) = await self._backend.get([key], payloads=request.getInputsAndOutputs)
        return instance_response(view)

    async def wait_for_start(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        """Return what is known of an instance once its first turn is durable.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        return await self._wait(request, _has_started)

    async def wait_for_completion(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        """Return what is known of an instance once it has ended.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        return await self._wait(request, lambda status: status.is_terminal)

    async def raise_event(self, request: pb.RaiseEventRequest) -> pb.RaiseEventResponse:
        """Deliver an external event; an ended instance takes no notice (Dapr).

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        data = request.input if request.HasField("input") else None
        event = events.event_raised(self._clock.now(), request.name, data)
        events.mark(event, os.urandom(_MARK_BYTES))
        await self._tell(self._key(request), event)
        return pb.RaiseEventResponse()

    async def terminate(self, request: pb.TerminateRequest) -> pb.TerminateResponse:
        """Ask an instance to end, and wait until it has (Dapr); below it too if `recursive`.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        key = self._key(request)
        output = request.output if request.HasField("output") else None
        event = events.execution_terminated(self._clock.now(), output, recurse=request.recursive)
        events.mark(event, os.urandom(_MARK_BYTES))
        if await self._tell(key, event, expedite=True):
            with self._watchers.watch(key, _is_or_stands(RuntimeStatus.TERMINATED)) as watch:
                _refuse_parked(await watch.outcome())
        elif request.recursive:
            await self._terminate_below(key, event.executionTerminated)
        return pb.TerminateResponse()

    async def suspend(self, request: pb.SuspendRequest) -> pb.SuspendResponse:
        """Suspend an instance, and wait until it is suspended or has ended (Dapr).

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        event = events.execution_suspended(self._clock.now(), request.reason.value)
        await self._tell_and_wait(self._key(request), event, RuntimeStatus.SUSPENDED)
        return pb.SuspendResponse()

    async def resume(self, request: pb.ResumeRequest) -> pb.ResumeResponse:
        """Resume an instance, and wait until it is running or has ended (Dapr).

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        event = events.execution_resumed(self._clock.now(), request.reason.value)
        await self._tell_and_wait(self._key(request), event, RuntimeStatus.RUNNING)
        return pb.ResumeResponse()

    async def purge(self, request: pb.PurgeInstancesRequest) -> pb.PurgeInstancesResponse:
        """Remove an instance, and with `recursive` all below it first; the count is all removed.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceNotCompletedError: One of them has not ended, and `force` is not set. What was
                removed before it stays removed.
            InstanceStalledError: One of them is parked, and `force` is not set.
        """
        key = InstanceKey(self._target(request), request.instanceId)
        if request.recursive:
            count = await self._purge_tree(key, force=request.force)
        else:
            count = await self._purge(key, force=request.force)
        return pb.PurgeInstancesResponse(deletedInstanceCount=count)

    async def history(self, request: pb.GetInstanceHistoryRequest) -> bytes:
        """Return the serialised GetInstanceHistoryResponse with the committed history.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        (history,) = await self._backend.history([InstanceKey(self._app_id, request.instanceId)])
        if history is None:
            raise InstanceNotFoundError(f"workflow instance '{request.instanceId}' not found")
        return history_response_bytes(history.events)

    async def list_ids(self, request: pb.ListInstanceIDsRequest) -> pb.ListInstanceIDsResponse:
        """Return one page of the ids of the application's instances, in order of creation.

        Raises:
            InvalidRequestError: The continuation token is none that this store gave out.
        """
        query = InstanceQuery(
            app_id=self._app_id,
            page_size=request.pageSize or DEFAULT_PAGE_SIZE,
            page_token=request.continuationToken or None,
        )
        try:
            page = await self._backend.list_instances(query)
        except BackendError as error:
            if error.retryable or query.page_token is None:
                raise
            raise InvalidRequestError(f"the continuation token is not valid: {error}") from error
        response = pb.ListInstanceIDsResponse(
            instanceIds=[record.key.instance_id for record in page.instances]
        )
        if page.next_token is not None:
            response.continuationToken = page.next_token
        return response

    def _creation(self, request: pb.CreateInstanceRequest) -> CreateInstance:
        key = InstanceKey(self._target(request), request.instanceId or uuid.uuid4().hex)
        execution_id = ExecutionId(str(uuid.uuid4()))
        now = self._clock.now()
        start = events.new_event(now)
        start.router.sourceAppID = self._app_id
        if key.app_id != self._app_id:
            start.router.targetAppID = key.app_id
        started = start.executionStarted
        started.name = request.name
        started.workflowInstance.instanceId = key.instance_id
        started.workflowInstance.executionId.value = execution_id
        started.tags.update(request.tags)
        for name in ("version", "input", "scheduledStartTimestamp", "parentTraceContext"):
            if request.HasField(name):
                getattr(started, name).CopyFrom(getattr(request, name))
        return CreateInstance(
            key=key,
            name=request.name,
            version=request.version.value if request.HasField("version") else None,
            execution_id=execution_id,
            input=request.input.value if request.HasField("input") else None,
            tags=dict(request.tags),
            created_at=now,
            start=Message(payload=batch_of(start), execution_id=execution_id),
            not_before=(
                from_timestamp_ceil(request.scheduledStartTimestamp)
                if request.HasField("scheduledStartTimestamp")
                else None
            ),
        )

    async def _create(self, creation: CreateInstance, *, enforce_unique: bool) -> None:
        operation = creation
        for _ in range(_REPLACE_ROUNDS):
            result = await self._lane.write(operation)
            if isinstance(result, InstanceCreated):
                return
            assert isinstance(result, InstanceExists)
            existing = result.existing
            if existing.execution_id == creation.execution_id:
                return  # written by an attempt whose answer was lost
            await self._allow_replacing(existing, enforce_unique=enforce_unique)
            operation = _replacing(creation, existing)
        raise InstanceExistsError(_active(creation.key.instance_id))

    async def _allow_replacing(self, existing: InstanceRecord, *, enforce_unique: bool) -> None:
        instance_id = existing.key.instance_id
        if not existing.status.is_terminal:
            raise InstanceExistsError(_active(instance_id))
        if enforce_unique:
            raise InstanceExistsError(
                f"a workflow with ID '{instance_id}' already exists and the create enforces "
                "instance ID uniqueness"
            )
        live = await live_descendant(self._backend, existing)
        if live is not None:
            raise InstanceExistsError(f"cannot recreate workflow with ID '{instance_id}': {live}")

    async def _tell(
        self, key: InstanceKey, event: pb.HistoryEvent, *, expedite: bool = False
    ) -> bool:
        """Deliver an event to an instance that is not parked; False if it has ended."""
        await self._refuse_stalled(key)
        return await self._deliver(key, event, expedite=expedite)

    async def _deliver(
        self, key: InstanceKey, event: pb.HistoryEvent, *, expedite: bool = False
    ) -> bool:
        message = Message(payload=batch_of(event))
        result = await self._lane.write(Deliver(key=key, messages=(message,), expedite=expedite))
        if isinstance(result, InstanceMissing):
            raise InstanceNotFoundError
        return not isinstance(result, InstanceEnded)

    async def _tell_and_wait(
        self, key: InstanceKey, event: pb.HistoryEvent, wanted: RuntimeStatus
    ) -> None:
        """Deliver an event and wait for the status that it brings about.

        The status may be over again before anybody looks, so the wait also ends when the event itself
        has been dealt with. It begins before the delivery, to miss neither.
        """
        events.mark(event, os.urandom(_MARK_BYTES))
        identity = request_identity(event)
        with self._watchers.watch(key, _is_or_stands(wanted), request=identity) as watch:
            watch.revision = await self._refuse_stalled(key)
            if await self._deliver(key, event):
                _refuse_parked(await watch.outcome())

    async def _refuse_stalled(self, key: InstanceKey) -> int | None:
        """Refuse if an instance is parked, and return its revision otherwise, if it exists."""
        (view,) = await self._backend.get([key])
        if view is None:
            return None
        _refuse_parked(view.record.status)
        return view.record.revision

    async def _terminate_below(
        self, key: InstanceKey, request: pb.ExecutionTerminatedEvent
    ) -> None:
        """Reach the descendants of an ended instance, which can't pass the request on itself."""
        live = await live_below(self._backend, key, await children_of(self._backend, key))
        context = TurnContext(key.app_id, self._clock.now(), lambda: str(uuid.uuid4()))
        for deliver in terminations([found.record.key for found in live], request, context):
            await self._lane.write(deliver)

    async def _purge_tree(self, key: InstanceKey, *, force: bool) -> int:
        (view,) = await self._backend.get([key])
        if view is None:
            raise InstanceNotFoundError
        if not force:
            _refuse_unended(view.record.status)
        count = 0
        children = await children_of(self._backend, key)
        for child in await linked_children(self._backend, key, children):
            try:
                count += await self._purge_tree(child.key, force=force)
            except InstanceNotFoundError:
                continue  # purged meanwhile, by somebody else
        return count + await self._purge(key, force=force)

    async def _purge(self, key: InstanceKey, *, force: bool) -> int:
        result = await self._lane.write(PurgeInstance(key=key, force=force))
        if isinstance(result, InstanceMissing):
            raise InstanceNotFoundError
        if isinstance(result, InstanceNotEnded):
            _refuse_unended(result.status)
        self._watchers.tell(key, None)
        return 1

    async def _wait(
        self, request: pb.GetInstanceRequest, condition: Condition
    ) -> pb.GetInstanceResponse:
        with self._watchers.watch(self._key(request), condition) as watch:
            await watch.outcome()
        return await self.get(request)

    def _key(self, request: object) -> InstanceKey:
        return InstanceKey(self._target(request), request.instanceId)  # type: ignore[attr-defined]

    def _target(self, request: object) -> AppId:
        """Return the application that a request is routed to: its own unless it says otherwise."""
        router: pb.TaskRouter = request.router  # type: ignore[attr-defined]  # all of them have one
        if router.targetAppNamespace and not router.targetAppID:
            raise InvalidRequestError("a target app namespace requires a target app ID")
        return AppId(router.targetAppID) if router.targetAppID else self._app_id


def _refuse_invalid_time(timestamp: Timestamp) -> None:
    if not is_valid(timestamp):
        raise InvalidRequestError(
            f"the start time of {timestamp.seconds} seconds and {timestamp.nanos} nanoseconds is not "
            "a time between the years 1 and 9999"
        )


def _has_started(status: RuntimeStatus) -> bool:
    return status is not RuntimeStatus.PENDING


def _active(instance_id: str) -> str:
    return f"an active workflow with ID '{instance_id}' already exists"


def _is_or_stands(wanted: RuntimeStatus) -> Condition:
    """Return the condition that a status is reached, or that nothing will change by itself."""
    return lambda status: status is wanted or status.is_terminal or status is RuntimeStatus.STALLED


def _refuse_parked(status: RuntimeStatus) -> None:
    if status is RuntimeStatus.STALLED:
        raise InstanceStalledError


def _refuse_unended(status: RuntimeStatus) -> None:
    _refuse_parked(status)
    if not status.is_terminal:
        raise InstanceNotCompletedError


def _replacing(creation: CreateInstance, existing: InstanceRecord) -> CreateInstance:
    return dataclasses.replace(creation, replaces=existing.revision)

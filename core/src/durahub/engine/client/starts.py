"""Starting instances: anew, in place of ended ones, and from an event of an ended one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from durahub.backend import (
    CreateInstance,
    InstanceCreated,
    InstanceExists,
    InstanceHistory,
    InstanceRecord,
    Message,
)
from durahub.engine import events
from durahub.engine.client.part import ClientPart, has_started, refuse
from durahub.engine.descendants import live_descendant
from durahub.engine.draft import batch_of
from durahub.engine.rerun import Rerun, fork_history
from durahub.engine.sizes import id_objection, name_objection, tags_objection
from durahub.errors import InstanceExistsError, InstanceNotFoundError, InvalidRequestError
from durahub.protocol import messages as pb
from durahub.protocol.frames import fork_bytes
from durahub.protocol.times import from_timestamp_ceil, is_valid
from durahub.types import ExecutionId, InstanceKey

_REPLACE_ROUNDS = 10
"""How often a creation is tried anew while others end and create the same id."""


class Starts(ClientPart):
    """Creates instances and waits for their first turn."""

    async def start(
        self, request: pb.CreateInstanceRequest, *, wait: bool = True
    ) -> pb.CreateInstanceResponse:
        """Create an instance and, without a start time, wait until its first turn is durable (Dapr).

        Args:
            request: What to start.
            wait: Whether to wait at all; otherwise this returns when the instance is durable.

        Raises:
            InstanceExistsError: The id is in use, by itself or by descendants of its ended run, or
                was used and the request enforces unique ids.
            InvalidRequestError: The start time is none.
        """
        if request.HasField("scheduledStartTimestamp"):
            _refuse_invalid_time(request.scheduledStartTimestamp)
        creation = self._creation(request)
        await self._create(creation, enforce_unique=request.enforceUniqueInstanceId)
        if wait and not request.HasField("scheduledStartTimestamp"):
            await self._started(creation.key)
        return pb.CreateInstanceResponse(instanceId=creation.key.instance_id)

    async def rerun(
        self, request: pb.RerunWorkflowFromEventRequest, *, wait: bool = True
    ) -> pb.RerunWorkflowFromEventResponse:
        """Start an ended workflow over from one of its events, as a new instance, and wait for its start.

        Args:
            request: What to start over, and from where.
            wait: Whether to wait; otherwise this returns when the new instance is durable.

        Raises:
            InvalidRequestError: The request makes no sense for this instance or this event.
            InstanceNotFoundError: There is no such instance.
            RerunTargetError: There is no such event, or it is none that can be done again.
            InstanceExistsError: The new id is taken.
        """
        rerun = _rerun_of(request, self._clock.now())
        source = await self._source_of(InstanceKey(self._target(request), rerun.source_id))
        forked = fork_history(list(map(pb.HistoryEvent.FromString, source.events)), rerun)
        creation = _rerun_creation(source.record, rerun, forked)
        result = await self._lane.write(creation)
        if not isinstance(result, InstanceCreated):
            assert isinstance(result, InstanceExists)
            if not _is_ours(result.existing, creation):
                raise InstanceExistsError(f"workflow '{rerun.new_id}' has already been created")
        if wait:
            await self._started(creation.key)
        return pb.RerunWorkflowFromEventResponse(newInstanceID=rerun.new_id)

    async def _started(self, key: InstanceKey) -> None:
        with self._watchers.watch(key, has_started) as watch:
            await watch.outcome()

    def _creation(self, request: pb.CreateInstanceRequest) -> CreateInstance:
        refuse(id_objection(request.instanceId))
        refuse(name_objection(request.name))
        refuse(tags_objection(request.tags))
        key = InstanceKey(self._target(request), request.instanceId or uuid.uuid4().hex)
        execution_id = _new_execution_id()
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
            if _is_ours(existing, creation):
                return
            await self._allow_replacing(existing, enforce_unique=enforce_unique)
            operation = replace(creation, replaces=existing.revision)
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

    async def _source_of(self, key: InstanceKey) -> InstanceHistory:
        """Return the history of an instance that can be started over."""
        (history,) = await self._backend.history([key])
        if history is None:
            raise InstanceNotFoundError(
                f"workflow instance does not exist with ID '{key.instance_id}'"
            )
        if not history.record.status.is_terminal:
            raise InvalidRequestError(f"'{key.instance_id}' is not in a terminal state")
        if history.record.parent is not None:
            raise InvalidRequestError(f"'{key.instance_id}': cannot rerun from child-workflows")
        return history


def _rerun_of(request: pb.RerunWorkflowFromEventRequest, now: datetime) -> Rerun:
    if not request.sourceInstanceID:
        raise InvalidRequestError("rerun workflow source instance ID is required")
    for instance_id in (
        request.sourceInstanceID,
        request.newInstanceID,
        request.newChildWorkflowInstanceID,
    ):
        refuse(id_objection(instance_id))
    new_id = request.newInstanceID or str(uuid.uuid4())
    if new_id == request.sourceInstanceID:
        raise InvalidRequestError(
            "rerun workflow instance ID must be different from the original instance ID"
        )
    return Rerun(
        source_id=request.sourceInstanceID,
        new_id=new_id,
        event_id=request.eventID,
        overwrite_input=request.overwriteInput,
        input=request.input if request.HasField("input") else None,
        child_id=request.newChildWorkflowInstanceID or None,
        now=now,
    )


def _rerun_creation(
    source: InstanceRecord, rerun: Rerun, history: Sequence[pb.HistoryEvent]
) -> CreateInstance:
    payload = fork_bytes(event.SerializeToString() for event in history)
    start = next(event for event in history if event.HasField("executionStarted"))
    started = start.executionStarted
    return CreateInstance(
        key=InstanceKey(source.key.app_id, rerun.new_id),
        name=source.name,
        version=source.version,
        execution_id=_new_execution_id(),
        input=started.input.value if started.HasField("input") else None,
        tags=dict(source.tags),
        created_at=rerun.now,
        start=Message(payload=payload),
    )


def _is_ours(existing: InstanceRecord, creation: CreateInstance) -> bool:
    """Return whether an instance was written by an attempt whose answer was lost."""
    return existing.execution_id == creation.execution_id


def _active(instance_id: str) -> str:
    return f"an active workflow with ID '{instance_id}' already exists"


def _new_execution_id() -> ExecutionId:
    return ExecutionId(str(uuid.uuid4()))


def _refuse_invalid_time(timestamp: Timestamp) -> None:
    if not is_valid(timestamp):
        raise InvalidRequestError(
            f"the start time of {timestamp.seconds} seconds and {timestamp.nanos} nanoseconds is not "
            "a time between the years 1 and 9999"
        )

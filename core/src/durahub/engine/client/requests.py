"""Telling instances: external events, and requests to terminate, suspend or resume."""

from __future__ import annotations

import os
import uuid

from durahub.backend import Deliver, InstanceEnded, InstanceMissing, InstanceRecord, Message
from durahub.engine import events
from durahub.engine.client.part import ClientPart, refuse, refuse_parked
from durahub.engine.decision import terminations
from durahub.engine.descendants import children_of, live_below
from durahub.engine.draft import TurnContext, batch_of
from durahub.engine.sizes import name_objection
from durahub.engine.state import request_identity
from durahub.engine.watchers import Condition
from durahub.errors import InstanceNotFoundError
from durahub.protocol import messages as pb
from durahub.types import InstanceKey, RuntimeStatus

_MARK_BYTES = 12


class Requests(ClientPart):
    """Delivers what clients tell instances, and waits until it shows."""

    async def raise_event(self, request: pb.RaiseEventRequest) -> pb.RaiseEventResponse:
        """Deliver an external event; an ended instance takes no notice (Dapr).

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
            InvalidRequestError: The event's name is too long.
        """
        refuse(name_objection(request.name))
        data = request.input if request.HasField("input") else None
        event = events.event_raised(self._clock.now(), request.name, data)
        events.mark(event, os.urandom(_MARK_BYTES))
        await self._tell(self._key(request), event)
        return pb.RaiseEventResponse()

    async def terminate(
        self, request: pb.TerminateRequest, *, wait: bool = True
    ) -> pb.TerminateResponse:
        """Ask an instance to end, and wait until it has (Dapr); below it too if `recursive`.

        Args:
            request: What is to end.
            wait: Whether to wait; otherwise this returns when the request is durable.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        key = self._key(request)
        output = request.output if request.HasField("output") else None
        event = events.execution_terminated(self._clock.now(), output, recurse=request.recursive)
        events.mark(event, os.urandom(_MARK_BYTES))
        if await self._tell(key, event, expedite=True):
            if not wait:
                return pb.TerminateResponse()
            with self._watchers.watch(key, _is_or_stands(RuntimeStatus.TERMINATED)) as watch:
                refuse_parked(await watch.outcome())
        elif request.recursive:
            await self._terminate_below(key, event.executionTerminated)
        return pb.TerminateResponse()

    async def suspend(self, request: pb.SuspendRequest, *, wait: bool = True) -> pb.SuspendResponse:
        """Suspend an instance, and wait until it is suspended or has ended (Dapr).

        If its start lies ahead, it will be suspended from the start on.

        Args:
            request: What to suspend.
            wait: Whether to wait; otherwise this returns when the request is durable.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        event = events.execution_suspended(self._clock.now(), request.reason.value)
        await self._tell_and_wait(self._key(request), event, RuntimeStatus.SUSPENDED, wait=wait)
        return pb.SuspendResponse()

    async def resume(self, request: pb.ResumeRequest, *, wait: bool = True) -> pb.ResumeResponse:
        """Resume an instance, and wait until it is running or has ended (Dapr).

        Args:
            request: What to resume.
            wait: Whether to wait; otherwise this returns when the request is durable.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceStalledError: The instance is parked.
        """
        event = events.execution_resumed(self._clock.now(), request.reason.value)
        await self._tell_and_wait(self._key(request), event, RuntimeStatus.RUNNING, wait=wait)
        return pb.ResumeResponse()

    async def _tell(
        self, key: InstanceKey, event: pb.HistoryEvent, *, expedite: bool = False
    ) -> bool:
        """Deliver an event to an instance that is not parked; False if it has ended."""
        await self._unparked(key)
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
        self, key: InstanceKey, event: pb.HistoryEvent, wanted: RuntimeStatus, *, wait: bool
    ) -> None:
        """Deliver an event and, if asked to, wait for the status that it brings about.

        The status may be over again before anybody looks, so the wait also ends when the event itself
        has been dealt with. It begins before the delivery, to miss neither. An instance whose start lies
        ahead obeys then; that may be in days, and is not waited for.
        """
        events.mark(event, os.urandom(_MARK_BYTES))
        if not wait:
            await self._tell(key, event)
            return
        identity = request_identity(event)
        with self._watchers.watch(key, _is_or_stands(wanted), request=identity) as watch:
            record = await self._unparked(key)
            watch.revision = record.revision
            if await self._deliver(key, event) and not self._starts_later(record):
                refuse_parked(await watch.outcome())

    async def _unparked(self, key: InstanceKey) -> InstanceRecord:
        """Return the record of an instance that can react."""
        (view,) = await self._backend.get([key])
        if view is None:
            raise InstanceNotFoundError
        refuse_parked(view.record.status)
        return view.record

    def _starts_later(self, record: InstanceRecord) -> bool:
        start_at = record.scheduled_start_at
        return (
            record.status is RuntimeStatus.PENDING
            and start_at is not None
            and start_at > self._clock.now()
        )

    async def _terminate_below(
        self, key: InstanceKey, request: pb.ExecutionTerminatedEvent
    ) -> None:
        """Reach the descendants of an ended instance, which can't pass the request on itself."""
        live = await live_below(self._backend, key, await children_of(self._backend, key))
        context = TurnContext(key.app_id, self._clock.now(), lambda: str(uuid.uuid4()))
        for deliver in terminations([found.record.key for found in live], request, context):
            await self._lane.write(deliver)


def _is_or_stands(wanted: RuntimeStatus) -> Condition:
    """Return the condition that a status is reached, or that nothing will change by itself."""
    return lambda status: status is wanted or status.is_terminal or status is RuntimeStatus.STALLED

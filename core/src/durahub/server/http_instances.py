"""HTTP endpoints of our own about instances: find, count, look, wait, start, steer, remove."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel
from starlette.responses import Response

from durahub.engine.client import Client, has_ended, has_started
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.server.http_endpoint import Call, Endpoint, Handler, document
from durahub.server.http_schemas import (
    CountQuery,
    Counts,
    Empty,
    EventBody,
    History,
    HistoryQuery,
    Instance,
    InstanceList,
    ListQuery,
    LookQuery,
    PurgeBody,
    Purged,
    ReasonBody,
    RerunBody,
    StartBody,
    Started,
    TerminateBody,
    WaitQuery,
)
from durahub.server.operations import Operation, purging
from durahub.types import AppId, InstanceKey

PREFIX = "/durahub/v1"
"""Under which all routes of our own are."""

_INSTANCES = f"{PREFIX}/instances"
_INSTANCE = f"{_INSTANCES}/{{instanceID}}"


def instance_endpoints(client: Client, app_id: AppId) -> Sequence[Endpoint]:
    """Return the endpoints.

    Args:
        client: Carries out what they ask.
        app_id: The application whose instances they are about.
    """
    instances = _Instances(client, app_id)
    return [*instances.listings(), *instances.readings(), *instances.changes()]


class _Instances:
    def __init__(self, client: Client, app_id: AppId) -> None:
        self._client = client
        self._app_id = app_id

    def listings(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                method="GET",
                path=_INSTANCES,
                operation=Operation.LIST,
                summary="Find instances; a page may be short or empty although more follow",
                handler=self._list,
                query=ListQuery,
                success={200: InstanceList},
                errors=(400,),
            ),
            Endpoint(
                method="GET",
                path=f"{PREFIX}/instance-counts",
                operation=Operation.LIST,
                summary="Count instances by status; of a large store, in parts",
                handler=self._count,
                query=CountQuery,
                success={200: Counts},
                errors=(400,),
            ),
        ]

    def readings(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                method="GET",
                path=_INSTANCE,
                operation=Operation.GET,
                summary="Look at an instance",
                handler=self._look,
                query=LookQuery,
                success={200: Instance},
                errors=(400, 404),
            ),
            Endpoint(
                method="GET",
                path=f"{_INSTANCE}/history",
                operation=Operation.HISTORY,
                summary="Read a part of an instance's history",
                handler=self._history,
                query=HistoryQuery,
                success={200: History},
                errors=(400, 404),
            ),
            Endpoint(
                method="GET",
                path=f"{_INSTANCE}/wait",
                operation=Operation.GET,
                summary="Wait until an instance has started or ended; 202 when the time is over before",
                handler=self._wait,
                query=WaitQuery,
                success={200: Instance, 202: Instance},
                errors=(400, 404),
            ),
        ]

    def changes(self) -> Sequence[Endpoint]:
        return [
            Endpoint(
                method="POST",
                path=_INSTANCES,
                operation=Operation.START,
                summary="Start a workflow; does not wait for the start",
                handler=self._start,
                body=StartBody,
                success={202: Started},
                errors=(400, 409),
            ),
            self._change("events", Operation.RAISE, self._raise_event, EventBody),
            self._change("suspend", Operation.SUSPEND, self._suspend, ReasonBody),
            self._change("resume", Operation.RESUME, self._resume, ReasonBody),
            self._change("terminate", Operation.TERMINATE, self._terminate, TerminateBody),
            Endpoint(
                method="POST",
                path=f"{_INSTANCE}/purge",
                operation=Operation.PURGE,
                summary="Remove an instance and what is below it; `force` needs a right of its own",
                handler=self._purge,
                body=PurgeBody,
                success={200: Purged},
                errors=(400, 404, 409),
            ),
            Endpoint(
                method="POST",
                path=f"{_INSTANCE}/rerun",
                operation=Operation.RERUN,
                summary="Start an ended instance over from one of its events, as a new instance",
                handler=self._rerun,
                body=RerunBody,
                success={202: Started},
                errors=(400, 404, 409),
            ),
        ]

    def _change(
        self, name: str, operation: Operation, handler: Handler, body: type[BaseModel]
    ) -> Endpoint:
        return Endpoint(
            method="POST",
            path=f"{_INSTANCE}/{name}",
            operation=operation,
            summary=f"{operation.purpose.capitalize()}; does not wait for the effect",
            handler=handler,
            body=body,
            success={202: Empty},
            errors=(400, 404, 409),
        )

    async def _list(self, call: Call) -> Response:
        query = call.query(ListQuery)
        page = await self._client.find(
            query.filter().selection(may_see=call.caller.may_see),
            limit=query.limit,
            page_token=query.page_token,
        )
        found = [Instance.of(record) for record in page.instances]
        return document(InstanceList(instances=found, next_page_token=page.next_token))

    async def _count(self, call: Call) -> Response:
        query = call.query(CountQuery)
        counted = await self._client.count(
            query.filter().selection(may_see=call.caller.may_see), page_token=query.page_token
        )
        by_status = {status.name: count for status, count in counted.by_status.items()}
        return document(
            Counts(
                total=sum(by_status.values()),
                by_status=by_status,  # type: ignore[arg-type]  # the names are those of the literal
                next_page_token=counted.next_token,
            )
        )

    async def _look(self, call: Call) -> Response:
        query, key = call.query(LookQuery), self._key(call)
        await call.admit_instance(key)
        return document(Instance.of_view(await self._client.look(key, payloads=query.payloads)))

    async def _history(self, call: Call) -> Response:
        query, key = call.query(HistoryQuery), self._key(call)
        await call.admit_instance(key)
        history = await self._client.committed(key.instance_id)
        end = min(query.start + query.limit, len(history.events))
        events = (pb.HistoryEvent.FromString(raw) for raw in history.events[query.start : end])
        return document(
            History(
                execution_id=history.record.execution_id,
                generation=history.record.generation,
                status=history.record.status.name,  # type: ignore[arg-type]  # as above
                events=[MessageToDict(event) for event in events],
                next=max(end, query.start),
                is_last=end == len(history.events),
            )
        )

    async def _wait(self, call: Call) -> Response:
        query, key = call.query(WaitQuery), self._key(call)
        await call.admit_instance(key)
        status = 200
        condition = has_started if query.what == "started" else has_ended
        try:
            async with asyncio.timeout(query.timeout):
                view = await self._client.look_once(key, condition, payloads=query.payloads)
        except TimeoutError:
            view = await self._client.look(key, payloads=query.payloads)
            status = 202
        # By now another workflow may have the id.
        call.admit(view.record.name)
        return document(Instance.of_view(view), status=status)

    async def _start(self, call: Call) -> Response:
        body = await call.body(StartBody)
        call.admit(body.name)
        # The id may be that of an ended instance, which is replaced.
        await call.admit_instance(InstanceKey(self._app_id, body.instance_id))
        request = pb.CreateInstanceRequest(
            instanceId=body.instance_id,
            name=body.name,
            tags=body.tags,
            enforceUniqueInstanceId=body.enforce_unique_id,
        )
        if body.input is not None:
            request.input.value = body.input
        if body.version is not None:
            request.version.value = body.version
        if body.scheduled_start_at is not None:
            request.scheduledStartTimestamp.CopyFrom(to_timestamp(body.scheduled_start_at))
        started = await self._client.start(request, wait=False)
        return document(Started(instance_id=started.instanceId), status=202)

    async def _raise_event(self, call: Call) -> Response:
        key = await self._admitted(call)
        body = await call.body(EventBody)
        request = pb.RaiseEventRequest(instanceId=key.instance_id, name=body.name)
        if body.data is not None:
            request.input.value = body.data
        await self._client.raise_event(request)
        return document(Empty(), status=202)

    async def _suspend(self, call: Call) -> Response:
        key = await self._admitted(call)
        request = pb.SuspendRequest(instanceId=key.instance_id)
        request.reason.value = (await call.body(ReasonBody)).reason
        await self._client.suspend(request, wait=False)
        return document(Empty(), status=202)

    async def _resume(self, call: Call) -> Response:
        key = await self._admitted(call)
        request = pb.ResumeRequest(instanceId=key.instance_id)
        request.reason.value = (await call.body(ReasonBody)).reason
        await self._client.resume(request, wait=False)
        return document(Empty(), status=202)

    async def _terminate(self, call: Call) -> Response:
        key = await self._admitted(call)
        body = await call.body(TerminateBody)
        request = pb.TerminateRequest(instanceId=key.instance_id, recursive=body.recursive)
        if body.output is not None:
            request.output.value = body.output
        await self._client.terminate(request, wait=False)
        return document(Empty(), status=202)

    async def _purge(self, call: Call) -> Response:
        body, key = await call.body(PurgeBody), self._key(call)
        await call.admit_instance(key, purging(is_selection=False, is_forced=body.force))
        purged = await self._client.purge(
            pb.PurgeInstancesRequest(
                instanceId=key.instance_id, recursive=body.recursive, force=body.force
            )
        )
        return document(Purged(purged=purged.deletedInstanceCount))

    async def _rerun(self, call: Call) -> Response:
        key = await self._admitted(call)
        body = await call.body(RerunBody)
        request = pb.RerunWorkflowFromEventRequest(
            sourceInstanceID=key.instance_id,
            eventID=body.event_id,
            newInstanceID=body.new_instance_id or None,
            overwriteInput="input" in body.model_fields_set,
            newChildWorkflowInstanceID=body.new_child_instance_id or None,
        )
        if body.input is not None:
            request.input.value = body.input
        rerun = await self._client.rerun(request, wait=False)
        return document(Started(instance_id=rerun.newInstanceID), status=202)

    async def _admitted(self, call: Call) -> InstanceKey:
        key = self._key(call)
        await call.admit_instance(key)
        return key

    def _key(self, call: Call) -> InstanceKey:
        return InstanceKey(self._app_id, call.path["instanceID"])

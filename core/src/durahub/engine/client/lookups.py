"""Looking at instances, and waiting for what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from durahub.backend import InstanceHistory, InstanceQuery, InstanceView
from durahub.engine.client.part import ClientPart, any_name, has_ended, has_started, refuse
from durahub.engine.describe import instance_response
from durahub.engine.events import visible_events
from durahub.engine.sizes import id_objection
from durahub.engine.watchers import Condition
from durahub.errors import BackendError, InstanceNotFoundError, InvalidRequestError
from durahub.protocol import messages as pb
from durahub.protocol.frames import history_response_bytes
from durahub.types import InstanceKey

DEFAULT_PAGE_SIZE = 1024
"""Ids on a page if the client does not say how many (Dapr)."""
MAX_PAGE_SIZE = 10_000
"""Most ids on a page, whatever the client asks for."""


class Lookups(ClientPart):
    """Changes nothing."""

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
        return await self._wait(request, has_started)

    async def wait_for_completion(self, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
        """Return what is known of an instance once it has ended.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        return await self._wait(request, has_ended)

    async def look(self, key: InstanceKey, *, payloads: bool = False) -> InstanceView:
        """Return an instance as the store shows it now.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InvalidRequestError: There can be none with such an id.
        """
        refuse(id_objection(key.instance_id))
        (view,) = await self._backend.get([key], payloads=payloads)
        if view is None:
            raise InstanceNotFoundError
        return view

    async def look_once(
        self, key: InstanceKey, condition: Condition, *, payloads: bool = False
    ) -> InstanceView:
        """Return an instance once its status fulfils a condition, `has_started` or `has_ended`.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        # The result is read inside: what is watched is not removed by a retention policy.
        with self._watchers.watch(key, condition) as watch:
            await watch.outcome()
            return await self.look(key, payloads=payloads)

    async def committed(self, instance_id: str) -> InstanceHistory:
        """Return an instance's record and committed history, as clients may see its events.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InvalidRequestError: There can be none with such an id.
        """
        refuse(id_objection(instance_id))
        (history,) = await self._backend.history([InstanceKey(self._app_id, instance_id)])
        if history is None:
            raise InstanceNotFoundError(f"workflow instance '{instance_id}' not found")
        return replace(history, events=tuple(visible_events(history.events)))

    async def history(self, request: pb.GetInstanceHistoryRequest) -> bytes:
        """Return the serialised GetInstanceHistoryResponse with the committed history.

        Raises:
            InstanceNotFoundError: There is no such instance.
        """
        history = await self.committed(request.instanceId)
        return history_response_bytes(history.events)

    async def list_ids(
        self, request: pb.ListInstanceIDsRequest, *, may_see: Callable[[str], bool] = any_name
    ) -> pb.ListInstanceIDsResponse:
        """Return one page of the ids of the application's instances, in order of creation.

        A page may be shorter than asked for; the last one is that without a continuation token.

        Args:
            request: Which page.
            may_see: Tells of a workflow's name whether its instances are listed.

        Raises:
            InvalidRequestError: The continuation token is none that this store gave out.
        """
        query = InstanceQuery(
            app_id=self._app_id,
            page_size=min(request.pageSize or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
            page_token=request.continuationToken or None,
        )
        try:
            page = await self._backend.list_instances(query)
        except BackendError as error:
            if error.retryable or query.page_token is None:
                raise
            raise InvalidRequestError(f"the continuation token is not valid: {error}") from error
        response = pb.ListInstanceIDsResponse(
            instanceIds=[
                record.key.instance_id for record in page.instances if may_see(record.name)
            ]
        )
        if page.next_token is not None:
            response.continuationToken = page.next_token
        return response

    async def _wait(
        self, request: pb.GetInstanceRequest, condition: Condition
    ) -> pb.GetInstanceResponse:
        view = await self.look_once(
            self._key(request), condition, payloads=request.getInputsAndOutputs
        )
        return instance_response(view)

"""Removing instances: one, all below it, or all that match a filter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from durahub.backend import (
    InstanceMissing,
    InstanceNotEnded,
    InstanceQuery,
    InstanceRecord,
    PurgeInstance,
)
from durahub.engine.client.part import ClientPart, any_name, refuse_parked
from durahub.engine.descendants import children_of, linked_children
from durahub.errors import (
    InstanceNotCompletedError,
    InstanceNotFoundError,
    InstanceStalledError,
)
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil
from durahub.types import TERMINAL_STATUSES, AppId, ExecutionId, InstanceKey, RuntimeStatus

PURGED_AT_ONCE = 100
"""Most instances of a filter that are being removed at a time."""


class Purges(ClientPart):
    """Removes every trace of instances."""

    async def purge(
        self, request: pb.PurgeInstancesRequest, *, may_see: Callable[[str], bool] = any_name
    ) -> pb.PurgeInstancesResponse:
        """Remove what the request names, and with `recursive` all below it first; the count is all removed.

        That is one instance, or with a filter every one that was created in `[from, to)` and has one of
        the statuses; those that have not ended are left alone, unless `force` is set.

        Args:
            request: What to remove.
            may_see: Tells of a workflow's name whether a filter selects its instances.

        Raises:
            InstanceNotFoundError: There is no such instance.
            InstanceNotCompletedError: One of them has not ended, and `force` is not set. What was
                removed before it stays removed. Not with a filter.
            InstanceStalledError: One of them is parked, and `force` is not set. Not with a filter.
        """
        removal = Removal(recursive=request.recursive, force=request.force)
        if request.HasField("purgeInstanceFilter"):
            query = _query(request.purgeInstanceFilter, self._target(request), force=request.force)
            await self._purge_matching(query, removal, may_see)
        else:
            await self._purge(self._key(request), removal)
        response = pb.PurgeInstancesResponse(deletedInstanceCount=removal.count)
        if request.HasField("purgeInstanceFilter"):
            response.isComplete.value = True
        return response

    async def _purge_matching(
        self, query: InstanceQuery | None, removal: Removal, may_see: Callable[[str], bool]
    ) -> None:
        while query is not None:
            page = await self._backend.list_instances(query)
            outcomes = await asyncio.gather(
                *(
                    self._purge_selected(record, removal)
                    for record in page.instances
                    if may_see(record.name)
                ),
                return_exceptions=True,  # none may go on by itself after another has failed
            )
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
            query = replace(query, page_token=page.next_token) if page.next_token else None

    async def _purge_selected(self, record: InstanceRecord, removal: Removal) -> None:
        """Remove an instance if it still is what a filter selected, and may be removed."""
        try:
            await self._purge(record.key, removal, record.execution_id)
        except (InstanceNotFoundError, InstanceNotCompletedError, InstanceStalledError):
            return

    async def _purge(
        self, key: InstanceKey, removal: Removal, execution_id: ExecutionId | None = None
    ) -> None:
        """Remove an instance, with what is below it if need be; of that generation only, if one is given."""
        if removal.recursive:
            await self._purge_below(key, removal, execution_id)
        result = await self._lane.write(
            PurgeInstance(key=key, execution_id=execution_id, force=removal.force)
        )
        if isinstance(result, InstanceMissing):
            raise InstanceNotFoundError
        if isinstance(result, InstanceNotEnded):
            _refuse_unended(result.status)
        self._watchers.tell(key, None)
        removal.count += 1

    async def _purge_below(
        self, key: InstanceKey, removal: Removal, execution_id: ExecutionId | None
    ) -> None:
        (view,) = await self._backend.get([key])
        if view is None or execution_id not in (None, view.record.execution_id):
            raise InstanceNotFoundError
        if not removal.force:
            _refuse_unended(view.record.status)
        children = await children_of(self._backend, key)
        for child in await linked_children(self._backend, key, children):
            # One that has ended is only ever followed by a stranger; one that runs, by itself.
            generation = None if removal.force else child.execution_id
            try:
                await self._purge(child.key, removal, generation)
            except InstanceNotFoundError:
                continue  # purged meanwhile, by somebody else
            except (InstanceNotCompletedError, InstanceStalledError) as error:
                place = "child" if child.key.app_id == key.app_id else "cross-app child"
                raise type(error)(f"failed to purge {place} workflow: {error}") from error


class Removal:
    """What one request asks for, and how many instances it has removed so far.

    Attributes:
        recursive: Whether what is below goes too.
        force: Whether what has not ended goes too.
        count: Instances removed so far.
    """

    def __init__(self, *, recursive: bool, force: bool) -> None:
        self.recursive = recursive
        self.force = force
        self.count = 0


def _query(wanted: pb.PurgeInstanceFilter, app_id: AppId, *, force: bool) -> InstanceQuery | None:
    """Return the query for what a filter selects and may be removed, None if that is nothing."""
    asked = {int(number) for number in wanted.runtimeStatus}
    removable = RuntimeStatus if force else TERMINAL_STATUSES
    statuses = tuple(status for status in removable if not asked or status in asked)
    if not statuses:
        return None
    return InstanceQuery(
        app_id=app_id,
        statuses=statuses,
        created_from=(
            from_timestamp_ceil(wanted.createdTimeFrom)
            if wanted.HasField("createdTimeFrom")
            else None
        ),
        created_to=(
            from_timestamp_ceil(wanted.createdTimeTo) if wanted.HasField("createdTimeTo") else None
        ),
        page_size=PURGED_AT_ONCE,
    )


def _refuse_unended(status: RuntimeStatus) -> None:
    refuse_parked(status)
    if not status.is_terminal:
        raise InstanceNotCompletedError

"""Telling or removing all instances that a selection selects, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from durahub.backend import InstanceRecord
from durahub.engine.client.purges import Purges, Removal
from durahub.engine.client.requests import Requests
from durahub.engine.client.selections import Selection, Selections
from durahub.errors import (
    InstanceNotFoundError,
    RequestError,
)
from durahub.protocol import messages as pb
from durahub.types import TERMINAL_STATUSES, RuntimeStatus

_SUSPENDABLE = (RuntimeStatus.RUNNING, RuntimeStatus.PENDING)
_RESUMABLE = (RuntimeStatus.SUSPENDED,)
_UNENDED = tuple(status for status in RuntimeStatus if not status.is_terminal)

Work = Callable[[InstanceRecord], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPage:
    """Which part of a selection something is done to.

    Attributes:
        selection: What is selected.
        limit: Most instances at once, 1 to `MAX_FOUND`.
        page_token: `next_token` of the outcome before; None for the beginning.
        dry_run: Only find out what it would be done to.
    """

    selection: Selection
    limit: int
    page_token: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOutcome:
    """What became of one page.

    Attributes:
        matched: Ids of the instances that are selected and that it makes sense for.
        done: Ids of those that it was done to; what ended or disappeared meanwhile is left out.
        failed: Ids of those that refused, each with the reason.
        next_token: Go on with it; None if that was all.
    """

    matched: tuple[str, ...]
    done: tuple[str, ...]
    failed: tuple[tuple[str, RequestError], ...]
    next_token: str | None


class Bulk(Selections, Requests, Purges):
    """Does to many what the others do to one.

    Every method returns after what it did is durable, and waits for no effect on the workflows. Instances
    are independent of each other. After an error of the store, or a crash, some have it done to them and
    some have not; asking for the same page again is safe.
    """

    async def suspend_each(self, page: BulkPage, *, reason: str = "") -> BulkOutcome:
        """Suspend the selected instances that are running or pending.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """

        async def suspend(record: InstanceRecord) -> None:
            request = pb.SuspendRequest(instanceId=record.key.instance_id)
            request.reason.value = reason
            await self.suspend(request, wait=False)

        return await self._for_each(page, _SUSPENDABLE, suspend)

    async def resume_each(self, page: BulkPage, *, reason: str = "") -> BulkOutcome:
        """Resume the selected instances that are suspended.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """

        async def resume(record: InstanceRecord) -> None:
            request = pb.ResumeRequest(instanceId=record.key.instance_id)
            request.reason.value = reason
            await self.resume(request, wait=False)

        return await self._for_each(page, _RESUMABLE, resume)

    async def terminate_each(
        self, page: BulkPage, *, output: str | None = None, recursive: bool = True
    ) -> BulkOutcome:
        """Ask the selected instances that have not ended to end, and with `recursive` those below them.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """

        async def terminate(record: InstanceRecord) -> None:
            request = pb.TerminateRequest(instanceId=record.key.instance_id, recursive=recursive)
            if output is not None:
                request.output.value = output
            await self.terminate(request, wait=False)

        return await self._for_each(page, _UNENDED, terminate)

    async def purge_each(
        self, page: BulkPage, *, recursive: bool = True, force: bool = False
    ) -> BulkOutcome:
        """Remove the selected instances that have ended, with `force` all, and with `recursive` those below.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """

        async def purge(record: InstanceRecord) -> None:
            removal = Removal(recursive=recursive, force=force)
            await self._purge(record.key, removal, record.execution_id)

        statuses = tuple(RuntimeStatus) if force else TERMINAL_STATUSES
        return await self._for_each(page, statuses, purge)

    async def _for_each(
        self, page: BulkPage, statuses: tuple[RuntimeStatus, ...], work: Work
    ) -> BulkOutcome:
        asked = page.selection.statuses
        fitting = tuple(status for status in statuses if not asked or status in asked)
        if not fitting:
            return BulkOutcome(matched=(), done=(), failed=(), next_token=None)
        selection = replace(page.selection, statuses=fitting)
        found = await self.find(selection, limit=page.limit, page_token=page.page_token)
        matched = tuple(record.key.instance_id for record in found.instances)
        outcomes: list[BaseException | None] = []
        if not page.dry_run:
            outcomes = await asyncio.gather(
                *(work(record) for record in found.instances),
                return_exceptions=True,  # none may go on by itself after another has failed
            )
        return _outcome(matched, outcomes, found.next_token)


def _outcome(
    matched: tuple[str, ...], outcomes: list[BaseException | None], next_token: str | None
) -> BulkOutcome:
    done: list[str] = []
    failed: list[tuple[str, RequestError]] = []
    for instance_id, outcome in zip(matched, outcomes, strict=False):
        if outcome is None:
            done.append(instance_id)
        elif isinstance(outcome, InstanceNotFoundError):
            continue
        elif isinstance(outcome, RequestError):
            failed.append((instance_id, outcome))
        else:
            raise outcome
    return BulkOutcome(
        matched=matched, done=tuple(done), failed=tuple(failed), next_token=next_token
    )

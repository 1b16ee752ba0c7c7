"""HTTP endpoints of our own that do something to all instances that a filter selects."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel
from starlette.responses import Response

from durahub.engine.client import BulkOutcome, BulkPage, Client
from durahub.errors import RequestError
from durahub.server.access import authorize
from durahub.server.admission import refuse
from durahub.server.api_errors import MALFORMED, ApiError, plain_error
from durahub.server.http_endpoint import Call, Endpoint, Handler, document
from durahub.server.http_instances import PREFIX
from durahub.server.http_schemas import (
    BulkAnswer,
    BulkBody,
    BulkFailure,
    BulkPurgeBody,
    BulkReasonBody,
    BulkTerminateBody,
)
from durahub.server.operations import Operation, purging


def bulk_endpoints(client: Client) -> Sequence[Endpoint]:
    """Return the endpoints, about instances of the client's application."""
    bulk = _Bulk(client)
    return [
        _endpoint("suspend", Operation.BULK_SUSPEND, bulk.suspend, BulkReasonBody),
        _endpoint("resume", Operation.BULK_RESUME, bulk.resume, BulkReasonBody),
        _endpoint("terminate", Operation.BULK_TERMINATE, bulk.terminate, BulkTerminateBody),
        _endpoint("purge", Operation.BULK_PURGE, bulk.purge, BulkPurgeBody),
    ]


def _endpoint(name: str, operation: Operation, handler: Handler, body: type[BaseModel]) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{PREFIX}/bulk/{name}",
        operation=operation,
        summary=f"{operation.purpose.capitalize()}, a page at a time; does not wait for the effect",
        handler=handler,
        body=body,
        success={200: BulkAnswer},
        errors=(400,),
    )


class _Bulk:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def suspend(self, call: Call) -> Response:
        body = await call.body(BulkReasonBody)
        page = _page(call, body)
        return _answer(body, await self._client.suspend_each(page, reason=body.reason))

    async def resume(self, call: Call) -> Response:
        body = await call.body(BulkReasonBody)
        page = _page(call, body)
        return _answer(body, await self._client.resume_each(page, reason=body.reason))

    async def terminate(self, call: Call) -> Response:
        body = await call.body(BulkTerminateBody)
        outcome = await self._client.terminate_each(
            _page(call, body), output=body.output, recursive=body.recursive
        )
        return _answer(body, outcome)

    async def purge(self, call: Call) -> Response:
        body = await call.body(BulkPurgeBody)
        refuse(authorize(call.caller, purging(is_selection=True, is_forced=body.force)))
        outcome = await self._client.purge_each(
            _page(call, body), recursive=body.recursive, force=body.force
        )
        return _answer(body, outcome)


def _page(call: Call, body: BulkBody) -> BulkPage:
    selection = body.filter.selection(may_see=call.caller.may_see)
    if selection.is_everything and not body.all:
        raise ApiError(
            400, MALFORMED, 'the filter is empty: send "all": true if all instances are meant'
        )
    return BulkPage(
        selection=selection, limit=body.limit, page_token=body.page_token, dry_run=body.dry_run
    )


def _answer(body: BulkBody, outcome: BulkOutcome) -> Response:
    return document(
        BulkAnswer(
            dry_run=body.dry_run,
            matched=list(outcome.matched),
            done=list(outcome.done),
            failed=[_failure(instance_id, error) for instance_id, error in outcome.failed],
            next_page_token=outcome.next_token,
        )
    )


def _failure(instance_id: str, error: RequestError) -> BulkFailure:
    refusal = plain_error(error)
    error_code = refusal.error_code if refusal else "ERR_REFUSED"
    return BulkFailure(instance_id=instance_id, error_code=error_code, message=str(error))

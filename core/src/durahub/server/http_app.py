"""The HTTP API: Dapr's routes, and ours under `/durahub/v1`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from durahub.engine.client import Client
from durahub.errors import DurahubError
from durahub.server.access import AccessControl, authorize
from durahub.server.admission import UnknownCallerError, refuse
from durahub.server.api_errors import ApiError
from durahub.server.dapr_workflows import DaprWorkflows
from durahub.server.http_bulk import bulk_endpoints
from durahub.server.http_dapr import dapr_endpoints
from durahub.server.http_endpoint import (
    TOKEN_HEADER,
    Endpoint,
    Surroundings,
    answer,
)
from durahub.server.http_instances import PREFIX, instance_endpoints
from durahub.server.http_openapi import openapi_document
from durahub.server.http_sidecar import sidecar_endpoints
from durahub.server.metadata import Metadata
from durahub.server.open_waits import OpenWaits
from durahub.server.operations import Operation
from durahub.server.status import SidecarStatus
from durahub.types import AppId

_log = logging.getLogger("durahub.server.http")


def build_http_app(
    status: SidecarStatus,
    client: Client,
    metadata: Metadata,
    *,
    access: AccessControl,
    max_body_bytes: int | None,
    waits: OpenWaits | None = None,
) -> Starlette:
    """Return the HTTP API of a sidecar.

    Args:
        status: The sidecar; asked anew for every request.
        client: Carries out what is about workflows; used while the sidecar serves.
        metadata: What the sidecar tells about itself.
        access: Whose tokens count; asked anew for every request.
        max_body_bytes: Largest body; None for no limit.
        waits: Ends calls that wait when the sidecar stops; None: nothing does.
    """
    surroundings = Surroundings(
        access=access,
        client=client,
        is_serving=lambda: status.is_serving,
        max_body_bytes=max_body_bytes,
        waits=waits or OpenWaits(),
    )
    return app_of(all_endpoints(status, client, metadata), surroundings)


def app_of(endpoints: Iterable[Endpoint], surroundings: Surroundings) -> Starlette:
    """Return the application that answers calls of endpoints.

    Args:
        endpoints: Each with a method of a path that no other has.
        surroundings: What their calls need to know.
    """
    app = Starlette(
        routes=[_route(path, methods, surroundings) for path, methods in _by_path(endpoints)],
        middleware=[Middleware(_RawPaths)],
        exception_handlers={HTTPException: _refusing(surroundings.access), ApiError: _explain},
    )
    app.router.redirect_slashes = False
    return app


def all_endpoints(status: SidecarStatus, client: Client, metadata: Metadata) -> Sequence[Endpoint]:
    """Return every endpoint, the OpenAPI document's included.

    Args:
        status: As `build_http_app`.
        client: As `build_http_app`.
        metadata: As `build_http_app`.
    """
    app_id = AppId(status.app_id)
    described = [
        *sidecar_endpoints(status, metadata),
        *dapr_endpoints(DaprWorkflows(client), app_id),
        *instance_endpoints(client, app_id),
        *bulk_endpoints(client),
    ]

    async def describe(_: object) -> Response:
        return JSONResponse(openapi_document([*described, own]))

    own = Endpoint(
        method="GET",
        path=f"{PREFIX}/openapi.json",
        operation=Operation.DESCRIBE,
        summary="This document",
        handler=describe,
        success={200: None},
        needs_engine=False,
    )
    return [*described, own]


def _by_path(endpoints: Iterable[Endpoint]) -> Iterable[tuple[str, Mapping[str, Endpoint]]]:
    found: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return found.items()


def _route(path: str, methods: Mapping[str, Endpoint], surroundings: Surroundings) -> Route:
    async def run(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return await answer(methods[method], surroundings, request, request.path_params)
        except ApiError:
            raise
        except Exception as error:
            _log.error("request failed", extra={"method": method, "path": path}, exc_info=error)
            # Messages of our own errors are for everybody; others may tell what they should not.
            text = str(error) if isinstance(error, DurahubError) else "internal error; see the log"
            raise ApiError(500, "ERR_INTERNAL", text) from error

    return Route(path, run, methods=list(methods))


async def _explain(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    if isinstance(error, UnknownCallerError):
        return PlainTextResponse(error.message, status_code=error.status)
    return _error(error.status, error.error_code, error.message)


def _error(code: int, error_code: str, message: str) -> JSONResponse:
    return JSONResponse({"errorCode": error_code, "message": message}, status_code=code)


_ERROR_CODES = {404: "ERR_NOT_FOUND", 405: "ERR_METHOD_NOT_ALLOWED"}


def _refusing(access: AccessControl) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers for paths and methods that are not there."""

    async def refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        caller = access.identify(request.headers.get(TOKEN_HEADER))
        try:
            refuse(authorize(caller, Operation.UNSERVED))
        except ApiError as refused:
            return await _explain(request, refused)
        # The router's own message is only the name of the status.
        where = f"{request.method} {request.url.path}"
        response = _error(
            error.status_code,
            _ERROR_CODES.get(error.status_code, "ERR_REFUSED"),
            f"{where}: {error.detail}",
        )
        response.headers.update(error.headers or {})
        return response

    return refusal


class _RawPaths:
    """Lets routes see paths as they were sent, so that a parameter may have an encoded slash in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)

"""The HTTP API: health, metadata, shutdown."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from durahub.server.access import AccessControl, Decision, Verdict, authorize
from durahub.server.operations import Operation
from durahub.server.status import SidecarStatus

MAX_ATTRIBUTE_BYTES = 64 * 1024
"""Largest value of one metadata attribute."""
MAX_ATTRIBUTES = 100
"""Attributes that clients may add; tools add a handful."""

_NO_CONTENT = 204
_OPERATIONS = {
    ("GET", "/v1.0/healthz"): Operation.HEALTH,
    ("GET", "/v1.0/healthz/outbound"): Operation.HEALTH,
    ("GET", "/v1.0/metadata"): Operation.METADATA_READ,
    ("POST", "/v1.0/shutdown"): Operation.SHUTDOWN,
}


def build_http_app(status: SidecarStatus, *, access: AccessControl | None = None) -> Starlette:
    """Return the HTTP API of a sidecar.

    Args:
        status: The sidecar; asked anew for every request.
        access: Who may ask for what, by the token in the header `dapr-api-token`; None lets everybody.
    """
    api = _Api(status)
    return Starlette(
        routes=[
            Route("/v1.0/healthz", api.health, methods=["GET"]),
            Route("/v1.0/healthz/outbound", api.outbound_health, methods=["GET"]),
            Route("/v1.0/metadata", api.metadata, methods=["GET"]),
            Route("/v1.0/metadata/{key}", api.set_attribute, methods=["PUT"]),
            Route("/v1.0/shutdown", api.shutdown, methods=["POST"]),
        ],
        middleware=[] if access is None else [Middleware(_TokenGuard, access=access)],
        exception_handlers={HTTPException: _refusal},
    )


class _Api:
    """The endpoints."""

    def __init__(self, status: SidecarStatus) -> None:
        self._status = status
        self._attributes: dict[str, str] = {}

    async def health(self, request: Request) -> Response:
        expected = request.query_params.get("appid", self._status.app_id)
        if expected != self._status.app_id:
            message = f"this sidecar serves app id {self._status.app_id!r}, not {expected!r}"
            return _error(500, "ERR_HEALTH_APPID_NOT_MATCH", message)
        if not self._status.is_ready:
            return _error(500, "ERR_HEALTH_NOT_READY", "durahub is not ready")
        return Response(status_code=_NO_CONTENT)

    async def outbound_health(self, _request: Request) -> Response:
        if not self._status.is_serving:
            message = "durahub outbound is not ready"
            return _error(500, "ERR_OUTBOUND_HEALTH_NOT_READY", message)
        return Response(status_code=_NO_CONTENT)

    async def metadata(self, _request: Request) -> Response:
        return JSONResponse(_describe(self._status, self._attributes))

    async def set_attribute(self, request: Request) -> Response:
        key = request.path_params["key"]
        if key not in self._attributes and len(self._attributes) >= MAX_ATTRIBUTES:
            message = f"there are {MAX_ATTRIBUTES} attributes already"
            return _error(400, "ERR_METADATA_TOO_MANY", message)
        value = await _read_at_most(request, MAX_ATTRIBUTE_BYTES)
        self._attributes[key] = value.decode(errors="replace")
        return Response(status_code=_NO_CONTENT)

    async def shutdown(self, _request: Request) -> Response:
        self._status.request_stop("shutdown requested over HTTP")
        return Response(status_code=_NO_CONTENT)


def _describe(status: SidecarStatus, attributes: dict[str, str]) -> dict[str, object]:
    identity = status.identity
    return {
        "id": status.app_id,
        "runtimeVersion": identity.version,
        "enabledFeatures": [],
        "components": [],
        "extended": {"daprRuntimeVersion": identity.version, **attributes},
        "subscriptions": [],
        "httpEndpoints": [],
        "appConnectionProperties": {},
        "actorRuntime": {
            "runtimeStatus": "RUNNING" if status.is_serving else "INITIALIZING",
            "activeActors": [],
            "hostReady": status.is_ready,
            "placement": "",
        },
        "scheduler": {"connected_addresses": []},
        "workflows": {"connectedWorkers": status.connected_workers},
        "durahub": {
            "edition": identity.edition,
            "version": identity.version,
            "backend": {
                "type": identity.backend_type,
                "distribution": identity.backend_distribution,
                "version": identity.backend_version,
            },
            "parked": dict(status.parked),
        },
    }


async def _read_at_most(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)


def _error(code: int, error_code: str, message: str) -> JSONResponse:
    return JSONResponse({"errorCode": error_code, "message": message}, status_code=code)


_ERROR_CODES = {404: "ERR_NOT_FOUND", 405: "ERR_METHOD_NOT_ALLOWED", 413: "ERR_BODY_TOO_LARGE"}


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # The router's own message is only the name of the status.
    where = f"{request.method} {request.url.path}"
    response = _error(
        error.status_code,
        _ERROR_CODES.get(error.status_code, "ERR_REFUSED"),
        f"{where}: {error.detail}",
    )
    response.headers.update(error.headers or {})
    return response


class _TokenGuard:
    """Refuses requests without a token, or with one that does not give the right."""

    def __init__(self, app: ASGIApp, *, access: AccessControl) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = self._decide(scope)
        if decision.verdict is Verdict.UNKNOWN_CALLER:
            refusal: Response = PlainTextResponse("invalid api token", status_code=401)
            await refusal(scope, receive, send)
        elif not decision.is_allowed:
            refusal = _error(403, "ERR_PERMISSION_DENIED", decision.text)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _decide(self, scope: Scope) -> Decision:
        caller = self._access.identify(dict(scope["headers"]).get(b"dapr-api-token"))
        method, path = scope["method"], scope["path"]
        is_write = method == "PUT" and path.startswith("/v1.0/metadata/")
        other = Operation.METADATA_WRITE if is_write else Operation.UNSERVED
        return authorize(caller, _OPERATIONS.get((method, path), other))

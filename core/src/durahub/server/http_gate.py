"""What every HTTP request passes before the API: limits, parts that are denied, the log of calls."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from durahub.server.api_rules import OWN_VERSION, WORKFLOWS, ApiRules
from durahub.server.call_log import CallLog
from durahub.server.http_server import MAX_HEADER_BYTES

_PARTS = frozenset({WORKFLOWS, "metadata", "shutdown"})
_OWN = f"/{OWN_VERSION}/"
_DESCRIPTION = f"{_OWN}openapi.json"
_ABORTED = 499


class HttpGate:
    """Wraps the API. A part that is denied is not there: 404, as on Dapr. Too large headers end in 431."""

    def __init__(self, app: ASGIApp, *, rules: ApiRules, calls: CallLog) -> None:
        """Put it in front of an application.

        Args:
            app: The API.
            rules: Which parts of it there are.
            calls: Where to log.
        """
        self._app = app
        self._rules = rules
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _ABORTED

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._choose(scope)(scope, receive, noting)
        finally:
            agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
            self._calls.http(scope["method"], scope["path"], agent, status=status)

    def _choose(self, scope: Scope) -> ASGIApp:
        size = len(scope["raw_path"]) + len(scope["query_string"])
        if (
            size + sum(len(name) + len(value) for name, value in scope["headers"])
            > MAX_HEADER_BYTES
        ):
            return _TOO_LARGE
        return self._app if self._permits(scope["path"]) else _NOT_FOUND

    def _permits(self, path: str) -> bool:
        if path.startswith(_OWN):
            return path == _DESCRIPTION or self._rules.permits(WORKFLOWS, OWN_VERSION, "http")
        _, version, part, *_ = (*path.split("/", 3), "", "")
        return part not in _PARTS or self._rules.permits(part, version, "http")


_TOO_LARGE = JSONResponse(
    {
        "errorCode": "ERR_HEADERS_TOO_LARGE",
        "message": f"path, query and headers together may have {MAX_HEADER_BYTES} bytes",
    },
    status_code=431,
)
_NOT_FOUND = JSONResponse(
    {"errorCode": "ERR_NOT_FOUND", "message": "requested endpoint is not available"},
    status_code=404,
)

"""Serves routes over gRPC. The only module that knows the RPC library."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

# The library writes its own errors to stderr; what matters of them reaches the caller anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from durahub.errors import BackendUnavailableError, CapabilityNotSupportedError, StartupError
from durahub.server.access import NOBODY, AccessControl, Verdict, authorize
from durahub.server.api_rules import ApiRules
from durahub.server.call_log import CallLog
from durahub.server.listening import find_port, join_address
from durahub.server.open_streams import OpenStreams
from durahub.server.operations import operation_of
from durahub.server.rpc import (
    CallContext,
    DialogueRoute,
    Route,
    RpcError,
    StatusCode,
    StreamRoute,
    UnaryRoute,
)
from durahub.server.tls import Tls
from durahub.server.unserved import unserved_text

_log = logging.getLogger("durahub.server.grpc")

_Context = grpc.aio.ServicerContext[bytes, bytes]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_CODES_OF_ERRORS = (
    (BackendUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (CapabilityNotSupportedError, grpc.StatusCode.UNIMPLEMENTED),
)

IDLE_BEFORE_PING_S = 10.0
"""After this long without traffic the server asks a client whether it is still there."""
PING_TIMEOUT_S = 5.0
"""A client that does not answer a ping for this long has gone; what it worked on is given back."""

MAX_METADATA_BYTES = 16 * 1024
"""Most bytes of a call's headers, counted with 32 more for each; more ends in RESOURCE_EXHAUSTED."""

_NO_LIMIT = 2**31 - 1
_LAST_STATUSES_S = 2.0
"""A client that does not take the status of its stream for this long goes without it."""

UNAUTHORIZED = "Unauthorized"
"""What a caller without a valid token is told (Dapr)."""
NOT_AVAILABLE = "requested endpoint is not available"
"""What a caller of a denied part of the API is told (Dapr)."""
TOKEN_HEADER = "dapr-api-token"  # noqa: S105 - a header's name


class GrpcServer:
    """A gRPC server for a fixed set of routes.

    It serves from `start` to `stop`, both inside its `async with` block. Calls for unknown paths end
    with UNIMPLEMENTED and a text that names them, requests that do not decode with INVALID_ARGUMENT, too
    large ones with RESOURCE_EXHAUSTED, and errors that no handler foresaw with UNKNOWN. Clients may ping
    as often as they like.
    """

    def __init__(
        self,
        routes: Sequence[Route[Any]],
        *,
        hosts: Sequence[str],
        port: int,
        max_message_bytes: int | None,
        access: AccessControl | None = None,
        rules: ApiRules | None = None,
        calls: CallLog | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Prepare a server; does no I/O.

        Args:
            routes: What to serve; no two of the same path.
            hosts: IP addresses to listen on.
            port: 0 picks a free one.
            max_message_bytes: Largest request; None for no limit. What to send is for handlers to
                limit: they know how to end a work item that has grown too large.
            access: Who may call what, by the token in `dapr-api-token`; None lets everybody.
            rules: Which parts of the API there are; None for all.
            calls: Where calls are logged; None for nowhere.
            tls: Certificate and key; None for none.
        """
        self._hosts = hosts
        self._port = port
        self._streams = OpenStreams()
        self._tls = tls
        self._border = _Calls(
            self._streams, access or AccessControl(), rules or ApiRules(), calls or CallLog()
        )
        self._handlers = {route.path: self._border.handler_of(route) for route in routes}
        self._options = _server_options(max_message_bytes)
        self._server: grpc.aio.Server | None = None

    @property
    def port(self) -> int:
        """The port; inside the block, the real one."""
        return self._port

    async def __aenter__(self) -> Self:
        """Choose the port, if it is to be chosen, and make sure that it can be had.

        Raises:
            StartupError: The port can't be had on all addresses.
        """
        self._port = find_port(self._hosts, self._port, flag="--dapr-grpc-port")
        await self._streams.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop without grace, and wait until the iterators of all streams are closed."""
        await self.stop(0)
        await self._streams.__aexit__(kind, error, traceback)

    async def start(self) -> None:
        """Listen and serve; inside the block.

        Raises:
            StartupError: Another process took the port since the block was entered.
        """
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((_Paths(self._handlers, self._unserved),))
        try:
            for host in self._hosts:
                self._listen(server, join_address(host, self._port))
        except RuntimeError as error:
            raise StartupError(
                f"port {self._port} was taken by another process just now: start again,"
                " or choose another port with --dapr-grpc-port"
            ) from error
        self._server = server
        await server.start()

    def _unserved(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        return self._border.refusing_handler(path, unserved_text(path))

    def _listen(self, server: grpc.aio.Server, address: str) -> None:
        if self._tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, _credentials(self._tls))

    async def stop(self, grace_s: float) -> None:
        """End streams with CANCELLED at once, and give other calls `grace_s` seconds before they are cancelled.

        Idempotent.
        """
        self._streams.end_all()
        if self._server is not None:
            # The library's own end of a call, with another status, may overtake what is on its way.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_STATUSES_S):
                    await self._streams.all_told()
            await self._server.stop(grace_s)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    given = tls.pems

    def certificates() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(given.key, given.certificate)], given.client_ca
        )

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Return the certificates if there are others by now; asked at every new connection."""
        nonlocal given
        if given is tls.pems:
            return None
        given = tls.pems
        return certificates()

    return grpc.dynamic_ssl_server_credentials(
        certificates(),
        changed,  # type: ignore[arg-type]  # the stubs do not know that None means the same as before
        require_client_authentication=tls.asks_clients,
    )


def _server_options(max_message_bytes: int | None) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", -1 if max_message_bytes is None else max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # By default the library drops calls, without a word, once 1,000 of them wait for the loop; an SDK
        # never repeats a result that was dropped so, and its workflow would hang.
        ("grpc.server.max_pending_requests", _NO_LIMIT),
        ("grpc.server.max_pending_requests_hard_limit", _NO_LIMIT),
        # Without this a second process may silently share the port.
        ("grpc.so_reuseport", 0),
        # SDKs ping idle connections more often than the library's five minutes; by default it would
        # answer with GOAWAY "too_many_pings" and break their work-item streams.
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", int(IDLE_BEFORE_PING_S * 1000)),
        # The first is what the library documents; the second, a minute by default, is what counts.
        ("grpc.keepalive_timeout_ms", int(PING_TIMEOUT_S * 1000)),
        ("grpc.http2.ping_timeout_ms", int(PING_TIMEOUT_S * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
    ]


class _Paths(grpc.GenericRpcHandler):
    """Finds the handler of a path."""

    def __init__(
        self,
        handlers: Mapping[str, grpc.RpcMethodHandler[bytes, bytes]],
        unserved: Callable[[str], grpc.RpcMethodHandler[bytes, bytes]],
    ) -> None:
        self._handlers = handlers
        self._unserved = unserved

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        path = handler_call_details.method
        return self._handlers.get(path) or self._unserved(path)


class _Calls:
    """Runs the calls of one server: decodes, authorises, and turns errors into statuses."""

    def __init__(
        self, streams: OpenStreams, access: AccessControl, rules: ApiRules, calls: CallLog
    ) -> None:
        self._streams = streams
        self._access = access
        self._rules = rules
        self._calls = calls

    def handler_of(self, route: Route[Any]) -> grpc.RpcMethodHandler[bytes, bytes]:
        # Without (de)serialisers the library hands bytes through: decoding is done here, where its
        # errors can be told from those of handlers.
        if isinstance(route, UnaryRoute):
            return grpc.unary_unary_rpc_method_handler(self._unary(route))
        if isinstance(route, DialogueRoute):
            return grpc.stream_stream_rpc_method_handler(self._dialogue(route))
        return grpc.unary_stream_rpc_method_handler(self._stream(route))

    def refusing_handler(self, path: str, text: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return what answers UNIMPLEMENTED, however many requests and responses a method has."""

        async def call(_requests: AsyncIterator[bytes], context: _Context) -> None:
            try:
                self._admit(context, path)
            except RpcError as error:
                await _refuse(context, path, error)
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

        return grpc.stream_stream_rpc_method_handler(call)

    def _unary(self, route: UnaryRoute[Any]) -> Callable[[bytes, _Context], Awaitable[bytes]]:
        async def call(request: bytes, context: _Context) -> bytes:
            try:
                caller = self._admit(context, route.path)
                answer = await route.handler(_decode(route, request), caller)
                return answer if isinstance(answer, bytes) else answer.SerializeToString()
            except Exception as error:  # noqa: BLE001 - the border: no error ends another call
                await _refuse(context, route.path, error)

        return call

    def _stream(self, route: StreamRoute[Any]) -> Callable[[bytes, _Context], Awaitable[None]]:
        async def call(request: bytes, context: _Context) -> None:
            with self._streams.call():
                try:
                    caller = self._admit(context, route.path)
                    responses = route.handler(_decode(route, request), caller)
                    await self._streams.run(responses, _writer(context))
                except Exception as error:  # noqa: BLE001 - the border: no error ends another call
                    await _refuse(context, route.path, error)

        return call

    def _dialogue(
        self, route: DialogueRoute[Any]
    ) -> Callable[[AsyncIterator[bytes], _Context], Awaitable[None]]:
        async def call(requests: AsyncIterator[bytes], context: _Context) -> None:
            with self._streams.call():
                try:
                    caller = self._admit(context, route.path)
                    decoded = (_decode(route, request) async for request in requests)
                    await self._streams.run(route.handler(decoded, caller), _writer(context))
                except Exception as error:  # noqa: BLE001 - the border: no error ends another call
                    await _refuse(context, route.path, error)

        return call

    def _admit(self, context: _Context, path: str) -> CallContext:
        metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
        caller = self._access.identify(metadata.pop(TOKEN_HEADER, None))
        decision = authorize(caller, operation_of(path))
        if decision.verdict is Verdict.UNKNOWN_CALLER:
            raise RpcError(StatusCode.UNAUTHENTICATED, UNAUTHORIZED)
        if not decision.is_allowed:
            raise RpcError(StatusCode.PERMISSION_DENIED, decision.text)
        if not self._rules.permits_rpc(path):
            raise RpcError(StatusCode.UNIMPLEMENTED, NOT_AVAILABLE)
        admitted = CallContext(
            peer=context.peer(),
            metadata=metadata,
            deadline_s=context.time_remaining,
            caller=caller or NOBODY,
        )
        self._calls.rpc(path, admitted.user_agent)
        return admitted


def _writer(context: _Context) -> Callable[[bytes], Awaitable[None]]:
    async def write(response: bytes) -> None:
        try:
            await context.write(response)
        except grpc.aio.BaseError as error:
            # The library says so only here, or cancels the call, or both.
            raise RpcError(StatusCode.CANCELLED, "the client has gone") from error

    return write


def _decode(route: Route[Any], request: bytes) -> Any:
    try:
        return route.request_type.FromString(request)
    except DecodeError:
        name = route.request_type.DESCRIPTOR.name
        raise RpcError(
            StatusCode.INVALID_ARGUMENT, f"the request does not decode as {name}"
        ) from None


async def _refuse(context: _Context, path: str, error: Exception) -> NoReturn:
    """End a call with the status that an error stands for."""
    if isinstance(error, RpcError):
        await context.abort(_CODES[error.code], error.details)
    for kind, code in _CODES_OF_ERRORS:
        if isinstance(error, kind):
            await context.abort(code, str(error))
    _log.error("call failed", extra={"method": path, "peer": context.peer()}, exc_info=error)
    await context.abort(grpc.StatusCode.UNKNOWN, str(error) or type(error).__name__)

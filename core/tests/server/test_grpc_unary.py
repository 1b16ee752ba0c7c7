from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio
import pytest
from durahub.config import ApiRule
from durahub.errors import BackendUnavailableError, CapabilityNotSupportedError, StartupError
from durahub.protocol import messages as pb
from durahub.server.access import AccessControl, token_for_everything
from durahub.server.api_rules import ApiRules
from durahub.server.grpc_transport import MAX_METADATA_BYTES, GrpcServer
from durahub.server.rpc import CallContext, RpcError, StatusCode, UnaryRoute

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
# The stubs know no calls with bytes on both sides.
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

PATH = "/TaskHubSidecarService/GetInstance"


async def _status_of(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def _raising(error: Exception) -> UnaryRoute[pb.GetInstanceRequest]:
    async def handler(_request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        raise error

    return UnaryRoute(PATH, pb.GetInstanceRequest, handler)


async def _echo(request: pb.GetInstanceRequest, _context: CallContext) -> pb.GetInstanceRequest:
    return request


ACCESS = AccessControl([token_for_everything("s3cret")])
ECHO = UnaryRoute(PATH, pb.GetInstanceRequest, _echo)


def test_status_codes_have_the_numbers_of_grpc() -> None:
    assert {code.name: code.value for code in StatusCode} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


@pytest.mark.parity("sharp/37", on="any")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_message_is_answered_on_every_loopback_address(
    serving: ServerFactory, connected: ChannelFactory, host: str
) -> None:
    request = pb.GetInstanceRequest(instanceId="x").SerializeToString()
    async with serving(ECHO) as server, connected(server, host) as channel:
        assert await channel.unary_unary(PATH)(request) == request


async def test_bytes_are_answered_as_they_are(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    async def handler(_request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        return b"\x00raw"

    route = UnaryRoute(PATH, pb.GetInstanceRequest, handler)
    async with serving(route) as server, connected(server) as channel:
        assert await channel.unary_unary(PATH)(b"") == b"\x00raw"


async def test_a_handler_sees_peer_metadata_agent_and_deadline(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    seen: list[CallContext] = []
    left: list[float | None] = []

    async def handler(_request: pb.GetInstanceRequest, context: CallContext) -> bytes:
        seen.append(context)
        left.append(context.deadline_s())
        return b""

    route = UnaryRoute(PATH, pb.GetInstanceRequest, handler)
    async with serving(route) as server, connected(server) as channel:
        await channel.unary_unary(PATH)(b"", metadata=(("x-key", "value"),), timeout=20)
        await channel.unary_unary(PATH)(b"")
    assert seen[0].metadata["x-key"] == "value"
    assert seen[0].peer.startswith("ipv4:127.0.0.1:")
    assert "grpc-python" in seen[0].user_agent
    assert left[0] is not None
    # The library rounds up what it sends.
    assert 15 < left[0] <= 21
    assert left[1] is None


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (RpcError(StatusCode.NOT_FOUND, "no «such»\nthing"), "NOT_FOUND", "no «such»\nthing"),
        (BackendUnavailableError("store is away"), "UNAVAILABLE", "store is away"),
        (CapabilityNotSupportedError("no rerun"), "UNIMPLEMENTED", "no rerun"),
    ],
)
async def test_a_foreseen_error_becomes_its_status_and_is_not_logged(
    serving: ServerFactory,
    connected: ChannelFactory,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: str,
    details: str,
) -> None:
    async with serving(_raising(error)) as server, connected(server) as channel:
        status = await _status_of(channel.unary_unary(PATH)(b""))
    assert status == (grpc.StatusCode[code], details)
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "details"), [(ValueError("boom"), "boom"), (KeyError(), "KeyError")]
)
async def test_an_unforeseen_error_becomes_unknown_and_is_logged_once(
    serving: ServerFactory,
    connected: ChannelFactory,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    details: str,
) -> None:
    async with serving(_raising(error)) as server, connected(server) as channel:
        status = await _status_of(channel.unary_unary(PATH)(b""))
    assert status == (grpc.StatusCode.UNKNOWN, details)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


async def test_an_unknown_method_is_unimplemented(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    async with serving(ECHO) as server, connected(server) as channel:
        code, _ = await _status_of(channel.unary_unary("/TaskHubSidecarService/Nope")(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_that_does_not_decode_is_an_invalid_argument(
    serving: ServerFactory, connected: ChannelFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ECHO) as server, connected(server) as channel:
        status = await _status_of(channel.unary_unary(PATH)(b"\xff\xff\xff"))
    assert status == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request does not decode as GetInstanceRequest",
    )
    assert not caplog.records


async def test_a_message_beyond_the_limit_is_refused_and_the_connection_lives_on(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    big = pb.GetInstanceRequest(instanceId="x" * 2000).SerializeToString()
    async with serving(ECHO, max_message_bytes=1000) as server, connected(server) as channel:
        code, _ = await _status_of(channel.unary_unary(PATH)(big))
        assert await channel.unary_unary(PATH)(b"") == b""
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_without_a_limit_a_message_may_be_larger_than_the_usual_four_mebibytes(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    async def count(request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        return str(len(request.instanceId)).encode()

    route = UnaryRoute(PATH, pb.GetInstanceRequest, count)
    big = pb.GetInstanceRequest(instanceId="x" * 5_000_000).SerializeToString()
    async with serving(route, max_message_bytes=None) as server, connected(server) as channel:
        assert await channel.unary_unary(PATH)(big) == b"5000000"


@pytest.mark.parametrize("how", ["cancel", "deadline", "disconnect"])
async def test_a_client_that_leaves_cancels_the_handler(
    serving: ServerFactory, connected: ChannelFactory, how: str
) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def handler(_request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    route = UnaryRoute(PATH, pb.GetInstanceRequest, handler)
    async with serving(route) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)(b"", timeout=2 if how == "deadline" else None)
        await asyncio.wait_for(entered.wait(), 30)
        if how == "cancel":
            call.cancel()
        elif how == "disconnect":
            await channel.close()
        await asyncio.wait_for(ended.wait(), 30)


async def test_with_a_token_only_calls_that_carry_it_are_served(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    async with serving(ECHO, access=ACCESS) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)
        for metadata in ((), (("dapr-api-token", "wrong"),), (("dapr-api-token", "s3cret2"),)):
            status = await _status_of(call(b"", metadata=metadata))
            assert status == (grpc.StatusCode.UNAUTHENTICATED, "Unauthorized")
        assert await call(b"", metadata=(("dapr-api-token", "s3cret"),)) == b""


async def test_a_port_that_another_server_has_is_refused(serving: ServerFactory) -> None:
    async with serving(ECHO) as server:
        second = GrpcServer((ECHO,), hosts=("127.0.0.1",), port=server.port, max_message_bytes=None)
        with pytest.raises(StartupError, match=rf"port {server.port} is in use .*--dapr-grpc-port"):
            await second.__aenter__()


async def test_stopping_lets_a_call_finish_within_the_grace(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    entered, proceed = asyncio.Event(), asyncio.Event()

    async def handler(_request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        entered.set()
        await proceed.wait()
        return b"done"

    route = UnaryRoute(PATH, pb.GetInstanceRequest, handler)
    async with serving(route) as server, connected(server) as channel, asyncio.TaskGroup() as tasks:
        call = channel.unary_unary(PATH)(b"")
        await asyncio.wait_for(entered.wait(), 30)
        stopping = tasks.create_task(server.stop(30))
        await asyncio.sleep(0.1)
        assert not stopping.done()
        proceed.set()
        assert await call == b"done"


async def test_stopping_cancels_calls_that_outlast_the_grace(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    entered = asyncio.Event()

    async def handler(_request: pb.GetInstanceRequest, _context: CallContext) -> bytes:
        entered.set()
        await asyncio.sleep(60)
        return b""

    route = UnaryRoute(PATH, pb.GetInstanceRequest, handler)
    async with serving(route) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)(b"")
        await asyncio.wait_for(entered.wait(), 30)
        await asyncio.wait_for(server.stop(0.1), 30)
        code, _ = await _status_of(call)
    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_burst_of_thousands_of_calls_is_answered_in_full(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    """By default the library drops calls at random as soon as 1,000 wait."""
    request = pb.GetInstanceRequest(instanceId="a").SerializeToString()
    async with serving(ECHO) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)
        answers = await asyncio.gather(*(call(request) for _ in range(4_000)))
    assert answers == [request] * 4_000


async def test_headers_have_a_limit(serving: ServerFactory, connected: ChannelFactory) -> None:
    async with serving(ECHO) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)
        assert await call(b"", metadata=(("x", "y" * 8_000),)) == b""
        code, _ = await _status_of(call(b"", metadata=(("x", "y" * MAX_METADATA_BYTES),)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        # It was the call that was refused, not the connection.
        assert await call(b"") == b""


async def test_a_denied_part_of_the_api_is_not_implemented(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    denied = ApiRules([], [ApiRule(name="workflows")])
    async with serving(ECHO, rules=denied, access=ACCESS) as server, connected(server) as channel:
        call = channel.unary_unary(PATH)
        code, _ = await _status_of(call(b""))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        code, text = await _status_of(call(b"", metadata=(("dapr-api-token", "s3cret"),)))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert text == "requested endpoint is not available"

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio
import pytest
from durahub.errors import BackendUnavailableError
from durahub.protocol import messages as pb
from durahub.server.access import AccessControl, token_for_everything
from durahub.server.grpc_transport import GrpcServer
from durahub.server.rpc import CallContext, RpcError, StatusCode, StreamRoute

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
# The stubs know no calls with bytes on both sides.
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]

PATH = "/TaskHubSidecarService/GetWorkItems"
CHUNK = b"x" * 64_000


class Source:
    """Yields items, then waits; tells when it was closed."""

    def __init__(self, *, endless: bool = False) -> None:
        self.endless = endless
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.sent = 0
        self.route = StreamRoute(PATH, pb.GetWorkItemsRequest, self.handle)

    async def handle(
        self, _request: pb.GetWorkItemsRequest, _context: CallContext
    ) -> AsyncIterator[bytes]:
        self.opened.set()
        try:
            for self.sent in itertools.count(1):
                yield CHUNK if self.endless else b"item"
                if not self.endless:
                    await asyncio.sleep(60)
        finally:
            # What is cleaned up may need the loop.
            await asyncio.sleep(0)
            self.closed.set()


async def _status_of(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> tuple[grpc.StatusCode, str]:
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return await call.code(), await call.details() or ""


async def test_items_arrive_in_order_and_the_end_is_ok(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    async def count(
        _request: pb.GetWorkItemsRequest, _context: CallContext
    ) -> AsyncIterator[bytes]:
        for number in range(100):
            yield str(number).encode()

    route = StreamRoute(PATH, pb.GetWorkItemsRequest, count)
    async with serving(route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        assert [int(item) async for item in call] == list(range(100))
        assert await call.code() is grpc.StatusCode.OK


async def _read_all(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_a_client_that_never_reads_again_is_cut_off(
    serving: ServerFactory, connected: ChannelFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durahub.server.open_streams.SEND_TIMEOUT_S", 0.3)
    source = Source(endless=True)
    async with serving(source.route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        await asyncio.wait_for(call.read(), 30)
        await asyncio.wait_for(source.closed.wait(), 30)
        # It finds out as soon as it does read.
        with pytest.raises(grpc.aio.AioRpcError, match="timed out while sending") as caught:
            await asyncio.wait_for(_read_all(call), 30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("state", ["waiting", "blocked-by-a-slow-reader"])
@pytest.mark.parametrize("how", ["cancel", "disconnect"])
async def test_a_client_that_leaves_closes_the_iterator_promptly(
    serving: ServerFactory,
    connected: ChannelFactory,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    state: str,
) -> None:
    monkeypatch.setattr("durahub.server.open_streams.SEND_TIMEOUT_S", 1000.0)
    source = Source(endless=state != "waiting")
    async with serving(source.route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        await asyncio.wait_for(call.read(), 30)
        await asyncio.sleep(0.2)
        if how == "cancel":
            call.cancel()
        else:
            await channel.close()
        await asyncio.wait_for(source.closed.wait(), 30)


async def test_a_client_that_does_not_read_holds_the_iterator_back(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    source = Source(endless=True)
    async with serving(source.route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        await asyncio.wait_for(call.read(), 30)
        async with asyncio.timeout(30):
            sent = 0
            while source.sent != sent:
                sent = source.sent
                await asyncio.sleep(0.3)
        call.cancel()


@pytest.mark.parametrize("state", ["waiting", "blocked-by-a-slow-reader"])
async def test_stopping_ends_streams_with_cancelled_shutting_down(
    serving: ServerFactory, connected: ChannelFactory, state: str
) -> None:
    source = Source(endless=state != "waiting")
    async with serving(source.route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        await asyncio.wait_for(call.read(), 30)
        await asyncio.sleep(0.1)
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(asyncio.wait_for(server.stop(0), 30))
            await asyncio.wait_for(source.closed.wait(), 30)
            status = await _status_of(call)
        assert stopping.done()
    assert status == (grpc.StatusCode.CANCELLED, "shutting down")


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        (RpcError(StatusCode.CANCELLED, "shutting down"), "CANCELLED", "shutting down"),
        (BackendUnavailableError("store is away"), "UNAVAILABLE", "store is away"),
        (ValueError("boom"), "UNKNOWN", "boom"),
    ],
)
async def test_an_error_of_the_iterator_becomes_the_status_of_the_stream(
    serving: ServerFactory, connected: ChannelFactory, error: Exception, code: str, details: str
) -> None:
    async def fail(_request: pb.GetWorkItemsRequest, _context: CallContext) -> AsyncIterator[bytes]:
        yield b"item"
        raise error

    route = StreamRoute(PATH, pb.GetWorkItemsRequest, fail)
    async with serving(route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        assert await call.read() == b"item"
        status = await _status_of(call)
    assert status == (grpc.StatusCode[code], details)


async def test_a_request_that_does_not_decode_ends_the_stream_before_the_handler(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    source = Source()
    async with serving(source.route) as server, connected(server) as channel:
        code, details = await _status_of(channel.unary_stream(PATH)(b"\xff\xff\xff"))
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request does not decode as GetWorkItemsRequest",
    )
    assert not source.opened.is_set()


async def test_a_stream_without_the_token_is_refused(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    source = Source()
    async with (
        serving(source.route, access=AccessControl([token_for_everything("s3cret")])) as server,
        connected(server) as channel,
    ):
        code, _ = await _status_of(channel.unary_stream(PATH)(b""))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert not source.opened.is_set()


async def test_many_streams_end_together(serving: ServerFactory, connected: ChannelFactory) -> None:
    sources = [Source() for _ in range(20)]
    waiting = iter(sources)

    def handle(request: pb.GetWorkItemsRequest, context: CallContext) -> AsyncIterator[bytes]:
        return next(waiting).handle(request, context)

    route = StreamRoute(PATH, pb.GetWorkItemsRequest, handle)
    async with serving(route) as server, connected(server) as channel:
        calls = [channel.unary_stream(PATH)(b"") for _ in sources]
        for call in calls:
            await asyncio.wait_for(call.read(), 30)
        await asyncio.wait_for(server.stop(0), 30)
        assert all(source.closed.is_set() for source in sources)
        assert {await _status_of(call) for call in calls} == {
            (grpc.StatusCode.CANCELLED, "shutting down")
        }


async def test_cleaning_up_is_not_cut_short_when_the_client_and_the_server_end_together(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    cleaned = asyncio.Event()

    async def handle(
        _request: pb.GetWorkItemsRequest, _context: CallContext
    ) -> AsyncIterator[bytes]:
        try:
            yield b"item"
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            cleaned.set()

    route = StreamRoute(PATH, pb.GetWorkItemsRequest, handle)
    async with serving(route) as server, connected(server) as channel:
        call = channel.unary_stream(PATH)(b"")
        await asyncio.wait_for(call.read(), 30)
        call.cancel()
        await asyncio.sleep(0.1)
        await server.stop(0)
    assert cleaned.is_set()


async def test_a_failure_while_cleaning_up_is_logged_and_hurts_no_other_stream(
    serving: ServerFactory, connected: ChannelFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(
        request: pb.GetWorkItemsRequest, _context: CallContext
    ) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"item"
                await asyncio.sleep(0.01)
        finally:
            if request.capabilities:
                raise ValueError("cannot clean up")

    route = StreamRoute(PATH, pb.GetWorkItemsRequest, handle)
    bad = pb.GetWorkItemsRequest(
        capabilities=[pb.WORKER_CAPABILITY_HEALTH_PING]
    ).SerializeToString()
    async with serving(route) as server, connected(server) as channel:
        failing, healthy = channel.unary_stream(PATH)(bad), channel.unary_stream(PATH)(b"")
        for call in (failing, healthy):
            await asyncio.wait_for(call.read(), 30)
        failing.cancel()
        async with asyncio.timeout(30):
            while "cannot clean up" not in caplog.text:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        for _ in range(5):
            assert await asyncio.wait_for(healthy.read(), 30) == b"item"
    (record,) = caplog.records
    assert record.getMessage() == "closing a stream failed"


async def test_a_stream_that_comes_while_stopping_ends_the_same_way(
    serving: ServerFactory, connected: ChannelFactory
) -> None:
    source = Source()
    async with serving(source.route) as server, connected(server) as channel:
        server._streams.end_all()
        status = await _status_of(channel.unary_stream(PATH)(b""))
    assert status == (grpc.StatusCode.CANCELLED, "shutting down")
    assert not source.opened.is_set()

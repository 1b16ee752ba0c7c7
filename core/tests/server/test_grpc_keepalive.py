"""Pings, spoken as bare HTTP/2 so that they come as fast as the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc.aio
import pytest
from durahub.server import grpc_transport
from durahub.server.grpc_transport import GrpcServer

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]

SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1


class Http2Client:
    """Just enough of HTTP/2 to ping and to be pinged."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._send(SETTINGS, 0, b"", preface=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    def ping(self, number: int) -> None:
        self._send(PING, 0, struct.pack(">Q", number))

    async def read_frame(self) -> tuple[int, int, bytes]:
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], payload

    async def frames(self) -> AsyncIterator[tuple[int, int, bytes]]:
        """Yield what the server sends until it closes the connection."""
        while not self._reader.at_eof():
            with contextlib.suppress(asyncio.IncompleteReadError):
                yield await self.read_frame()

    async def ping_until_answered(self, count: int) -> int:
        """Return how many pings were answered before the server had enough."""
        for number in range(count):
            self.ping(number)
            while True:
                kind, flags, _ = await self.read_frame()
                if kind == GOAWAY:
                    return number
                if kind == PING and flags == ACK:
                    break
        return count

    def _send(self, kind: int, flags: int, payload: bytes, preface: bytes = b"") -> None:
        head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4)
        self._writer.write(preface + head + payload)


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[Http2Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            yield Http2Client(reader, writer)
    finally:
        writer.close()


@pytest.mark.parity("sharp/35", on="any")
async def test_a_client_without_calls_may_ping_as_fast_as_it_likes(serving: ServerFactory) -> None:
    async with serving() as server, connect(server.port) as client:
        assert await client.ping_until_answered(200) == 200


async def test_the_library_itself_would_send_such_a_client_away() -> None:
    # Without this, the test above could pass because of how it pings.
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connect(port) as client:
            assert await client.ping_until_answered(200) < 10
    finally:
        await server.stop(None)


async def test_an_idle_client_is_pinged_and_dropped_when_it_does_not_answer(
    serving: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_transport, "IDLE_BEFORE_PING_S", 1.0)
    monkeypatch.setattr(grpc_transport, "PING_TIMEOUT_S", 0.5)
    async with serving() as server, connect(server.port) as client:
        kinds = [kind async for kind, flags, _ in client.frames() if flags != ACK]
    assert kinds[-2:] == [PING, GOAWAY]

"""A gRPC server with a few routes, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from durahub.server.grpc_transport import GrpcServer
from durahub.server.listening import LOOPBACK, usable_addresses

HOSTS = usable_addresses(LOOPBACK)

ServerFactory = Callable[..., AbstractAsyncContextManager[GrpcServer]]
ChannelFactory = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def serving() -> ServerFactory:
    @asynccontextmanager
    async def serve(*routes: Any, **options: Any) -> AsyncIterator[GrpcServer]:
        settings = {"hosts": HOSTS, "port": 0, "max_message_bytes": 100_000, **options}
        async with asyncio.timeout(100), GrpcServer(routes, **settings) as server:
            await server.start()
            yield server

    return serve


@pytest.fixture
def connected() -> ChannelFactory:
    @asynccontextmanager
    async def connect(server: GrpcServer, host: str = "127.0.0.1") -> AsyncIterator[Any]:
        # One connection per channel: otherwise clients of one process share connections.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"{host}:{server.port}", options=options) as channel:
            yield channel

    return connect

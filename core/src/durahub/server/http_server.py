"""Runs an HTTP application inside this process, without taking the process over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from durahub.server.listening import bind_sockets
from durahub.server.owned_tasks import OwnedTasks
from durahub.server.tls import Tls

MAX_HEADER_BYTES = 16 * 1024
"""Most bytes of a request line with all headers that are waited for; more ends in 400 or a closed connection.

What arrives at once may be more, see `durahub.server.http_gate`.
"""

_CLOSE_S = 2


class HttpServer:
    """An HTTP server that lives as long as its `async with` block.

    Requests in progress have two seconds to finish when the block ends.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Sequence[str], port: int, tls: Tls | None = None
    ) -> None:
        """Prepare a server; does no I/O.

        Args:
            app: The application.
            hosts: IP addresses to listen on.
            port: 0 picks a free one.
            tls: Certificate and key; None for plain HTTP.
        """
        self._hosts = hosts
        self._port = port
        self._server = _EmbeddedServer(
            uvicorn.Config(
                app,
                access_log=False,
                lifespan="off",
                log_config=None,
                log_level="warning",
                http="h11",
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                proxy_headers=False,
                ssl_context_factory=None if tls is None else lambda *_: tls.context,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE_S,
                ws="none",
            )
        )
        self._tasks = OwnedTasks()

    @property
    def port(self) -> int:
        """The port; inside the block, the real one."""
        return self._port

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            StartupError: The port can't be had on all addresses.
        """
        sockets = bind_sockets(self._hosts, self._port, flag="--dapr-http-port")
        self._port = sockets[0].getsockname()[1]
        await self._tasks.__aenter__()
        self._tasks.start(self._server.serve(sockets=list(sockets)), name="http-server")
        try:
            await self._server.is_listening.wait()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        await self._tasks.__aexit__(kind, error, traceback)


class _EmbeddedServer(uvicorn.Server):
    """Leaves the signals of the process alone: the sidecar decides when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

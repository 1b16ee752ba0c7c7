"""A task hub with as many sidecars as a test wants: engine, gRPC server and client of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import grpc
import grpc.aio
from durahub.backend import Backend
from durahub.clock import SystemClock
from durahub.engine import Engine, EngineOptions
from durahub.server.grpc_transport import GrpcServer
from durahub.server.taskhub_service import taskhub_routes
from durahub.types import AppId

from core.tests.engine.hub import kill, until
from tests.parity.backends import NewBackend
from tests.parity.client import Client
from tests.parity.flows import Workflow
from tests.parity.worker import Activity, Worker

APP = "shop"

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


class Sidecar:
    """One sidecar in this process.

    Attributes:
        app: The application that it serves.
        backend: Its connection to the store.
        engine: For what no client can see.
        client: What an application's client would do.
    """

    def __init__(self, backend: Backend, options: EngineOptions) -> None:
        self.app = str(options.app_id)
        self.backend = backend
        self.engine = Engine(backend, options, SystemClock())
        self.client: Client
        self._max_message_bytes = options.max_message_bytes
        self._running = AsyncExitStack()
        self._is_running = False

    @property
    def port(self) -> int:
        """Where SDKs find it."""
        return self._server.port

    async def start(self) -> None:
        self._server = GrpcServer(
            taskhub_routes(self.engine),
            hosts=("127.0.0.1",),
            port=0,
            max_message_bytes=self._max_message_bytes,
        )
        await self.engine.start()
        await self._running.enter_async_context(self._server)
        await self._server.start()
        self._is_running = True
        self._channel = self._connect()
        self.client = Client(self._channel)

    async def stop(self) -> None:
        """Stop well, as at SIGTERM; workers and clients see it end. Stopping again does nothing."""
        if not self._is_running:
            return
        self._is_running = False
        await self.engine.close_streams()
        await self.engine.stop(0.5)
        await self._disappear(last_answers_s=1)

    async def kill(self) -> None:
        """End as a crash would: nothing is given back, nobody is told."""
        self._is_running = False
        await kill(self.engine)
        await self.backend.close()
        await self._disappear(last_answers_s=0)

    async def next_due(self) -> datetime | None:
        """Return when the store will wake an instance that nobody tells anything, if it ever will."""
        assert self.engine._session is not None
        claims = await self.backend.claim_instances(self.engine._session.session_id, 0)
        return claims.next_due_at

    @asynccontextmanager
    async def worker(
        self,
        workflows: Mapping[str, Workflow] | Workflow | None = None,
        activities: Mapping[str, Activity] | Activity | None = None,
        *,
        user_agent: str = "",
        answers_to: Sequence[Sidecar] = (),
        **fields: Any,
    ) -> AsyncIterator[Worker]:
        """Connect a worker; in the end it goes away with whatever it has not answered.

        Args:
            workflows: By name; a single function is called `Flow`.
            activities: By name; a single function serves all names; none at all echo their input.
            user_agent: Which SDK it says it is.
            answers_to: To which sidecars its answers go in turn; none: to this one.
            fields: More of `Worker`.
        """
        flows = workflows if isinstance(workflows, Mapping) else {"Flow": workflows}
        tasks = activities if isinstance(activities, Mapping) else {"*": activities}
        worker = Worker(
            self._connect(user_agent),
            {name: flow for name, flow in flows.items() if flow is not None},
            {name: task for name, task in tasks.items() if task is not None},
            balanced=[sidecar._connect(user_agent) for sidecar in answers_to],
            **fields,
        )
        before = self.engine.connected_workers
        async with asyncio.TaskGroup() as group:
            task = group.create_task(worker.run())
            await until(lambda: self.engine.connected_workers > before or task.done())
            try:
                yield worker
            finally:
                connected, has_left = self.engine.connected_workers, task.done()
                task.cancel()
                await asyncio.wait([task])
                for channel in (worker.channel, *worker.balanced):
                    await channel.close()
        if self._is_running and not has_left:
            await until(lambda: self.engine.connected_workers < connected)

    def _connect(self, user_agent: str = "") -> grpc.aio.Channel:
        options = (*_CHANNEL_OPTIONS, ("grpc.primary_user_agent", user_agent))
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)

    async def _disappear(self, *, last_answers_s: float) -> None:
        await self._channel.close()
        await self._server.stop(last_answers_s)
        await self._running.aclose()


class Hub:
    """One store, and the sidecars on it.

    Attributes:
        backend_name: Of which backend it is.
    """

    def __init__(self, backend_name: str, new_backend: NewBackend) -> None:
        self.backend_name = backend_name
        self._new_backend = new_backend

    @asynccontextmanager
    async def sidecar(
        self,
        app: str = APP,
        *,
        wrap: Callable[[Backend], Backend] = lambda backend: backend,
        **options: Any,
    ) -> AsyncIterator[Sidecar]:
        """Run a sidecar; in the end it stops well, unless the test has stopped or killed it.

        Args:
            app: The application that it serves.
            wrap: Takes the connection to the store and returns what the sidecar gets in its place.
            options: More of `EngineOptions`.
        """
        fields: dict[str, Any] = {
            "app_id": AppId(app),
            "worker_grace": timedelta(milliseconds=100),
            "session_time_to_live": timedelta(seconds=2),
            **options,
        }
        sidecar = Sidecar(wrap(self._new_backend()), EngineOptions(**fields))
        await sidecar.start()
        try:
            yield sidecar
        finally:
            await sidecar.stop()

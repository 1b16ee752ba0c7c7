"""The life of a sidecar: everything it is made of, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from durahub.backend import Backend
from durahub.clock import SystemClock
from durahub.config import Component, Configuration, load_components, load_configuration
from durahub.edition import Edition
from durahub.engine import Engine, EngineOptions, RetentionPolicy
from durahub.server.access import AccessControl, token_for_everything
from durahub.server.dapr_service import dapr_routes, unserved_text
from durahub.server.dapr_workflows import DaprWorkflows
from durahub.server.grpc_transport import GrpcServer
from durahub.server.health_service import health_routes
from durahub.server.http_app import build_http_app
from durahub.server.http_server import HttpServer
from durahub.server.interruption import Interruptible
from durahub.server.limits import claim_limits, refuse_unsupported_limits
from durahub.server.listening import usable_addresses
from durahub.server.metadata import Metadata
from durahub.server.options import SidecarOptions
from durahub.server.reflection import SERVICES, reflection_routes
from durahub.server.selection import select_backend
from durahub.server.signals import stop_on_signals
from durahub.server.status import BuildIdentity
from durahub.server.taskhub_service import taskhub_routes

_log = logging.getLogger("durahub.server")

_LAST_ANSWERS_S = 1.0


class Sidecar:
    """A sidecar that runs as long as its `async with` block.

    Entering starts everything or raises a `DurahubError` and leaves nothing behind. Inside, the block
    waits for `wait_for_stop`. Leaving stops in this order: health says not ready; worker streams end;
    work in progress finishes within the graceful time; the session is released and the store closed;
    the servers stop.
    """

    def __init__(
        self, edition: Edition, options: SidecarOptions, *, environ: Mapping[str, str]
    ) -> None:
        """Prepare a sidecar; does no I/O.

        Args:
            edition: Which backends may be loaded.
            options: How to run.
            environ: Where configuration files look up environment variables.
        """
        self._edition = edition
        self._options = options
        self._environ = environ
        self._metadata = Metadata(self)
        token = options.api_token
        self._access = AccessControl(() if token is None else (token_for_everything(token),))
        self._stop_requested = asyncio.Event()
        self._starting = Interruptible()
        self._running = AsyncExitStack()
        self._is_serving = False
        self._engine: Engine | None = None
        self._identity: BuildIdentity | None = None
        self._components: tuple[Component, ...] = ()
        self._hosts = options.hosts
        self._ports = (options.http_port, options.grpc_port)

    @property
    def app_id(self) -> str:
        """The application that it serves."""
        return self._options.app_id

    @property
    def identity(self) -> BuildIdentity:
        """Which program it is; known as soon as it listens."""
        assert self._identity is not None, "the backend has not been selected yet"
        return self._identity

    @property
    def components(self) -> tuple[Component, ...]:
        """The state components that its resource paths have for this application; known once it starts."""
        return self._components

    @property
    def http_port(self) -> int:
        """The HTTP port; inside the block, the real one."""
        return self._ports[0]

    @property
    def grpc_port(self) -> int:
        """The gRPC port; inside the block, the real one."""
        return self._ports[1]

    @property
    def is_serving(self) -> bool:
        """Whether it takes calls: it has started, and is not stopping."""
        return self._is_serving

    @property
    def is_ready(self) -> bool:
        """Whether calls can succeed: it takes them, and the engine is ready."""
        return self._is_serving and self._engine is not None and self._engine.is_ready

    @property
    def connected_workers(self) -> int:
        """Open work-item streams."""
        return 0 if self._engine is None else self._engine.connected_workers

    @property
    def parked(self) -> Mapping[str, int]:
        """How many instances it has parked since its start, by the kind of reason; every kind is there."""
        return {} if self._engine is None else self._engine.parked

    def request_stop(self, reason: str) -> None:
        """Let `wait_for_stop` return, or end the start if it is still going on; returns at once."""
        if not self._stop_requested.is_set():
            _log.info("stopping", extra={"reason": reason})
            self._stop_requested.set()
            self._starting.interrupt()

    async def wait_for_stop(self) -> None:
        """Return when somebody requested a stop."""
        await self._stop_requested.wait()

    async def __aenter__(self) -> Self:
        """Start. If a stop is requested meanwhile, the block is entered at once without being ready.

        Raises:
            DurahubError: The configuration, the plugin, the store or a port does not allow to start.
        """
        async with AsyncExitStack() as stack:
            async with self._starting:
                await self._start(stack)
            self._running = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_serving = False
        await self._running.__aexit__(kind, error, traceback)
        _log.info("stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        clock = SystemClock()
        began_s = clock.monotonic_s()
        configuration = load_configuration(self._options.config_paths, environ=self._environ)
        self._components = load_components(
            self._options.resource_paths, environ=self._environ, app_id=self._options.app_id
        )
        _report_notices(configuration)
        backend = self._create_backend(configuration)
        engine = Engine(backend, self._engine_options(configuration), clock=clock)
        self._engine = engine
        self._hosts = usable_addresses(self._options.hosts)
        # Servers come first: a port in use is found out before anything touches the store.
        await self._start_http(stack, engine)
        grpc_server = await self._enter_grpc(stack, engine)
        await engine.start()
        stack.push_async_callback(self._stop_engine, engine)
        await grpc_server.start()
        self._is_serving = True
        self._report_start(backend, clock.monotonic_s() - began_s)

    def _create_backend(self, configuration: Configuration) -> Backend:
        backend, self._identity = select_backend(self._edition, configuration)
        refuse_unsupported_limits(
            configuration, self._identity.backend_type, backend.capabilities.limits
        )
        return backend

    def _engine_options(self, configuration: Configuration) -> EngineOptions:
        return EngineOptions(
            app_id=self._options.app_id,
            max_concurrent_workflows=configuration.max_concurrent_workflows,
            max_concurrent_activities=configuration.max_concurrent_activities,
            limits=claim_limits(configuration),
            max_message_bytes=self._options.max_message_bytes,
            retention=RetentionPolicy.most_specific(
                any_terminal=configuration.state_retention.any_terminal,
                completed=configuration.state_retention.completed,
                failed=configuration.state_retention.failed,
                terminated=configuration.state_retention.terminated,
            ),
        )

    async def _start_http(self, stack: AsyncExitStack, engine: Engine) -> None:
        app = build_http_app(
            self,
            engine.client,
            self._metadata,
            access=self._access,
            max_body_bytes=self._options.max_message_bytes,
        )
        server = HttpServer(app, hosts=self._hosts, port=self._options.http_port)
        await stack.enter_async_context(server)
        self._ports = (server.port, self._options.grpc_port)

    async def _enter_grpc(self, stack: AsyncExitStack, engine: Engine) -> GrpcServer:
        server = GrpcServer(
            (
                *taskhub_routes(engine),
                *dapr_routes(DaprWorkflows(engine.client), self._metadata, self),
                *health_routes(self, SERVICES),
                *reflection_routes(),
            ),
            hosts=self._hosts,
            port=self._options.grpc_port,
            max_message_bytes=self._options.max_message_bytes,
            api_token=self._options.api_token,
            unserved_text=unserved_text,
        )
        await stack.enter_async_context(server)
        stack.push_async_callback(server.stop, _LAST_ANSWERS_S)
        self._ports = (self.http_port, server.port)
        return server

    async def _stop_engine(self, engine: Engine) -> None:
        await engine.close_streams()
        await engine.stop(self._options.graceful_shutdown_s)

    def _report_start(self, backend: Backend, elapsed_s: float) -> None:
        _log.info(
            "listening",
            extra={
                "addresses": ",".join(self._hosts),
                "http_port": self.http_port,
                "grpc_port": self.grpc_port,
                "backend": self.identity.backend_type,
                "store": backend.describe(),
            },
        )
        elapsed_ms = round(elapsed_s * 1000)
        _log.info("dapr initialized. Status: Running. Init Elapsed %dms", elapsed_ms)


async def serve_until_stopped(sidecar: Sidecar) -> None:
    """Run a sidecar until SIGINT, SIGTERM or a request to stop; a second signal ends the process at once.

    Raises:
        DurahubError: It could not start.
    """
    with stop_on_signals(sidecar.request_stop):
        async with sidecar:
            await sidecar.wait_for_stop()


def _report_notices(configuration: Configuration) -> None:
    if configuration.ignored_sections:
        _log.info(
            "sections of the configuration that do not concern workflows are ignored",
            extra={"sections": ",".join(configuration.ignored_sections)},
        )

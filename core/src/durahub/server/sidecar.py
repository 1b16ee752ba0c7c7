"""The life of a sidecar: everything it is made of, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from durahub.backend import Backend
from durahub.clock import SystemClock
from durahub.config import Component, Configuration, LoggingSection
from durahub.edition import Edition
from durahub.engine import Engine, EngineOptions
from durahub.errors import DurahubError
from durahub.server.access import AccessControl
from durahub.server.api_rules import ApiRules
from durahub.server.call_log import CallLog
from durahub.server.dapr_service import dapr_routes
from durahub.server.grpc_transport import GrpcServer
from durahub.server.health_service import health_routes
from durahub.server.http_app import build_http_app
from durahub.server.http_gate import HttpGate
from durahub.server.http_server import HttpServer
from durahub.server.interruption import Interruptible
from durahub.server.limits import claim_limits, refuse_unsupported_limits, retention_of
from durahub.server.listening import usable_addresses
from durahub.server.metadata import Metadata
from durahub.server.open_waits import OpenWaits
from durahub.server.options import SidecarOptions
from durahub.server.reflection import SERVICES, reflection_routes
from durahub.server.selection import components_for, select_backend
from durahub.server.settings import Settings, load_settings, refuse_fixed_changes
from durahub.server.signals import reload_on_signal, stop_on_signals
from durahub.server.status import BuildIdentity
from durahub.server.taskhub_service import taskhub_routes
from durahub.server.tls import Tls

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
        self,
        edition: Edition,
        options: SidecarOptions,
        *,
        environ: Mapping[str, str],
        apply_logging: Callable[[LoggingSection], None] = lambda _: None,
    ) -> None:
        """Prepare a sidecar; does no I/O.

        Args:
            edition: Which backends may be loaded.
            options: How to run.
            environ: Where configuration files look up environment variables.
            apply_logging: Is told what the configuration says about the log, at the start and whenever
                the configuration is read again.
        """
        self._edition = edition
        self._options = options
        self._environ = environ
        self._metadata = Metadata(self)
        self._waits = OpenWaits()
        self._apply_logging = apply_logging
        self._stop_requested = asyncio.Event()
        self._starting = Interruptible()
        self._running = AsyncExitStack()
        self._is_serving = False
        self._engine: Engine | None = None
        self._identity: BuildIdentity | None = None
        self._access = AccessControl()
        self._rules = ApiRules()
        self._calls = CallLog()
        self._tls: Tls | None = None
        self._settings: Settings | None = None
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
        return () if self._settings is None else self._settings.components

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

    def reload(self) -> None:
        """Read the files again, and go by what they say now; or log why not, and change nothing.

        What takes a restart is refused. Only inside the block, and on its loop.
        """
        running = self._settings
        if running is None or self._engine is None:
            return
        try:
            wanted = load_settings(self._options, self._environ)
            refuse_fixed_changes(running, wanted)
            pems = None if self._tls is None else self._tls.reread()
        except DurahubError as error:
            _log.error("the reload is refused, nothing has changed", extra={"error": str(error)})
            return
        if self._tls is not None and pems is not None:
            self._tls.replace(pems)
        self._use(wanted)
        configuration = wanted.configuration
        self._engine.reconfigure(
            max_concurrent_workflows=configuration.max_concurrent_workflows,
            max_concurrent_activities=configuration.max_concurrent_activities,
            retention=retention_of(configuration),
        )
        tokens = ",".join(token.caller.name for token in wanted.tokens)
        _log.info("reloaded", extra={"tokens": tokens or "none"})

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
        settings = load_settings(self._options, self._environ)
        configuration = settings.configuration
        self._tls = None if self._options.tls is None else Tls(self._options.tls)
        self._use(settings)
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
        stack.callback(self._waits.end_all)
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
            retention=retention_of(configuration),
            components=components_for(self.components),
            internal_grpc_port=self._options.internal_grpc_port,
        )

    def _use(self, settings: Settings) -> None:
        """Go by settings, as far as they may change; nothing of it fails."""
        self._settings = settings
        configuration = settings.configuration
        self._access.replace(settings.tokens)
        self._rules.replace(configuration.api.allowed, configuration.api.denied)
        calls = configuration.logging.api_logging
        self._calls.is_enabled = self._options.logs_calls or bool(calls.enabled)
        self._calls.obfuscates = calls.obfuscate_urls
        self._calls.omits_health = calls.omit_health_checks
        self._apply_logging(configuration.logging)

    async def _start_http(self, stack: AsyncExitStack, engine: Engine) -> None:
        api = build_http_app(
            self,
            engine.client,
            self._metadata,
            access=self._access,
            max_body_bytes=self._options.max_message_bytes,
            waits=self._waits,
        )
        app = HttpGate(api, rules=self._rules, calls=self._calls)
        server = HttpServer(app, hosts=self._hosts, port=self._options.http_port, tls=self._tls)
        await stack.enter_async_context(server)
        self._ports = (server.port, self._options.grpc_port)

    async def _enter_grpc(self, stack: AsyncExitStack, engine: Engine) -> GrpcServer:
        server = GrpcServer(
            (
                *taskhub_routes(engine),
                *dapr_routes(engine.client, self._metadata, self),
                *health_routes(self, SERVICES),
                *reflection_routes(),
            ),
            hosts=self._hosts,
            port=self._options.grpc_port,
            max_message_bytes=self._options.max_message_bytes,
            access=self._access,
            rules=self._rules,
            calls=self._calls,
            tls=self._tls,
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

    SIGHUP makes it read its files again.

    Raises:
        DurahubError: It could not start.
    """
    with stop_on_signals(sidecar.request_stop), reload_on_signal(sidecar.reload):
        async with sidecar:
            await sidecar.wait_for_stop()


def _report_notices(configuration: Configuration) -> None:
    if configuration.ignored_sections:
        _log.info(
            "sections of the configuration that do not concern workflows are ignored",
            extra={"sections": ",".join(configuration.ignored_sections)},
        )
    if configuration.unknown_keys:
        _log.info(
            "keys of the configuration that are not known here are ignored",
            extra={"keys": ",".join(configuration.unknown_keys)},
        )

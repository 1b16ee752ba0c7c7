"""Runs a sidecar and an application side by side, until the application ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from durahub.cli.app_process import EXIT_SIGNAL_BASE, AppProcess
from durahub.server.sidecar import Sidecar

_log = logging.getLogger("durahub.cli")

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One run of a sidecar with an application.

    The first SIGINT, SIGTERM or SIGHUP goes to the application's process group, and the application
    decides when to end; a second one kills the group. Before the application runs, a signal stops the
    sidecar's start; after it ended, it ends this process at once.
    """

    def __init__(self, sidecar: Sidecar, *, grace_s: float) -> None:
        """Prepare a run.

        Args:
            sidecar: Not yet started.
            grace_s: How long the application may take to end when the sidecar stops before it.
        """
        self._sidecar = sidecar
        self._grace_s = grace_s
        self._app: AppProcess | None = None
        self._received: signal.Signals | None = None

    async def run(self, command: Sequence[str], *, program: str, environ: Mapping[str, str]) -> int:
        """Return the exit code: the application's, or 128 + n if signal n came before it ran.

        Args:
            command: The application's arguments, its name first.
            program: Path of its program.
            environ: Its environment, to which the sidecar's ports are added.

        Raises:
            DurahubError: The sidecar could not start; the application was not started.
            CommandError: The application could not be started.
        """
        with self._forwarding():
            async with self._sidecar:
                if self._received is not None:
                    return EXIT_SIGNAL_BASE + self._received
                self._app = await AppProcess.start(
                    command, program=program, environ=self._with_ports(environ)
                )
                try:
                    return await self._wait(self._app)
                finally:
                    await self._app.stop(self._grace_s)
                    self._end_forwarding()

    async def _wait(self, app: AppProcess) -> int:
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(app.wait())
            stopped = tasks.create_task(self._sidecar.wait_for_stop())
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._let_end(app, ended)
            stopped.cancel()
        code = ended.result()
        _log.info("the application has ended", extra={"exit_code": code})
        return code

    async def _let_end(self, app: AppProcess, ended: asyncio.Task[int]) -> None:
        # An application that asks for the shutdown of its sidecar is usually about to end by itself.
        await asyncio.wait((ended,), timeout=self._grace_s)
        if not ended.done():
            _log.warning("the sidecar stops and the application still runs: stopping it")
            await app.stop(self._grace_s)

    def _with_ports(self, environ: Mapping[str, str]) -> dict[str, str]:
        if "DAPR_GRPC_ENDPOINT" in environ:
            _log.warning(
                "DAPR_GRPC_ENDPOINT is set: the application may connect to another sidecar"
            )
        return {
            **environ,
            "APP_ID": self._sidecar.app_id,
            "DAPR_HTTP_PORT": str(self._sidecar.http_port),
            "DAPR_GRPC_PORT": str(self._sidecar.grpc_port),
        }

    @contextmanager
    def _forwarding(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._forward, number)
        try:
            yield
        finally:
            self._end_forwarding()

    def _forward(self, number: signal.Signals) -> None:
        is_first, self._received = self._received is None, number
        if self._app is None:
            self._sidecar.request_stop(f"received {number.name}")
        else:
            self._app.send(number if is_first else signal.SIGKILL)

    def _end_forwarding(self) -> None:
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            with suppress(ValueError):
                if loop.remove_signal_handler(number):
                    signal.signal(number, signal.SIG_DFL)

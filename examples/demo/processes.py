"""The processes that the demo starts, and ends."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

APP = Path(__file__).parents[1] / "app.py"
DURAHUB = Path(sys.executable).with_name("durahub")
APP_ID = "demo"

_PORTS = range(20_000, 30_000)
"""Below those that the system gives to outgoing connections: a port stays free between two starts."""

_STOP_S = 10.0
_POLL_S = 0.02


class DemoError(Exception):
    """Something did not happen that the demo promises."""


class Workshop:
    """A directory, and the processes that work in it; all end with the `with` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / ".durahub" / "state.db"
        self.ledger = directory / "ledger.txt"
        self.sidecar_log = directory / "sidecar.log"
        self.app_log = directory / "app.log"
        self.http_port, self.grpc_port = _free_port(), _free_port()
        self.ledger.touch()
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    @property
    def app_command(self) -> tuple[str, ...]:
        """The command line of the application."""
        return (sys.executable, str(APP), "--ledger", str(self.ledger))

    def run(self) -> subprocess.Popen[bytes]:
        """Start the sidecar together with the application."""
        flags = ("--app-id", APP_ID, *self._flags(), "--", *self.app_command)
        return self._start((str(DURAHUB), "run", *flags), self.sidecar_log)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the sidecar by itself."""
        flags = ("--app-id", APP_ID, *self._flags())
        return self._start((str(DURAHUB), "serve", *flags), self.sidecar_log)

    def start_app(self) -> subprocess.Popen[bytes]:
        """Start the application by itself."""
        port = f"DAPR_GRPC_PORT={self.grpc_port}"
        return self._start(("env", port, *self.app_command), self.app_log)

    def wait_until_ready(self, sidecar: subprocess.Popen[bytes]) -> None:
        """Return when the sidecar serves and the application is connected.

        Raises:
            DemoError: The sidecar ended, or it took too long.
        """

        def is_settled() -> bool:
            return sidecar.poll() is not None or self._connected_workers() > 0

        wait_until(is_settled, "the application to connect")
        if sidecar.poll() is not None:
            raise DemoError(f"the sidecar ended with exit code {sidecar.returncode}")

    def _flags(self) -> tuple[str, ...]:
        return (
            *("--dapr-grpc-port", str(self.grpc_port)),
            *("--dapr-http-port", str(self.http_port)),
        )

    def _start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for the demo, which then ends the others.
                start_new_session=True,
            )
        self._processes.callback(end, process)
        return process

    def _connected_workers(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", "/v1.0/metadata")
            document = json.load(connection.getresponse())
        except OSError:
            return 0
        finally:
            connection.close()
        return int(document["workflows"]["connectedWorkers"])


def end(process: subprocess.Popen[bytes]) -> int:
    """End a process, gracefully if it can, and return its exit code. Idempotent."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(_STOP_S)
    finally:
        _kill_session(process.pid)
        process.wait()


def _kill_session(session: int) -> None:
    """Kill what is left of a process and its children, such as the application of `durahub run`."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(entry.name)) == session:
                os.kill(int(entry.name), signal.SIGKILL)


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = 20.0) -> None:
    """Return as soon as `condition()` is true.

    Raises:
        DemoError: It took too long.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(_POLL_S)  # noqa: TID251 - no loop runs here


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port

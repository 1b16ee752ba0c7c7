"""A sidecar with what connects to it, as processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.e2e.client import Client, ClientProcess
from tests.e2e.database import PostgresSchema
from tests.e2e.processes import HERE, Child, LogBook, wait_until
from tests.e2e.sidecar import Setup, Sidecar

WORKER_READY = "ready for work"
"""What an application prints when it is connected."""


@dataclass(frozen=True)
class Stack:
    """A ready sidecar and a client of each kind."""

    sidecar: Sidecar
    sync: Client
    aio: Client


class Launcher:
    """Starts processes that end when its `with` block does.

    Args:
        clients: Runs the clients.
        logs: Where all processes write.
    """

    def __init__(self, clients: ClientProcess, logs: LogBook) -> None:
        self._clients = clients
        self._logs = logs
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def start(
        self,
        backend: str,
        directory: Path,
        more_flags: Sequence[str] = (),
        server: str = "",
        **workflow: Any,
    ) -> Stack:
        """Start a sidecar; the other arguments are those of `Setup.of`."""
        setup = Setup.of(backend, directory, server, **workflow)
        if isinstance(setup.database, PostgresSchema):
            self._undo.callback(setup.database.drop)
        sidecar = Sidecar(setup, self._logs, more_flags)
        self._undo.callback(sidecar.kill)
        sidecar.start()
        return Stack(
            sidecar,
            Client(self._clients, "sync", sidecar.grpc_port),
            Client(self._clients, "aio", sidecar.grpc_port),
        )

    def connect_worker(self, sidecar: Sidecar, app: str = "worker_app.py") -> Child:
        """Start one more process of an application, and return it when it says that it is connected."""
        log = self._logs.add("worker")
        worker = Child((sys.executable, str(HERE / app), str(sidecar.grpc_port)), log=log)
        self._undo.callback(worker.kill)
        wait_until(lambda: WORKER_READY in log.read_text(), "a connected worker")
        return worker

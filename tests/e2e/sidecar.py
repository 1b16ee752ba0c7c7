"""The sidecar under test, as a process."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.database import Database, PostgresSchema, SqliteFile
from tests.e2e.processes import HERE, Child, LogBook, wait_until

APP_ID = "e2e"
NO_CONTENT = 204

_FIRST_PORT, _PORTS_PER_PROCESS = 20_000, 1_000
"""Below the ports that the kernel gives to outgoing connections: a restart finds its port free."""


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST_PORT + worker % 10 * _PORTS_PER_PROCESS
    for number in itertools.count(os.getpid()):
        port = first + number % _PORTS_PER_PROCESS
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                yield port


_free_ports = _ports()


def next_port() -> int:
    """Return a port that nobody uses and that no other test gets."""
    return next(_free_ports)


_OSS_BUILD = (str(Path(sys.executable).with_name("durahub")),)

COMMANDS = {
    "default": _OSS_BUILD,
    "actors": _OSS_BUILD,
    "sqlite": _OSS_BUILD,
    "postgres": _OSS_BUILD,
    "memory": (sys.executable, str(HERE / "memory_build.py")),
}


@dataclass(frozen=True)
class Setup:
    """How to run a sidecar with one kind of backend.

    Attributes:
        backend: Its type.
        command: The build's command.
        database: Where the backend keeps its tables; None if it has none.
        config: The Dapr configuration that selects it; None: there is none at all.
        directory: Where the sidecar works.
    """

    backend: str
    command: tuple[str, ...]
    database: Database | None
    config: Path | None
    directory: Path | None = None

    @classmethod
    def of(cls, backend: str, directory: Path, server: str = "", **workflow: Any) -> Setup:
        """Prepare a backend of type `backend` that keeps what it keeps in `directory`, or on a server.

        Args:
            backend: Its type; `default` for a sidecar without any configuration.
            directory: Where.
            server: URL of the server that the backend `postgres` needs; it gets a schema of its own.
            workflow: More keys of `spec.workflow`.
        """
        if backend == "default":
            return cls(backend, COMMANDS[backend], None, None, directory)
        database, store = _store_of(backend, directory, server)
        config = directory / "config.yaml"
        selected = {"backendType": backend, "storeConfiguration": store}
        config.write_text(json.dumps(_configuration({**selected, **workflow})))
        return cls(backend, COMMANDS[backend], database, config, directory)


def _store_of(backend: str, directory: Path, server: str) -> tuple[Database | None, dict[str, Any]]:
    match backend:
        case "sqlite":
            path = directory / "workflows.db"
            return SqliteFile(path), {"connectionString": f"sqlite:///{path}"}
        case "postgres":
            schema = f"e2e_{uuid.uuid4().hex}"
            # What a killed sidecar owned is taken over after half of this time.
            store = {"connectionString": server, "schema": schema, "sessionTimeToLive": 2}
            return PostgresSchema(server, schema), store
    return None, {}


def _configuration(workflow: dict[str, Any]) -> dict[str, Any]:
    # JSON is YAML.
    return {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Configuration",
        "metadata": {"name": "e2e"},
        "spec": {"workflow": workflow},
    }


class Sidecar:
    """A sidecar that can be killed and started again, on the same ports and the same store.

    Args:
        setup: Which, and on what.
        logs: Where it writes.
        more_flags: Behind those that it needs.
        app_id: Of which application.
    """

    def __init__(
        self, setup: Setup, logs: LogBook, more_flags: Sequence[str] = (), app_id: str = APP_ID
    ) -> None:
        self.setup = setup
        self.app_id = app_id
        self._more_flags = more_flags
        self.http_port = next_port()
        self.grpc_port = next_port()
        self.log = logs.add("sidecar")
        self._child: Child | None = None

    def launch(self) -> None:
        """Start the process and do not wait for anything."""
        flags = {
            "--app-id": self.app_id,
            "--dapr-http-port": str(self.http_port),
            "--dapr-grpc-port": str(self.grpc_port),
        }
        if self.setup.config is not None:
            flags["--config"] = str(self.setup.config)
        command = (*self.setup.command, "serve", *itertools.chain(*flags.items()))
        self._child = Child(
            (*command, *self._more_flags), log=self.log, directory=self.setup.directory
        )

    def start(self) -> None:
        """Start the process and return when it is ready."""
        self.launch()
        wait_until(lambda: self.is_ready() or not self.is_running, "a healthy sidecar")
        assert self.is_running, "the sidecar ended while it started"

    @property
    def pid(self) -> int:
        """The process, and its group."""
        assert self._child is not None
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    @property
    def output(self) -> str:
        """What it has written, in all its lives."""
        return self.log.read_text()

    @property
    def connected_workers(self) -> int:
        return int(self.metadata()["workflows"]["connectedWorkers"])

    def metadata(self) -> dict[str, Any]:
        """Return what it says about itself."""
        document: dict[str, Any] = json.loads(self._get("/v1.0/metadata")[1])
        return document

    def kill(self) -> None:
        """End it with SIGKILL. Idempotent."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        assert self._child is not None
        return self._child.stop()

    def is_ready(self) -> bool:
        """Return whether it says that it is healthy."""
        try:
            return self._get("/v1.0/healthz")[0] == NO_CONTENT
        except OSError:
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

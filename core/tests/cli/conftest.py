"""The command line as a user meets it: a process of its own, in a directory of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

COMMAND = (sys.executable, "-c", "from durahub.cli.main import main; main()")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str
    took_s: float


@pytest.fixture
def environ() -> dict[str, str]:
    """Return the environment without anything that the command reads."""
    # And without what a test before may have added, by importing the RPC library.
    ours = ("DAPR_", "APP_", "NAMESPACE", "GRPC_VERBOSITY")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


@pytest.fixture
def durahub(tmp_path: Path, environ: dict[str, str]) -> Callable[..., Outcome]:
    """Run the command to its end."""

    def call(*arguments: str, **variables: str) -> Outcome:
        began = time.monotonic()
        done = subprocess.run(
            (*COMMAND, *arguments),
            cwd=tmp_path,
            env={**environ, **variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    return call


@pytest.fixture
def spawn(
    tmp_path: Path, environ: dict[str, str]
) -> Iterator[Callable[[Sequence[str]], subprocess.Popen[str]]]:
    """Start the command and leave it running; it is killed when the test ends."""
    running: list[subprocess.Popen[str]] = []

    def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            (*COMMAND, *arguments),
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def sqlite_config(tmp_path: Path) -> Path:
    """Return a configuration file that selects SQLite, in the directory of the command."""
    path = tmp_path / "sqlite.yaml"
    path.write_text(
        "apiVersion: dapr.io/v1alpha1\n"
        "kind: Configuration\n"
        "metadata: {name: test}\n"
        "spec:\n"
        "  workflow:\n"
        "    backendType: sqlite\n"
        "    storeConfiguration: {connectionString: hub.db}\n"
    )
    return path


@pytest.fixture
def wait_until_ready() -> Callable[[int], None]:
    """Wait until the sidecar on an HTTP port says that it is ready."""

    def wait(port: int) -> None:
        for _ in range(200):
            try:
                with urlopen(f"http://127.0.0.1:{port}/v1.0/healthz", timeout=1):
                    return
            except OSError:
                threading.Event().wait(0.05)
        pytest.fail("the sidecar did not become ready")

    return wait

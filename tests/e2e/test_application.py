"""The application's own port: workflows need none, and one that is unwell disturbs nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.stack import Launcher

pytestmark = pytest.mark.parametrize(
    "backend", ["sqlite", "memory", "actors", "postgres"], indirect=True
)


class Unwell(BaseHTTPRequestHandler):
    """Answers every health check with an error."""

    def do_GET(self) -> None:
        self.send_error(500)


@pytest.fixture
def unwell_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Unwell) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parity("top/noapp")
def test_workflows_run_without_a_port_of_the_application(client: Client) -> None:
    assert client.run("sequence", 1) == 4


@pytest.mark.parity("top/unhealthy")
def test_workflows_run_although_the_application_is_unwell(
    backend: str, server: str, launcher: Launcher, tmp_path: Path, unwell_port: int
) -> None:
    stack = launcher.start(
        backend,
        tmp_path,
        (
            *("--app-port", str(unwell_port), "--enable-app-health-check"),
            *("--app-health-probe-interval", "1", "--app-health-threshold", "1"),
        ),
        server=server,
    )
    launcher.connect_worker(stack.sidecar)
    assert stack.sync.run("sequence", 1) == 4

"""What a new user gets: no configuration at all."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.e2e.client import Client, ClientProcess
from tests.e2e.processes import Child, LogBook, wait_until
from tests.e2e.sidecar import COMMANDS, Setup, Sidecar, next_port
from tests.e2e.stack import Launcher

APP = Path(__file__).parents[2] / "examples" / "app.py"
CROSSAPP = Path(__file__).parents[1] / "parity" / "crossapp_app.py"
STEPS = 25


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def count_lines(ledger: Path) -> int:
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


def test_a_workflow_survives_the_kill_of_its_sidecar(tmp_path: Path, launcher: Launcher) -> None:
    stack = launcher.start("default", tmp_path)
    worker = launcher.connect_worker(stack.sidecar)
    listening = stack.sync.start("listener", 3)
    stack.sync.tell(listening, "go", 1)
    stack.sync.tell(listening, "go", 2)
    gated = stack.sync.start("gated", str(tmp_path))
    wait_until(lambda: list(tmp_path.glob("[0-9]*")), "the activity begun")
    stack.sidecar.kill()
    (tmp_path / "open").touch()
    stack.sidecar.start()
    stack.sync.tell(listening, "go", 3)
    # Nobody waits until the killed sidecar's session would be overdue.
    assert stack.sync.wait(listening, timeout_s=15).result == [1, 2, 3]
    assert stack.sync.wait(gated, timeout_s=15).result == worker.pid
    assert stack.sidecar.stop() == os.EX_OK
    with closing(sqlite3.connect(tmp_path / ".durahub" / "state.db")) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM keys")]
    assert f"dapr.internal.default.e2e.workflow||{gated}||history-000000" in keys


def test_durahub_run_goes_on_after_a_kill(
    tmp_path: Path, client_process: ClientProcess, logs: LogBook, undo: ExitStack
) -> None:
    ports = (next_port(), next_port())
    client = Client(client_process, "sync", ports[1])
    ledger = tmp_path / "ledger.txt"
    run = (*COMMANDS["default"], "run", "--app-id", "shop", "--dapr-http-port", str(ports[0]))
    app = (sys.executable, str(APP), "--ledger", str(ledger))
    command = (*run, "--dapr-grpc-port", str(ports[1]), "--", *app)

    def start() -> Child:
        child = Child(command, log=logs.add("run"), directory=tmp_path)
        undo.callback(child.kill)
        return child

    first = start()
    wait_until(lambda: is_serving(client), "a sidecar")
    client.start("long", STEPS, instance_id="long")
    wait_until(lambda: count_lines(ledger) >= STEPS // 2, "the middle")
    first.kill()
    assert count_lines(ledger) < STEPS
    second = start()
    wait_until(lambda: is_serving(client), "another sidecar")
    assert client.wait("long").result == list(range(1, STEPS + 1))
    assert second.stop() == os.EX_OK
    assert sorted(path.name for path in tmp_path.iterdir()) == [".durahub", "ledger.txt"]


def is_serving(client: Client) -> bool:
    return client.submit("get_workflow_state", "nobody").exception(20) is None


def test_two_applications_of_one_directory_call_each_other(
    tmp_path: Path, client_process: ClientProcess, logs: LogBook, undo: ExitStack
) -> None:
    setup = Setup.of("default", tmp_path)
    sidecars = [Sidecar(setup, logs, app_id=app_id) for app_id in ("shop", "other")]
    for sidecar in sidecars:
        undo.callback(sidecar.kill)
        sidecar.start()
        port = str(sidecar.grpc_port)
        worker = Child(
            (sys.executable, str(CROSSAPP), port, sidecar.app_id), log=logs.add("worker")
        )
        undo.callback(worker.kill)
    client = Client(client_process, "sync", sidecars[0].grpc_port)
    client.start("Flow", "x", instance_id="flow")
    client.tell("flow", "go", "!")
    result = client.wait("flow").result
    # The child's activity ran at its caller's application.
    assert result.startswith("x>other>")
    assert result.endswith(">shop!")

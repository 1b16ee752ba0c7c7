"""Workers that come late, come in numbers, and die."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import Child, wait_until
from tests.e2e.stack import Launcher, Stack

AT_ONCE_S = 3.0
"""Far less than any time after which work could be given to someone else for being overdue."""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A directory at which activities wait until there is a file `open`."""
    directory = tmp_path / "gate"
    directory.mkdir()
    return directory


def open_gate(gate: Path) -> None:
    (gate / "open").touch()


def test_a_start_waits_for_a_worker_that_comes_later(
    bare_client: Client, add_worker: Callable[[], Child]
) -> None:
    instance_id = uuid.uuid4().hex
    started = bare_client.submit(
        "schedule_new_workflow", "sequence", input=1, instance_id=instance_id
    )
    wait_until(lambda: bare_client.find(instance_id), "an instance")
    assert bare_client.status(instance_id) == "PENDING"
    assert not started.done()
    add_worker()
    assert started.result(AT_ONCE_S) == instance_id
    assert bare_client.wait(instance_id).result == 4


def test_two_workers_share_the_work(
    bare_stack: Stack, bare_client: Client, add_worker: Callable[[], Child]
) -> None:
    workers = {add_worker().pid, add_worker().pid}
    wait_until(lambda: bare_stack.sidecar.connected_workers == 2, "two streams")
    assert set(bare_client.run("process_ids", 20)) == workers
    assert {bare_client.run("turn_process_id") for _ in range(40)} == workers


def test_a_workflow_goes_on_with_another_worker(
    bare_client: Client, add_worker: Callable[[], Child]
) -> None:
    first = add_worker()
    instance_id = bare_client.start("listener", 2)
    bare_client.tell(instance_id, "go", "before")
    wait_until(lambda: "eventRaised" in bare_client.history(instance_id), "the event in history")
    first.kill()
    add_worker()
    bare_client.tell(instance_id, "go", "after")
    assert bare_client.wait(instance_id).result == ["before", "after"]


def test_the_activity_of_a_killed_worker_goes_to_another_one_at_once(
    bare_client: Client, add_worker: Callable[[], Child], gate: Path
) -> None:
    first = add_worker()
    instance_id = bare_client.start("gated", str(gate))
    wait_until((gate / str(first.pid)).exists, "an activity in the first worker")
    second = add_worker()
    killed_at = time.monotonic()
    first.kill()
    wait_until((gate / str(second.pid)).exists, "it in the second", timeout_s=AT_ONCE_S)
    assert time.monotonic() - killed_at < AT_ONCE_S
    open_gate(gate)
    assert bare_client.wait(instance_id).result == second.pid
    assert bare_client.history(instance_id).count("taskCompleted") == 1


def test_what_the_last_worker_held_goes_to_the_next_one(
    bare_client: Client, add_worker: Callable[[], Child], gate: Path
) -> None:
    first = add_worker()
    instance_id = bare_client.start("gated", str(gate))
    wait_until((gate / str(first.pid)).exists, "an activity in the first worker")
    first.kill()
    open_gate(gate)
    second = add_worker()
    assert bare_client.wait(instance_id).result == second.pid


def test_a_sidecar_stops_in_order_with_work_in_progress(
    backend: str, tmp_path: Path, launcher: Launcher, gate: Path
) -> None:
    stack = launcher.start(backend, tmp_path)
    launcher.connect_worker(stack.sidecar)
    stack.sync.start("gated", str(gate))
    wait_until(lambda: any(gate.iterdir()), "an activity in the worker")
    assert stack.sidecar.stop() == os.EX_OK

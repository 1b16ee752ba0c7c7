"""Workflows that hand on their history, and what the SDK shows of it to whom it was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import wait_until
from tests.e2e.sidecar import APP_ID
from tests.e2e.stack import Launcher, Stack

TURN = "workflowStarted"
START = [TURN, "executionStarted"]
STEP = ["taskScheduled", TURN, "taskCompleted"]
APP = "lineage_app.py"


@pytest.fixture
def heir_client(bare_stack: Stack, bare_client: Client, launcher: Launcher) -> Iterator[Client]:
    """A client of a sidecar whose only worker is the application that hands on its history."""
    wait_until(lambda: bare_stack.sidecar.connected_workers == 0, "the other tests' workers gone")
    worker = launcher.connect_worker(bare_stack.sidecar, APP)
    yield bare_client
    worker.kill()


def test_an_activity_sees_the_history_only_if_it_is_given(heir_client: Client) -> None:
    assert heir_client.run("asking") is None
    assert heir_client.run("asking", "NONE") is None
    instance_id = heir_client.start("asking", "OWN_HISTORY")
    assert heir_client.wait(instance_id).result == {
        "scope": "OWN_HISTORY",
        "apps": [APP_ID],
        "workflows": [["asking", instance_id]],
        "events": [*START, *STEP, "taskScheduled"],
        "steps": [["1", "2", False]],
    }


def test_each_attempt_of_an_activity_sees_those_before_it(heir_client: Client) -> None:
    assert heir_client.run("retrying") == 2


def test_a_lineage_reaches_from_the_first_workflow_to_the_last_activity(
    heir_client: Client,
) -> None:
    one = heir_client.start("first", "LINEAGE")
    names = [["first", one], ["second", f"{one}.2"], ["third", f"{one}.2.3"]]
    below = heir_client.wait(one).result
    assert [seen["workflows"] for seen in below] == [names[:1], names[:2], names]
    assert [seen["scope"] for seen in below] == ["LINEAGE"] * 3
    assert below[2]["steps"] == [["10", "11", False], ["20", "21", False], ["30", "31", False]]
    assert below[1]["events"] == [*START, *STEP, "childWorkflowInstanceCreated"] * 2


def test_own_history_keeps_back_what_came_before_it(heir_client: Client) -> None:
    one = heir_client.start("first", "OWN_HISTORY")
    names = [["first", one], ["second", f"{one}.2"], ["third", f"{one}.2.3"]]
    below = heir_client.wait(one).result
    assert [seen["workflows"] for seen in below] == [names[:1], names[1:2], names[1:]]
    assert below[2]["steps"] == [["20", "21", False], ["30", "31", False]]


def test_a_generation_sees_those_before_it(heir_client: Client) -> None:
    seen = heir_client.run("looping")
    assert [name for name, _ in seen["workflows"]] == ["looping", "generation", "generation"]
    assert [step[0] for step in seen["steps"]] == ["1", "2"]


def test_a_child_sees_the_same_after_a_kill(tmp_path: Path, launcher: Launcher) -> None:
    stack = launcher.start("sqlite", tmp_path)
    launcher.connect_worker(stack.sidecar, APP)
    instance_id = stack.sync.start("patient")
    child_id = f"{instance_id}.waiting"
    wait_until(lambda: stack.sync.find(child_id), "a child")
    wait_until(lambda: stack.sync.state(child_id).custom_status == "waits", "a child that waits")
    stack.sidecar.kill()
    stack.sidecar.start()
    wait_until(lambda: stack.sidecar.connected_workers > 0, "a worker that came back")
    stack.sync.tell(child_id, "go", None)
    before, after = stack.sync.wait(instance_id).result
    assert before == after
    assert before["workflows"] == [["patient", instance_id]]
    assert before["events"] == [*START, *STEP, "childWorkflowInstanceCreated"]

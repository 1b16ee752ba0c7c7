"""Suspending, resuming and terminating."""

from __future__ import annotations

from tests.e2e.client import Client
from tests.e2e.processes import wait_until


def test_a_suspended_workflow_does_nothing_until_it_is_resumed(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    each_client.call("pause_workflow", instance_id)
    assert each_client.status(instance_id) == "SUSPENDED"
    each_client.tell(instance_id, "go", "kept")
    wait_until(lambda: "eventRaised" in each_client.history(instance_id), "the event in history")
    assert each_client.status(instance_id) == "SUSPENDED"
    each_client.call("resume_workflow", instance_id)
    assert each_client.wait(instance_id).result == ["kept"]


def test_a_timer_that_is_due_while_suspended_counts_after_the_resume(client: Client) -> None:
    instance_id = client.start("impatient", 0.3)
    client.call("pause_workflow", instance_id)
    wait_until(lambda: "timerFired" in client.history(instance_id), "a fired timer")
    assert client.status(instance_id) == "SUSPENDED"
    client.call("resume_workflow", instance_id)
    assert client.wait(instance_id).result == "too late"


def test_a_second_suspend_needs_no_second_resume(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    each_client.call("pause_workflow", instance_id)
    each_client.call("pause_workflow", instance_id)
    each_client.call("resume_workflow", instance_id)
    assert each_client.status(instance_id) == "RUNNING"
    each_client.tell(instance_id, "go", 1)
    assert each_client.wait(instance_id).result == [1]


def test_a_resume_of_a_running_workflow_changes_nothing(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    each_client.call("resume_workflow", instance_id)
    each_client.tell(instance_id, "go", 1)
    assert each_client.wait(instance_id).result == [1]


def test_terminate_returns_when_the_workflow_has_ended(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    each_client.terminate(instance_id, output={"why": "bye"})
    state = each_client.state(instance_id)
    assert (state.status, state.output) == ("TERMINATED", '{"why": "bye"}')


def test_a_terminated_workflow_can_be_purged_at_once(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    each_client.terminate(instance_id)
    each_client.call("purge_workflow", instance_id)
    assert each_client.find(instance_id) is None


def test_terminate_ends_a_suspended_workflow(client: Client) -> None:
    instance_id = client.start("listener", 1)
    client.call("pause_workflow", instance_id)
    client.terminate(instance_id)
    assert client.status(instance_id) == "TERMINATED"


def test_terminate_of_an_ended_workflow_changes_nothing(each_client: Client) -> None:
    instance_id = each_client.start("nothing", 1)
    before = each_client.wait(instance_id)
    each_client.terminate(instance_id, output="late")
    assert each_client.state(instance_id) == before


def test_terminate_reaches_all_descendants(each_client: Client) -> None:
    root = each_client.start("family", 2)
    family = [root, *(f"{root}.{path}" for path in ("0", "1", "0.0", "0.1", "1.0", "1.1"))]
    wait_until(lambda: all(map(each_client.find, family)), "all descendants")
    each_client.terminate(root)
    assert [each_client.wait(member).status for member in family] == ["TERMINATED"] * 7


def test_terminate_leaves_children_if_told_so(each_client: Client) -> None:
    root = each_client.start("family", 1)
    children = [f"{root}.0", f"{root}.1"]
    wait_until(lambda: all(map(each_client.find, children)), "both children")
    each_client.terminate(root, recursive=False)
    assert each_client.status(root) == "TERMINATED"
    assert [each_client.status(child) for child in children] == ["RUNNING"] * 2


def test_a_parent_sees_a_terminated_child_as_failed(client: Client) -> None:
    parent = client.start("family", 1)
    wait_until(lambda: client.find(f"{parent}.0"), "a child")
    for child in (f"{parent}.0", f"{parent}.1"):
        client.terminate(child)
    assert client.wait(parent).status == "FAILED"


def test_terminate_reaches_an_endless_chain_of_generations(client: Client) -> None:
    instance_id = client.start("endless")
    client.terminate(instance_id, output="enough")
    assert client.state(instance_id).status == "TERMINATED"

"""Ended workflows that clients start over from one of their events."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.e2e.client import Client, SdkError

TURN = "workflowStarted"
START = [TURN, "executionStarted"]
END = "executionCompleted"
STEP = ["taskScheduled", TURN, "taskCompleted"]


def ended(client: Client, workflow: str, argument: object = None) -> str:
    instance_id = client.start(workflow, argument)
    client.wait(instance_id)
    return instance_id


def rerun(client: Client, instance_id: str, event_id: int, **more: object) -> str:
    """Return the id of the new instance; event ids of the SDK count from 1."""
    new_id: str = client.call("rerun_workflow_from_event", instance_id, event_id, **more)
    return new_id


def test_a_rerun_does_again_what_is_not_before_the_event(each_client: Client) -> None:
    old_id = ended(each_client, "sequence", 1)
    before = (each_client.state(old_id), each_client.history(old_id))
    for event_id in (1, 2, 3):
        new_id = rerun(each_client, old_id, event_id)
        assert each_client.wait(new_id).result == 4
        assert each_client.history(new_id)[-4:] == [*STEP, END]
        assert len(each_client.history(new_id)) == len(before[1])
    assert (each_client.state(old_id), each_client.history(old_id)) == before


def test_a_rerun_takes_a_new_input_and_a_new_id(each_client: Client) -> None:
    old_id, new_id = ended(each_client, "sequence", 1), f"rerun-{uuid4()}"
    assert rerun(each_client, old_id, 2, new_instance_id=new_id, input=10) == new_id
    state = each_client.wait(new_id)
    assert (state.name, state.input, state.result) == ("sequence", "1", 12)


def test_a_rerun_of_a_rerun(each_client: Client) -> None:
    first_id = rerun(each_client, ended(each_client, "sequence", 1), 3, input=10)
    assert each_client.wait(first_id).result == 11
    second_id = rerun(each_client, first_id, 2, input=20)
    assert each_client.wait(second_id).result == 22


def test_a_rerun_of_a_failed_workflow(each_client: Client) -> None:
    old_id = ended(each_client, "failing")
    assert each_client.status(old_id) == "FAILED"
    new_id = rerun(each_client, old_id, 1, input=0)
    assert each_client.wait(new_id).status == "COMPLETED"


def test_a_rerun_of_parallel_activities(each_client: Client) -> None:
    new_id = rerun(each_client, ended(each_client, "parallel", 5), 3)
    assert each_client.wait(new_id).result == [1, 2, 3, 4, 5]


def test_a_rerun_of_a_child(each_client: Client) -> None:
    old_id = ended(each_client, "parent", 1)
    new_id = rerun(each_client, old_id, 1)
    assert each_client.wait(new_id).result == 4
    assert each_client.status(f"{new_id}:0001") == "COMPLETED"
    child_id = f"child-{uuid4()}"
    named_id = rerun(each_client, old_id, 1, input=5, new_child_workflow_instance_id=child_id)
    assert each_client.wait(named_id).result == 8
    assert each_client.state(child_id).result == 8


def test_a_rerun_of_a_timer(each_client: Client) -> None:
    new_id = rerun(each_client, ended(each_client, "timer", 0.1), 1)
    assert each_client.wait(new_id).status == "COMPLETED"
    assert each_client.history(new_id) == [*START, "timerCreated", TURN, "timerFired", END]


def test_a_rerun_keeps_earlier_events_and_waits_for_later_ones(each_client: Client) -> None:
    old_id = each_client.start("listener", 2)
    for data in ("first", "second"):
        each_client.tell(old_id, "go", data)
    each_client.wait(old_id)
    # The SDK waits for each event with a timer: 1 and 2.
    new_id = rerun(each_client, old_id, 2)
    assert each_client.status(new_id) == "RUNNING"
    each_client.tell(new_id, "go", "another")
    assert each_client.wait(new_id).result == ["first", "another"]


def test_a_rerun_of_a_running_workflow_is_refused(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    with pytest.raises(SdkError, match=f"'{instance_id}' is not in a terminal state") as refused:
        rerun(each_client, instance_id, 1)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_a_rerun_of_a_missing_event_is_refused(each_client: Client) -> None:
    with pytest.raises(SdkError, match="does not have history event with ID '77'") as refused:
        rerun(each_client, ended(each_client, "nothing"), 77)
    assert refused.value.code == "NOT_FOUND"


def test_a_rerun_under_an_id_in_use_is_refused(each_client: Client) -> None:
    old_id, other_id = ended(each_client, "sequence", 1), ended(each_client, "nothing")
    with pytest.raises(SdkError, match=f"'{other_id}' has already been created") as refused:
        rerun(each_client, old_id, 1, new_instance_id=other_id)
    assert refused.value.code == "ALREADY_EXISTS"

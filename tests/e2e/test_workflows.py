"""Every kind of workflow, written with the unmodified SDK, on every backend."""

from __future__ import annotations

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import wait_until

pytestmark = pytest.mark.parametrize("backend", ["sqlite", "memory", "postgres"], indirect=True)


def test_activities_in_sequence_pass_results_on(client: Client) -> None:
    assert client.run("sequence", 1) == 4


@pytest.mark.parametrize("count", [0, 1, 30])
def test_parallel_activities_all_contribute(client: Client, count: int) -> None:
    assert client.run("parallel", count) == list(range(1, count + 1))


@pytest.mark.parametrize("value", [None, 0, "", "text", [1, {"a": "ü"}], {"b": [None, 1.5]}])
def test_input_and_output_arrive_as_they_were_sent(client: Client, value: object) -> None:
    assert client.run("nothing", value) == value


def test_a_timer_fires_after_its_time_and_not_before(client: Client) -> None:
    elapsed_s = client.run("timer", 0.6)
    assert 0.6 <= elapsed_s < 4


def test_a_timer_in_the_past_fires_at_once(client: Client) -> None:
    assert client.run("timer", -5) < 1


def test_external_events_arrive_in_order(client: Client) -> None:
    instance_id = client.start("listener", 3)
    for data in ("one", {"two": 2}, [3]):
        client.tell(instance_id, "go", data)
    assert client.wait(instance_id).result == ["one", {"two": 2}, [3]]


def test_an_event_name_matches_whatever_its_case(client: Client) -> None:
    instance_id = client.start("listener", 1)
    client.tell(instance_id, "GO", "loud")
    assert client.wait(instance_id).result == ["loud"]


def test_a_timer_ends_the_wait_for_an_event(client: Client) -> None:
    assert client.run("impatient", 0.2) == "too late"


def test_an_event_ends_the_wait_for_a_timer(client: Client) -> None:
    instance_id = client.start("impatient", 60)
    client.tell(instance_id, "go", "in time")
    assert client.wait(instance_id).result == "in time"


def test_a_child_workflow_gives_its_result_to_its_parent(client: Client) -> None:
    instance_id = client.start("parent", 5)
    assert client.wait(instance_id).result == 8
    assert client.state(f"{instance_id}-child").result == 8


def test_continue_as_new_starts_over_with_new_input(client: Client) -> None:
    instance_id = client.start("generations", 0)
    state = client.wait(instance_id)
    assert (state.result, state.input) == (5, "4")


def test_continue_as_new_carries_over_events_that_nobody_took(client: Client) -> None:
    instance_id = client.start("generation_per_event", [])
    for number in range(1, 4):
        client.tell(instance_id, "go", number)
    assert client.wait(instance_id).result == [1, 2, 3]


def test_custom_status_is_what_the_workflow_set_last(client: Client) -> None:
    instance_id = client.start("statuses")
    wait_until(lambda: client.state(instance_id).custom_status == "before", "the first status")
    client.tell(instance_id, "go", 1)
    assert client.wait(instance_id).custom_status == "after"


def test_a_retry_policy_repeats_a_failed_activity(client: Client) -> None:
    assert client.run("retrying", 3) == 3


def test_a_retry_policy_gives_up_after_its_last_attempt(client: Client) -> None:
    state = client.wait(client.start("retrying", 1_000))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "attempt 4 fails" in state.failure["message"]


def test_a_failed_activity_fails_the_workflow_with_its_message(client: Client) -> None:
    state = client.wait(client.start("failing"))
    assert (state.status, state.output) == ("FAILED", None)
    assert state.failure is not None
    assert "attempt 1 fails" in state.failure["message"]


def test_a_failed_child_can_be_caught(client: Client) -> None:
    assert "attempt 1 fails" in client.run("catching", "failing")


def test_a_failed_child_fails_a_parent_that_does_not_catch(client: Client) -> None:
    state = client.wait(client.start("passing_on", "failing"))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "attempt 1 fails" in state.failure["message"]


def test_an_unregistered_workflow_fails_and_says_so(client: Client) -> None:
    state = client.wait(client.start("nowhere"))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "nowhere" in state.failure["message"]


def test_an_unregistered_activity_fails_the_workflow_and_says_so(client: Client) -> None:
    state = client.wait(client.start("calling_nobody"))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "nobody" in state.failure["message"]

"""The exact history of each kind of workflow, as clients are told."""

from __future__ import annotations

from collections import Counter

from tests.e2e.client import Client
from tests.e2e.processes import wait_until

TURN = "workflowStarted"
START = [TURN, "executionStarted"]
END = "executionCompleted"


def history_of(client: Client, workflow: str, argument: object) -> list[str]:
    instance_id = client.start(workflow, argument)
    client.wait(instance_id)
    return client.history(instance_id)


def test_a_workflow_that_does_nothing(client: Client) -> None:
    assert history_of(client, "nothing", 1) == [*START, END]


def test_three_activities_in_sequence(client: Client) -> None:
    assert history_of(client, "sequence", 1) == [
        *START,
        *["taskScheduled", TURN, "taskCompleted"] * 3,
        END,
    ]


def test_parallel_activities_are_scheduled_by_one_turn(client: Client) -> None:
    history = history_of(client, "parallel", 5)
    assert history[:7] == [*START, *["taskScheduled"] * 5]
    # Results that arrive together share a turn.
    rest = Counter(history[7:])
    assert 1 <= rest.pop(TURN) <= 5
    assert rest == {"taskCompleted": 5, END: 1}
    assert history[-1] == END


def test_a_timer(client: Client) -> None:
    assert history_of(client, "timer", 0.1) == [*START, "timerCreated", TURN, "timerFired", END]


def test_an_external_event(client: Client) -> None:
    instance_id = client.start("listener", 1)
    client.tell(instance_id, "go", 1)
    client.wait(instance_id)
    # The SDK waits for events with a timer that never fires.
    assert client.history(instance_id) == [*START, "timerCreated", TURN, "eventRaised", END]


def test_parent_and_child_have_a_history_each(client: Client) -> None:
    instance_id = client.start("parent", 1)
    client.wait(instance_id)
    assert client.history(instance_id) == [
        *START,
        "childWorkflowInstanceCreated",
        TURN,
        "childWorkflowInstanceCompleted",
        END,
    ]
    assert len(client.history(f"{instance_id}-child")) == 12


def test_a_failed_child_is_an_event_of_its_parent(client: Client) -> None:
    assert history_of(client, "catching", "failing")[-3:] == [
        TURN,
        "childWorkflowInstanceFailed",
        END,
    ]


def test_a_retried_activity_waits_with_a_timer(client: Client) -> None:
    assert history_of(client, "retrying", 2) == [
        *START,
        *["taskScheduled", TURN, "taskFailed"],
        *["timerCreated", TURN, "timerFired"],
        *["taskScheduled", TURN, "taskCompleted"],
        END,
    ]


def test_only_the_last_generation_is_kept(client: Client) -> None:
    assert history_of(client, "generations", 0) == [
        *START,
        *["taskScheduled", TURN, "taskCompleted"],
        END,
    ]


def test_suspending_and_resuming(client: Client) -> None:
    instance_id = client.start("listener", 1)
    client.call("pause_workflow", instance_id)
    client.call("resume_workflow", instance_id)
    client.tell(instance_id, "go", 1)
    client.wait(instance_id)
    assert client.history(instance_id) == [
        *START,
        "timerCreated",
        *[TURN, "executionSuspended"],
        *[TURN, "executionResumed"],
        *[TURN, "eventRaised"],
        END,
    ]


def test_terminating(client: Client) -> None:
    instance_id = client.start("listener", 1)
    client.terminate(instance_id)
    assert client.history(instance_id) == [
        *START,
        "timerCreated",
        *[TURN, "executionTerminated"],
        END,
    ]


def test_events_carry_the_ids_of_their_actions(client: Client) -> None:
    instance_id = client.start("sequence", 1)
    client.wait(instance_id)
    events = client.call("get_workflow_history", instance_id)
    numbered = [(event["kind"], event["event_id"]) for event in events if event["event_id"] != -1]
    assert numbered == [*(("taskScheduled", n) for n in (1, 2, 3)), (END, 4)]


def test_a_history_grows_while_the_workflow_runs(client: Client) -> None:
    instance_id = client.start("listener", 2)
    client.tell(instance_id, "go", 1)
    wait_until(lambda: "eventRaised" in client.history(instance_id), "the event in history")
    assert END not in client.history(instance_id)

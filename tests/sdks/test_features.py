"""Every feature of workflows with every SDK."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.e2e.client import SdkError
from tests.e2e.processes import pause, wait_until
from tests.sdks.app import App
from tests.sdks.families import Defect, each_family
from tests.sdks.mixture import Mixture
from tests.sdks.stand import SOME_CONNECTIONS, Stand


@each_family()
def test_start_keeps_the_given_id_and_wait_returns_the_result(app: App) -> None:
    wanted = str(uuid.uuid4())
    assert app.start("sequence", 1, instance_id=wanted) == wanted
    assert app.wait(wanted).result == 4


@each_family()
def test_start_of_an_active_id_is_refused(app: App) -> None:
    instance_id = app.start("listener", 1)
    with pytest.raises(SdkError, match="already exists"):
        app.start("listener", 1, instance_id=instance_id)


@each_family()
def test_activities_run_in_sequence(app: App) -> None:
    assert app.run("sequence", 10) == 13


@each_family()
def test_activities_run_in_parallel(app: App) -> None:
    assert app.run("fan_out", 60) == sum(range(2, 62))


@each_family()
def test_a_timer_fires(app: App) -> None:
    assert app.run("timer", 0.5) == "fired"


@each_family()
def test_events_come_in_their_order(app: App) -> None:
    instance_id = app.start("listener", 3)
    for number in (1, 2, 3):
        app.tell(instance_id, {"number": number})
    assert app.wait(instance_id).result == [{"number": 1}, {"number": 2}, {"number": 3}]


@each_family()
def test_an_event_comes_before_its_time_is_up(app: App) -> None:
    instance_id = app.start("impatient", 60)
    app.tell(instance_id, "in time")
    assert app.wait(instance_id).result == "in time"


@each_family()
def test_the_time_of_an_event_is_up(app: App) -> None:
    assert app.run("impatient", 0.5) == "too late"


@each_family()
def test_children_return_their_results(app: App) -> None:
    instance_id = app.start("parent", 1)
    assert app.wait(instance_id).result == [4, 7, 7]
    child = app.find(f"{instance_id}-child")
    assert child is not None
    assert child.result == 7


@each_family()
def test_continue_as_new_starts_the_next_generation(app: App) -> None:
    assert app.run("generations", 1) == 5


@each_family(without=Defect.LOSES_CARRIED_EVENTS)
def test_continue_as_new_carries_events_over(app: App) -> None:
    instance_id = app.start("collector", [])
    for number in (1, 2, 3):
        app.tell(instance_id, number)
    assert app.wait(instance_id).result == [1, 2, 3]


@each_family(without=Defect.LOSES_FAILURES)
def test_an_activity_that_fails_fails_its_workflow(app: App) -> None:
    state = app.wait(app.start("failing", 1))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "attempt 1 fails" in state.failure


@each_family(without=Defect.LOSES_FAILURES)
def test_an_activity_that_fails_is_tried_again(app: App) -> None:
    assert app.run("retrying", 2) == 3


@each_family(without=Defect.LOSES_FAILURES)
def test_an_activity_is_not_tried_for_ever(app: App) -> None:
    state = app.wait(app.start("retrying", 1_000))
    assert state.status == "FAILED"
    assert state.failure is not None
    assert "attempt 3 fails" in state.failure


@each_family()
def test_a_suspended_workflow_waits_until_it_is_resumed(app: App) -> None:
    instance_id = app.start("listener", 2)
    app.call("suspend", instance_id=instance_id)
    assert app.status(instance_id) == "SUSPENDED"
    app.tell(instance_id, 1)
    app.tell(instance_id, 2)
    pause(0.3)
    assert app.status(instance_id) == "SUSPENDED"
    app.call("resume", instance_id=instance_id)
    assert app.wait(instance_id).result == [1, 2]


@each_family()
def test_what_is_done_twice_is_done_once(app: App) -> None:
    """SDKs loop or fail if they are told of a second suspension, or of a resumption of what runs."""
    instance_id = app.start("listener", 1)
    for _ in range(2):
        app.call("suspend", instance_id=instance_id)
    for _ in range(2):
        app.call("resume", instance_id=instance_id)
    app.tell(instance_id, "still here")
    assert app.wait(instance_id).result == ["still here"]


@each_family()
def test_terminate_ends_a_workflow_with_the_given_output(app: App) -> None:
    instance_id = app.start("listener", 1)
    app.call("terminate", instance_id=instance_id, output="enough")
    state = app.find(instance_id)
    assert state is not None
    assert (state.status, state.output) == ("TERMINATED", '"enough"')


@each_family()
def test_terminate_ends_what_is_suspended(app: App) -> None:
    instance_id = app.start("listener", 1)
    app.call("suspend", instance_id=instance_id)
    app.call("terminate", instance_id=instance_id, output="enough")
    assert app.wait(instance_id).status == "TERMINATED"


@each_family()
def test_purge_removes_what_has_ended(app: App) -> None:
    instance_id = app.start("sequence", 1)
    app.wait(instance_id)
    app.call("purge", instance_id=instance_id)
    assert app.find(instance_id) is None


@each_family(without=Defect.HIDES_CUSTOM_STATUS)
def test_a_custom_status_is_seen_while_the_workflow_runs(stand: Stand) -> None:
    app = stand.app

    def has_status(text: str) -> bool:
        state = app.find(instance_id)
        assert state is not None
        return state.custom_status == (json.dumps(text) if stand.family.status_is_json else text)

    instance_id = app.start("statuses", 1)
    wait_until(lambda: has_status("before ü"), "the first status")
    app.tell(instance_id, 1)
    wait_until(lambda: has_status("after ü"), "the second status")
    app.tell(instance_id, 2)
    assert app.wait(instance_id).result == "told"
    assert has_status("after ü")


@each_family()
def test_a_sidecar_that_starts_again_goes_on_where_it_was(stand: Stand) -> None:
    before = stand.connections
    mixture = Mixture(stand.app)
    stand.restart_sidecar()
    mixture.check(stand.app)
    assert stand.app.run("sequence", 1) == 4
    assert stand.connections - before <= SOME_CONNECTIONS

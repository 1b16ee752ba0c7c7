"""What clients ask of a task hub, with both clients of the SDK."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.client import Client, SdkError

NO_SUCH_INSTANCE = "no such instance exists"


def unknown_id() -> str:
    return uuid.uuid4().hex


def test_start_returns_after_the_first_turn(each_client: Client) -> None:
    assert each_client.status(each_client.start("listener", 1)) == "RUNNING"


def test_start_keeps_the_id_that_it_was_given(each_client: Client) -> None:
    wanted = f"order|7@{unknown_id()} ü"
    assert each_client.start("nothing", 1, instance_id=wanted) == wanted
    assert each_client.wait(wanted).result == 1


def test_start_of_an_active_id_is_refused(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    with pytest.raises(SdkError) as refused:
        each_client.start("listener", 1, instance_id=instance_id)
    assert refused.value.code == "ALREADY_EXISTS"
    assert f"an active workflow with ID '{instance_id}' already exists" in refused.value.text


def test_start_of_an_ended_id_replaces_it(each_client: Client) -> None:
    instance_id = each_client.start("nothing", "first")
    each_client.wait(instance_id)
    each_client.start("nothing", "second", instance_id=instance_id)
    assert each_client.wait(instance_id).result == "second"


def test_a_scheduled_start_waits_for_its_time(each_client: Client) -> None:
    start_at = datetime.now(UTC) + timedelta(seconds=1)
    instance_id = each_client.start("timer", 0, start_at=start_at)
    assert each_client.status(instance_id) == "PENDING"
    each_client.wait(instance_id)
    assert datetime.now(UTC) >= start_at


def test_a_scheduled_start_in_the_past_starts_at_once(each_client: Client) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    instance_id = each_client.start("nothing", 1, start_at=an_hour_ago)
    assert each_client.wait(instance_id).result == 1


def test_a_wait_for_the_start_ends_with_the_start(each_client: Client) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    instance_id = each_client.start("listener", 1, start_at=soon)
    answer = each_client.call("wait_for_workflow_start", instance_id, timeout_in_seconds=20)
    assert answer["status"] == "RUNNING"


def test_a_wait_for_the_end_gives_up_at_its_deadline(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    with pytest.raises(SdkError, match="TimeoutError"):
        each_client.wait(instance_id, timeout_s=1)


def test_a_state_tells_what_the_instance_is(each_client: Client) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    instance_id = each_client.start("nothing", {"a": 1})
    state = each_client.wait(instance_id)
    assert (state.instance_id, state.name) == (instance_id, "nothing")
    assert (state.input, state.output) == ('{"a": 1}', '{"a": 1}')
    created_at = datetime.fromisoformat(state.created_at)
    updated_at = datetime.fromisoformat(state.last_updated_at)
    assert before <= created_at <= updated_at <= datetime.now(UTC).replace(tzinfo=None)


def test_payloads_are_left_out_on_request(each_client: Client) -> None:
    instance_id = each_client.start("nothing", 1)
    each_client.wait(instance_id)
    answer = each_client.call("get_workflow_state", instance_id, fetch_payloads=False)
    assert (answer["status"], answer["input"], answer["output"]) == ("COMPLETED", None, None)


def test_an_unknown_id_has_no_state(each_client: Client) -> None:
    assert each_client.find(unknown_id()) is None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("wait_for_workflow_start", ()),
        ("wait_for_workflow_completion", ()),
        ("raise_workflow_event", ("go",)),
        ("terminate_workflow", ()),
        ("pause_workflow", ()),
        ("resume_workflow", ()),
        ("purge_workflow", ()),
    ],
)
def test_an_unknown_id_is_refused(
    each_client: Client, method: str, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SdkError, match=NO_SUCH_INSTANCE):
        each_client.call(method, unknown_id(), *arguments)


def test_the_history_of_an_unknown_id_is_refused(each_client: Client) -> None:
    wanted = unknown_id()
    with pytest.raises(SdkError, match=f"workflow instance '{wanted}' not found") as refused:
        each_client.history(wanted)
    assert refused.value.code == "NOT_FOUND"


def test_purge_removes_an_ended_instance_and_its_children(each_client: Client) -> None:
    instance_id = each_client.start("parent", 1)
    each_client.wait(instance_id)
    each_client.call("purge_workflow", instance_id)
    assert each_client.find(instance_id) is None
    assert each_client.find(f"{instance_id}-child") is None


def test_purge_leaves_children_if_told_so(each_client: Client) -> None:
    instance_id = each_client.start("parent", 1)
    each_client.wait(instance_id)
    each_client.call("purge_workflow", instance_id, recursive=False)
    assert each_client.find(instance_id) is None
    assert each_client.status(f"{instance_id}-child") == "COMPLETED"


def test_purge_of_an_active_instance_is_refused(each_client: Client) -> None:
    instance_id = each_client.start("listener", 1)
    with pytest.raises(SdkError, match="orchestration has not yet completed"):
        each_client.call("purge_workflow", instance_id)
    assert each_client.status(instance_id) == "RUNNING"


def test_an_event_to_an_ended_instance_is_accepted_and_ignored(each_client: Client) -> None:
    instance_id = each_client.start("nothing", 1)
    before = each_client.wait(instance_id)
    each_client.tell(instance_id, "go", 1)
    assert each_client.state(instance_id) == before


def test_pages_of_ids_hold_every_instance_once(each_client: Client) -> None:
    started = {each_client.start("nothing", n) for n in range(7)}
    listed: list[str] = []
    token = None
    while True:
        page = each_client.call("list_workflow_instance_ids", page_size=3, continuation_token=token)
        assert len(page["ids"]) <= 3
        listed += page["ids"]
        token = page["token"]
        if token is None:
            break
    assert len(listed) == len(set(listed))
    assert started <= set(listed)


def test_many_instances_run_at_once(each_client: Client) -> None:
    instance_ids = [each_client.start("listener", 1) for _ in range(30)]
    for number, instance_id in enumerate(instance_ids):
        each_client.tell(instance_id, "go", {"number": number})
    results = [each_client.wait(instance_id).result for instance_id in instance_ids]
    assert results == [[{"number": number}] for number in range(30)]

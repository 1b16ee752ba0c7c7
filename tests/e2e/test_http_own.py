"""Our own HTTP routes: finding, counting, looking, waiting, steering, with a real worker."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.http_api import HttpApi

MANY = 25


def new_tag() -> str:
    """Return what marks the instances of one test, in a store that tests share."""
    return uuid.uuid4().hex


def start(api: HttpApi, workflow: str, tag: str, **more: Any) -> str:
    """Start a workflow with a tag, and return its id."""
    body = {"name": workflow, "tags": {"test": tag}, **more}
    instance_id: str = api.ours("POST", "instances", json=body)["instanceID"]
    return instance_id


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [instance["instanceID"] for instance in found]


def bulk(api: HttpApi, action: str, tag: str, **more: Any) -> dict[str, list[Any]]:
    """Do something to all instances with a tag, page by page, and return all that the answers say."""
    body = {"filter": {"tags": {"test": tag}}, **more}
    said: dict[str, list[Any]] = {"matched": [], "done": [], "failed": []}
    while True:
        answer = api.ours("POST", f"bulk/{action}", json=body)
        for key in said:
            said[key] += answer[key]
        body["pageToken"] = answer["nextPageToken"]
        if body["pageToken"] is None:
            return said


def test_an_instance_is_shown_with_everything_that_is_known(api: HttpApi) -> None:
    one = start(api, "nothing", "shown", input='"x"', version="3")
    waited = api.ours("GET", f"instances/{one}/wait")
    looked = api.ours("GET", f"instances/{one}")
    assert waited == looked
    assert looked["payloads"] == {
        "input": '"x"',
        "output": '"x"',
        "customStatus": None,
        "failure": None,
    }
    expected = {"name": "nothing", "version": "3", "status": "COMPLETED", "parent": None}
    assert {key: looked[key] for key in expected} == expected
    assert looked["tags"] == {"test": "shown"}
    assert looked["createdAt"] <= looked["startedAt"] <= looked["completedAt"]
    assert api.ours("GET", f"instances/{one}?payloads=false")["payloads"] is None


def test_a_failure_is_shown(api: HttpApi) -> None:
    one = start(api, "failing", "failure")
    failure = api.ours("GET", f"instances/{one}/wait")["payloads"]["failure"]
    assert "attempt 1 fails" in failure["message"]
    assert set(failure) == {"errorType", "message", "stackTrace", "isNonRetriable"}


def test_instances_are_found_by_each_condition_and_by_all_together(api: HttpApi) -> None:
    tag, before = new_tag(), datetime.now(UTC)
    done = start(api, "nothing", tag)
    running = start(api, "listener", tag, input="1")
    parent = start(api, "parent", tag, input="1")
    for one in (done, parent):
        api.ours("GET", f"instances/{one}/wait")
    api.ours("GET", f"instances/{running}/wait?for=started")
    mine = f"test={tag}"
    # The store's clock and ours are those of one machine, and a little slack costs nothing.
    since = (before - timedelta(seconds=1)).isoformat()
    assert ids(api.every("instances", tag=mine)) == [done, running, parent]
    assert ids(api.every("instances", tag=mine, status="RUNNING")) == [running]
    both = ["RUNNING", "COMPLETED"]
    assert ids(api.every("instances", tag=mine, status=both)) == [done, running, parent]
    assert ids(api.every("instances", tag=mine, name="n?t*ing")) == [done]
    assert ids(api.every("instances", tag=mine, name="noth?ing?")) == []
    assert ids(api.every("instances", tag=[mine, "other"])) == []
    assert ids(api.every("instances", tag=["test", mine])) == [done, running, parent]
    assert ids(api.every("instances", parent=parent)) == [f"{parent}-child"]
    assert ids(api.every("instances", tag=mine, createdFrom=since)) == [done, running, parent]
    assert ids(api.every("instances", tag=mine, createdTo=since)) == []
    (found,) = api.every(
        "instances", tag=mine, name="listener", status="RUNNING", createdFrom=since
    )
    assert found["instanceID"] == running
    assert found["payloads"] is None


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_pages_have_every_instance_once_while_others_come_and_go(
    bare_api: HttpApi, limit: int
) -> None:
    tag = new_tag()
    kept, lost = [], []
    for number in range(MANY):
        kept.append(start(bare_api, "nothing", tag, scheduledStartAt="2999-01-01T00:00:00Z"))
        if number % 5 == 0:
            lost.append(start(bare_api, "nothing", tag, scheduledStartAt="2999-01-01T00:00:00Z"))
    query = {"tag": f"test={tag}", "limit": limit, "createdFrom": "2020-01-01T00:00:00Z"}
    found: list[str] = []
    while True:
        page = bare_api.ours("GET", "instances", params=query)
        assert len(page["instances"]) <= limit
        found += ids(page["instances"])
        if page["nextPageToken"] is None:
            break
        query["pageToken"] = page["nextPageToken"]
        if lost:
            bare_api.ours("POST", f"instances/{lost.pop()}/purge", json={"force": True})
    assert [one for one in found if one in kept] == kept
    assert len(set(found)) == len(found)


def test_instances_are_counted_by_status(api: HttpApi) -> None:
    tag = new_tag()
    for _ in range(3):
        api.ours("GET", f"instances/{start(api, 'nothing', tag)}/wait")
    start(api, "nothing", tag, scheduledStartAt="2999-01-01T00:00:00Z")
    counts = api.ours("GET", f"instance-counts?tag=test={tag}")
    assert counts == {
        "total": 4,
        "byStatus": {"COMPLETED": 3, "PENDING": 1},
        "nextPageToken": None,
    }


def test_a_history_comes_in_parts(api: HttpApi, client: Client) -> None:
    one = start(api, "sequence", "history", input="1")
    api.ours("GET", f"instances/{one}/wait")
    whole = api.ours("GET", f"instances/{one}/history")
    assert (whole["status"], whole["isLast"], whole["generation"]) == ("COMPLETED", True, 1)
    kinds = client.history(one)
    assert [kind for event in whole["events"] for kind in event if kind in kinds] == kinds
    parts: list[Any] = []
    while True:
        query = {"from": len(parts), "limit": 4}
        part = api.ours("GET", f"instances/{one}/history", params=query)
        parts += part["events"]
        assert part["next"] == len(parts)
        if part["isLast"]:
            break
    assert parts == whole["events"]
    beyond = api.ours("GET", f"instances/{one}/history?from=1000")
    assert (beyond["events"], beyond["next"], beyond["isLast"]) == ([], 1000, True)


def test_a_wait_ends_when_the_time_is_over(api: HttpApi) -> None:
    one = start(api, "listener", "wait", input="1")
    started = api.get(f"/durahub/v1/instances/{one}/wait?for=started")
    assert (started.status_code, started.json()["status"]) == (200, "RUNNING")
    before = time.monotonic()
    waited = api.get(f"/durahub/v1/instances/{one}/wait?timeout=0.3")
    assert (waited.status_code, waited.json()["status"]) == (202, "RUNNING")
    assert 0.2 < time.monotonic() - before < 10
    api.ours("POST", f"instances/{one}/events", json={"name": "go", "data": "1"})
    assert api.get(f"/durahub/v1/instances/{one}/wait").json()["payloads"]["output"] == "[1]"


def test_one_instance_is_steered_from_start_to_purge(api: HttpApi) -> None:
    one = start(api, "listener", "steered", input="2", instanceID=f"a/b {new_tag()}")
    path = f"instances/{one.replace('/', '%2F')}"
    api.ours("GET", f"{path}/wait?for=started")
    assert api.ours("POST", f"{path}/suspend", json={"reason": "lunch"}) == {}
    api.await_status(one.replace("/", "%2F"), "SUSPENDED")
    assert api.ours("POST", f"{path}/resume") == {}
    api.await_status(one.replace("/", "%2F"), "RUNNING")
    assert api.ours("POST", f"{path}/terminate", json={"output": '"bye"'}) == {}
    assert api.ours("GET", f"{path}/wait")["payloads"]["output"] == '"bye"'
    assert api.ours("POST", f"{path}/purge") == {"purged": 1}
    assert api.get(f"/durahub/v1/{path}").status_code == 404


def test_a_rerun_repeats_an_instance_from_an_event(api: HttpApi) -> None:
    one = start(api, "sequence", "rerun", input="1")
    api.ours("GET", f"instances/{one}/wait")
    events = api.ours("GET", f"instances/{one}/history")["events"]
    first = next(event for event in events if "taskScheduled" in event)
    body = {"eventID": first["eventId"], "input": "10", "newInstanceID": f"again-{one}"}
    assert api.ours("POST", f"instances/{one}/rerun", json=body) == {"instanceID": f"again-{one}"}
    assert api.ours("GET", f"instances/again-{one}/wait")["payloads"]["output"] == "13"
    refused = api.post(f"/durahub/v1/instances/{one}/rerun", json=body)
    assert (refused.status_code, refused.json()["errorCode"]) == (409, "ERR_INSTANCE_EXISTS")
    refused = api.post(f"/durahub/v1/instances/{one}/rerun", json={"eventID": 999})
    assert (refused.status_code, refused.json()["errorCode"]) == (404, "ERR_RERUN_TARGET")


def test_all_that_match_are_steered_page_by_page(api: HttpApi) -> None:
    tag = new_tag()
    running = [start(api, "listener", tag, input="1") for _ in range(5)]
    ended = start(api, "nothing", tag)
    for one in running:
        api.ours("GET", f"instances/{one}/wait?for=started")
    api.ours("GET", f"instances/{ended}/wait")
    dry = bulk(api, "suspend", tag, dryRun=True, limit=2)
    assert dry == {"matched": running, "done": [], "failed": []}
    assert api.ours("GET", f"instance-counts?tag=test={tag}")["byStatus"]["RUNNING"] == 5
    assert bulk(api, "suspend", tag, limit=2)["done"] == running
    for one in running:
        api.await_status(one, "SUSPENDED")
    assert bulk(api, "resume", tag, reason="go on")["done"] == running
    for one in running:
        api.await_status(one, "RUNNING")
    assert bulk(api, "purge", tag, dryRun=True)["matched"] == [ended]
    assert bulk(api, "terminate", tag, output='"stop"')["done"] == running
    for one in running:
        assert api.ours("GET", f"instances/{one}/wait")["payloads"]["output"] == '"stop"'
    assert sorted(bulk(api, "purge", tag, limit=3)["done"]) == sorted([*running, ended])
    assert api.every("instances", tag=f"test={tag}") == []


def test_a_bulk_purge_takes_what_has_not_ended_only_by_force(bare_api: HttpApi) -> None:
    tag = new_tag()
    one = start(bare_api, "nothing", tag)
    assert bulk(bare_api, "purge", tag)["matched"] == []
    assert bulk(bare_api, "purge", tag, force=True)["done"] == [one]
    assert bare_api.get(f"/durahub/v1/instances/{one}").status_code == 404


def test_an_empty_filter_needs_a_word_of_its_own(bare_api: HttpApi) -> None:
    one = start(bare_api, "nothing", new_tag())
    refused = bare_api.post("/durahub/v1/bulk/terminate", json={"dryRun": True})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "ERR_MALFORMED_REQUEST")
    assert '"all": true' in refused.json()["message"]
    body: dict[str, Any] = {"all": True, "dryRun": True, "limit": 1000}
    answer = bare_api.ours("POST", "bulk/terminate", json=body)
    assert one in answer["matched"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error_code"),
    [
        ("GET", "instances/missing", None, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("GET", "instances/missing/history", None, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("GET", "instances/missing/wait", None, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "instances/missing/suspend", {}, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "instances/missing/purge", {}, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "instances/missing/events", {"name": "x"}, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "instances/missing/rerun", {"eventID": 0}, 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "instances/missing/rerun", {"eventID": -1}, 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "instances/missing/events", {}, 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "instances/missing/terminate", {"output": 1}, 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "instances/missing/terminate", {"what": 1}, 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "instances", {"name": ""}, 400, "ERR_MALFORMED_REQUEST"),
        (
            "POST",
            "instances",
            {"name": "x", "scheduledStartAt": "soon"},
            400,
            "ERR_MALFORMED_REQUEST",
        ),
        ("GET", "instances?limit=0", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?limit=1001", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?limit=1&limit=2", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?status=BUSY", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?createdFrom=today", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?createdFrom=2026-01-01T00:00:00", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?pageToken=nonsense", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances?nonsense=1", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances/missing/wait?timeout=301", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances/missing/wait?timeout=nan", None, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "instances/%FF", None, 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "bulk/purge", {"filter": {"status": "FAILED"}}, 400, "ERR_MALFORMED_REQUEST"),
        ("GET", "nonsense", None, 404, "ERR_NOT_FOUND"),
        ("DELETE", "instances", None, 405, "ERR_METHOD_NOT_ALLOWED"),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: HttpApi, method: str, path: str, body: Any, status: int, error_code: str
) -> None:
    refused = api.request(method, f"/durahub/v1/{path}", json=body)
    document = refused.json()
    assert (refused.status_code, document["errorCode"]) == (status, error_code)
    assert document["message"]


def test_a_body_has_to_be_json_and_to_say_so(api: HttpApi) -> None:
    path = "/durahub/v1/instances"
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"content-type": content_type}
        refused = api.post(path, content=b'{"name": "nothing"}', headers=headers)
        assert refused.status_code == 415
        assert refused.json()["errorCode"] == "ERR_UNSUPPORTED_MEDIA_TYPE"
    headers = {"content-type": "application/json"}
    lone_surrogate = b'{"name": "\\ud800"}'
    for body in (b"{", b"[]", b"null", b"\xff", b"[" * 100_000, lone_surrogate, b"x" * 1000):
        refused = api.post(path, content=body, headers=headers)
        assert (refused.status_code, refused.json()["errorCode"]) == (400, "ERR_MALFORMED_REQUEST")
    refused = api.post(path, content=b" " * (4 * 1024 * 1024 + 1), headers=headers)
    assert (refused.status_code, refused.json()["errorCode"]) == (413, "ERR_BODY_TOO_LARGE")

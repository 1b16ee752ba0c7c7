"""Dapr's HTTP routes about workflows, with a real worker."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.client import Client
from tests.e2e.http_api import HttpApi
from tests.e2e.processes import wait_until
from tests.e2e.stack import Stack

PREFIXES = ("/v1.0-alpha1", "/v1.0-beta1", "/v1.0")


def new_id() -> str:
    return uuid.uuid4().hex


def later(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def curl(url: str, *arguments: str) -> tuple[int, str]:
    """Return the status and the body of what the real curl gets."""
    command = shutil.which("curl")
    assert command, "these tests need curl"
    done = subprocess.run(
        (command, "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments, url),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.parity("sharp/31")
@pytest.mark.parametrize("backend", ["sqlite", "memory", "postgres"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_curl_takes_a_workflow_through_its_life(stack: Stack, api: HttpApi, prefix: str) -> None:
    root = f"http://127.0.0.1:{stack.sidecar.http_port}{prefix}/workflows/any"
    one, post = new_id(), ("--request", "POST")
    data = ("--data-binary", "2")
    started = curl(f"{root}/listener/start?instanceID={one}", *post, *data)
    assert started == (202, json.dumps({"instanceID": one}, separators=(",", ":")))
    api.await_status(one, "RUNNING")
    assert curl(f"{root}/{one}/pause", *post) == (202, "{}")
    api.await_status(one, "SUSPENDED")
    assert curl(f"{root}/{one}/resume", *post) == (202, "{}")
    api.await_status(one, "RUNNING")
    for number in ("1", "[2]"):
        raised = curl(f"{root}/{one}/raiseEvent/go", *post, "--data-binary", number)
        assert raised == (202, "{}")
    api.await_status(one, "COMPLETED")
    status, body = curl(f"{root}/{one}")
    document = json.loads(body)
    assert status == 200
    assert document["properties"]["dapr.workflow.output"] == "[1, [2]]"
    assert document["properties"]["dapr.workflow.input"] == "2"
    assert curl(f"{root}/{one}/terminate", *post) == (202, "{}")
    assert curl(f"{root}/{one}/purge", *post) == (202, "{}")
    status, body = curl(f"{root}/{one}")
    assert (status, json.loads(body)) == (
        404,
        {
            "errorCode": "ERR_INSTANCE_ID_NOT_FOUND",
            "message": f"unable to find workflow with the provided instance ID: {one}",
        },
    )


def test_an_instance_is_described_as_on_dapr(api: HttpApi) -> None:
    one = api.start("statuses", '"in"')
    api.await_status(one, "RUNNING")
    document = api.look(one)
    assert set(document) == {
        "instanceID",
        "workflowName",
        "createdAt",
        "lastUpdatedAt",
        "runtimeStatus",
        "properties",
    }
    assert (document["instanceID"], document["workflowName"]) == (one, "statuses")
    assert datetime.fromisoformat(document["createdAt"]).tzinfo is not None
    assert document["properties"]["dapr.workflow.custom_status"] in ("before", '"before"')


@pytest.mark.parity("sharp/32")
def test_a_failed_instance_has_failure_properties_and_no_output(api: HttpApi) -> None:
    one = api.start("failing")
    properties = api.await_status(one, "FAILED")["properties"]
    assert "attempt 1 fails" in properties["dapr.workflow.failure.error_message"]
    assert properties["dapr.workflow.failure.error_type"]
    assert "dapr.workflow.output" not in properties


def test_a_start_does_not_wait_for_a_worker(bare_api: HttpApi) -> None:
    one = bare_api.start("nothing")
    assert bare_api.look(one)["runtimeStatus"] == "PENDING"
    assert bare_api.post(f"/v1.0/workflows/dapr/{one}/terminate").status_code == 202
    assert bare_api.post(f"/v1.0/workflows/dapr/{one}/pause").status_code == 202


def test_no_body_is_an_empty_input(bare_api: HttpApi) -> None:
    one = bare_api.start("nothing")
    assert bare_api.look(one)["properties"] == {"dapr.workflow.input": ""}


def test_an_id_in_use_is_refused_with_the_text_that_sdks_match(bare_api: HttpApi) -> None:
    one = bare_api.start("nothing")
    refused = bare_api.post(f"/v1.0/workflows/dapr/nothing/start?instanceID={one}")
    assert refused.status_code == 500
    assert refused.json() == {
        "errorCode": "ERR_START_WORKFLOW",
        "message": "error starting workflow 'nothing': unable to start workflow: failed to start "
        "workflow: rpc error: code = AlreadyExists desc = an active workflow with ID "
        f"'{one}' already exists",
    }


def test_terminate_reaches_children_and_purge_removes_them(api: HttpApi, client: Client) -> None:
    root = api.start("family", "1")
    family = (root, f"{root}.0", f"{root}.1")
    wait_until(lambda: all(map(client.find, family)), "both children")
    assert api.post(f"/v1.0/workflows/dapr/{root}/terminate").status_code == 202
    for one in family:
        api.await_status(one, "TERMINATED")
    assert api.post(f"/v1.0/workflows/dapr/{root}/purge").status_code == 202
    assert client.find(f"{root}.0") is None


def test_path_parameters_are_decoded(api: HttpApi, client: Client) -> None:
    one = client.start("listener", 1, instance_id=f"a/b|c@d ü%{new_id()}")
    quoted = f"a%2Fb%7Cc%40d%20%C3%BC%25{one[-32:]}"
    assert api.look(quoted)["instanceID"] == one
    raised = api.post(f"/v1.0/workflows/dapr/{quoted}/raiseEvent/g%6F", content=b'"ok"')
    assert raised.status_code == 202
    assert client.wait(one).result == ["ok"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error_code"),
    [
        ("GET", "missing", 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "missing/terminate", 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "missing/purge", 404, "ERR_INSTANCE_ID_NOT_FOUND"),
        ("POST", "missing/pause", 500, "ERR_PAUSE_WORKFLOW"),
        ("POST", "missing/resume", 500, "ERR_RESUME_WORKFLOW"),
        ("POST", "missing/raiseEvent/go", 500, "ERR_RAISE_EVENT_WORKFLOW"),
        ("POST", f"w/start?instanceID={'a' * 65}", 400, "ERR_INSTANCE_ID_TOO_LONG"),
        ("POST", "w/start?instanceID=a.b", 400, "ERR_INSTANCE_ID_INVALID"),
        ("POST", "w/start?instanceID=a%20b", 400, "ERR_INSTANCE_ID_INVALID"),
        ("POST", "w/start?appID=no%20app", 400, "ERR_WORKFLOW_APP_ID_INVALID"),
        ("GET", "missing?appID=no%20app", 400, "ERR_WORKFLOW_APP_ID_INVALID"),
        ("POST", "missing/purge?appID=no%20app", 400, "ERR_WORKFLOW_APP_ID_INVALID"),
        ("GET", "%FF", 400, "ERR_MALFORMED_REQUEST"),
        ("POST", "missing/nonsense", 404, "ERR_NOT_FOUND"),
        ("DELETE", "missing", 405, "ERR_METHOD_NOT_ALLOWED"),
        ("GET", "missing/terminate", 405, "ERR_METHOD_NOT_ALLOWED"),
    ],
)
def test_what_makes_no_sense_is_refused_with_daprs_codes(
    api: HttpApi, method: str, path: str, status: int, error_code: str
) -> None:
    refused = api.request(method, f"/v1.0/workflows/dapr/{path}")
    document = refused.json()
    assert (refused.status_code, document["errorCode"]) == (status, error_code)
    assert document["message"]


@pytest.mark.parametrize("path", ["nothing/start", "missing/raiseEvent/go"])
def test_a_body_that_is_no_text_or_too_large_is_refused(api: HttpApi, path: str) -> None:
    refused = api.post(f"/v1.0/workflows/dapr/{path}", content=b"\xff\xfe")
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "ERR_MALFORMED_REQUEST")
    refused = api.post(f"/v1.0/workflows/dapr/{path}", content=b"x" * (4 * 1024 * 1024 + 1))
    assert (refused.status_code, refused.json()["errorCode"]) == (413, "ERR_BODY_TOO_LARGE")


def test_any_content_type_will_do_for_an_input(api: HttpApi) -> None:
    for content_type in ("text/plain", "application/json", "application/octet-stream"):
        one = api.post(
            "/v1.0/workflows/dapr/nothing/start",
            content=b'{"a": 1}',
            headers={"content-type": content_type},
        ).json()["instanceID"]
        assert (
            api.await_status(one, "COMPLETED")["properties"]["dapr.workflow.output"] == '{"a": 1}'
        )

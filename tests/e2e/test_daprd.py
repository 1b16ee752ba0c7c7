"""The stand-in for daprd, started, found and ended as the `dapr` CLI does it.

Its steps are replayed from what is documented of it; the CLI itself is not run.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from durahub.protocol import messages as pb

from tests.e2e.client import Client, ClientProcess
from tests.e2e.processes import HERE, Child, LogBook, wait_until
from tests.e2e.sidecar import COMMANDS, Setup, next_port

APP_ID = "from-dapr-run"


@dataclass(frozen=True)
class DaprRun:
    """What `dapr run` knows of the daprd that it started."""

    child: Child
    http_port: int
    grpc_port: int
    log: Path

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Start = Callable[[], DaprRun]


@pytest.fixture
def daprd(tmp_path: Path) -> Path:
    """Install the stand-in, with the store that it uses, into a home of the test's own."""
    config = Setup.of("sqlite", tmp_path).config
    done = subprocess.run(
        (*COMMANDS["sqlite"], "install-daprd", "--config", str(config)),
        env={**os.environ, "DAPR_RUNTIME_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    place = tmp_path / ".dapr/bin/daprd"
    assert done.stdout == f"installed {place}\n", done.stderr
    return place


@pytest.fixture
def dapr_run(daprd: Path, tmp_path: Path, logs: LogBook) -> Iterator[Start]:
    """Do what `dapr run` does up to the start of the application."""
    started: list[Child] = []
    # What `dapr init` leaves behind.
    default_config = tmp_path / "dapr-default.yaml"
    default_config.write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: daprConfig}\n"
        'spec: {tracing: {samplingRate: "1", zipkin: {endpointAddress: "http://localhost:9411"}}}\n'
    )
    resources = tmp_path / "components"
    resources.mkdir()
    http_port, grpc_port = next_port(), next_port()

    def start() -> DaprRun:
        log = logs.add("daprd")
        flags = {
            "--app-id": APP_ID,
            "--dapr-http-port": str(http_port),
            "--dapr-grpc-port": str(grpc_port),
            "--metrics-port": str(next_port()),
            "--dapr-internal-grpc-port": str(next_port()),
            "--config": str(default_config),
            "--app-protocol": "http",
            "--log-level": "info",
            "--app-max-concurrency": "-1",
            "--placement-host-address": "localhost:50005",
            "--scheduler-host-address": "localhost:50006",
            "--resources-path": str(resources),
            "--max-body-size": "4Mi",
            "--read-buffer-size": "4Ki",
            "--flag-of-a-later-dapr": "1",
        }
        child = Child((str(daprd), *(part for flag in flags.items() for part in flag)), log=log)
        started.append(child)
        wait_until(
            lambda: (accepts(http_port) and accepts(grpc_port)) or not child.is_running,
            "both ports",
        )
        assert child.is_running
        return DaprRun(child, http_port, grpc_port, log)

    yield start
    for child in started:
        child.kill()


def test_it_runs_an_application_and_survives_being_killed(
    dapr_run: Start, client_process: ClientProcess, logs: LogBook
) -> None:
    sidecar = dapr_run()
    for key, value in {"cliPID": "4711", "appPID": "4712", "appCommand": "python app.py"}.items():
        assert sidecar.request("PUT", f"/v1.0/metadata/{key}", value) == (204, None)
    metadata = sidecar.request("GET", "/v1.0/metadata")[1]
    assert metadata["id"] == APP_ID
    assert metadata["extended"]["cliPID"] == "4711"
    assert metadata["extended"]["appCommand"] == "python app.py"
    with application(sidecar, logs):
        client = Client(client_process, "sync", sidecar.grpc_port)
        assert client.run("sequence", 1) == 4
        waiting = client.start("listener", 1)
        sidecar.child.kill()  # as `dapr stop` ends it
        dapr_run()
        client.tell(waiting, "go", "on")
        assert client.wait(waiting).result == ["on"]


def test_it_answers_the_calls_of_dapr_workflow(dapr_run: Start, logs: LogBook) -> None:
    sidecar = dapr_run()
    with (
        application(sidecar, logs),
        grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel,
    ):

        def call(method: str, request: Any, answer: type[Any]) -> Any:
            rpc = channel.unary_unary(
                f"/TaskHubSidecarService/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return rpc(request, timeout=20)

        def status(instance_id: str) -> str:
            request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
            found = call("GetInstance", request, pb.GetInstanceResponse)
            return pb.OrchestrationStatus.Name(found.workflowState.workflowStatus)

        run = pb.CreateInstanceRequest(instanceId="a", name="listener")
        run.input.value = "1"
        assert call("StartInstance", run, pb.CreateInstanceResponse).instanceId == "a"
        page = call("ListInstanceIDs", pb.ListInstanceIDsRequest(), pb.ListInstanceIDsResponse)
        assert ([*page.instanceIds], page.HasField("continuationToken")) == (["a"], False)
        call("SuspendInstance", pb.SuspendRequest(instanceId="a"), pb.SuspendResponse)
        assert status("a") == "ORCHESTRATION_STATUS_SUSPENDED"
        call("ResumeInstance", pb.ResumeRequest(instanceId="a"), pb.ResumeResponse)
        event = pb.RaiseEventRequest(instanceId="a", name="go")
        event.input.value = '"on"'
        call("RaiseEvent", event, pb.RaiseEventResponse)
        wait_until(lambda: status("a") == "ORCHESTRATION_STATUS_COMPLETED", "the end")
        history = call(
            "GetInstanceHistory",
            pb.GetInstanceHistoryRequest(instanceId="a"),
            pb.GetInstanceHistoryResponse,
        ).events
        timer = next(event.eventId for event in history if event.HasField("timerCreated"))
        rerun = pb.RerunWorkflowFromEventRequest(
            sourceInstanceID="a", eventID=timer, newInstanceID="b"
        )
        answer = call("RerunWorkflowFromEvent", rerun, pb.RerunWorkflowFromEventResponse)
        assert answer.newInstanceID == "b"
        terminate = pb.TerminateRequest(instanceId="b", recursive=True)
        call("TerminateInstance", terminate, pb.TerminateResponse)
        assert status("b") == "ORCHESTRATION_STATUS_TERMINATED"
        for instance_id in ("a", "b"):
            purge = pb.PurgeInstancesRequest(instanceId=instance_id, force=True)
            purged = call("PurgeInstances", purge, pb.PurgeInstancesResponse)
            assert purged.deletedInstanceCount == 1


@contextmanager
def application(sidecar: DaprRun, logs: LogBook) -> Iterator[None]:
    app = Child(
        (sys.executable, str(HERE / "worker_app.py"), str(sidecar.grpc_port)),
        log=logs.add("worker"),
    )
    try:
        yield
    finally:
        app.kill()


def test_tools_find_it_among_the_processes(dapr_run: Start) -> None:
    sidecar = dapr_run()
    process = Path(f"/proc/{sidecar.child.pid}")
    assert (process / "stat").read_text().partition("(")[2].partition(")")[0] == "daprd"
    # Tools read everything behind the first argument as pairs of flag and value.
    _, *arguments = (process / "cmdline").read_text().rstrip("\0").split("\0")
    pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert pairs["--app-id"] == APP_ID
    assert pairs["--dapr-http-port"] == str(sidecar.http_port)
    assert pairs["--dapr-grpc-port"] == str(sidecar.grpc_port)


def test_it_says_once_what_has_no_effect(dapr_run: Start) -> None:
    text = dapr_run().log.read_text()
    assert text.count("unknown flags have no effect: --flag-of-a-later-dapr") == 1
    told = [line for line in text.splitlines() if "flags of daprd that have no effect here" in line]
    assert len(told) == 1
    assert "--placement-host-address" in told[0]

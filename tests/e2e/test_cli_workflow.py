"""`durahub workflow` and a running sidecar: every verb, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from durahub.cli.main import build_command, execute
from durahub.edition import OSS

from tests.e2e.client import Client
from tests.e2e.processes import pause
from tests.e2e.sidecar import COMMANDS, next_port
from tests.e2e.stack import Stack

INSTANCE_KEYS = {
    "instanceID",
    "name",
    "version",
    "status",
    "createdAt",
    "lastUpdatedAt",
    "startedAt",
    "completedAt",
    "scheduledStartAt",
    "parent",
    "tags",
    "executionID",
    "generation",
    "historyLength",
    "parkedReason",
    "payloads",
}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What `--json` printed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Call = Callable[..., Outcome]


@pytest.fixture
def durahub(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command of `durahub workflow` that nothing in the environment tells where its sidecar is."""
    for name in os.environ:
        if name.startswith(("DAPR_", "APP_")):
            monkeypatch.delenv(name)
    command = build_command(OSS)

    def call(*arguments: str) -> Outcome:
        code = execute(command, ["workflow", *arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def workflow(durahub: Call, stack: Stack) -> Call:
    """Run a verb on the stack's sidecar."""

    def call(verb: str, *arguments: str) -> Outcome:
        return durahub(verb, *arguments, "--dapr-http-port", str(stack.sidecar.http_port))

    return call


@pytest.fixture
def an_id() -> str:
    """An id that needs to be encoded in URLs, and that no other test has."""
    return f"käse/{uuid.uuid4().hex[:8]} ?"


def test_a_workflow_is_run_and_shown(workflow: Call, an_id: str) -> None:
    started = workflow("run", "sequence", "-i", an_id, "-x", "1", "--tag", f"of={an_id}")
    assert started == (0, f"{an_id} is accepted\n", "")
    ended = workflow("wait", an_id)
    assert ended.code == 0
    assert "status:       COMPLETED\n" in ended.out
    shown = workflow("get", an_id, "--json").document
    assert set(shown) == INSTANCE_KEYS
    assert (shown["instanceID"], shown["name"], shown["status"]) == (an_id, "sequence", "COMPLETED")
    assert shown["tags"] == {"of": an_id}
    assert shown["payloads"] == {"input": "1", "output": "4", "customStatus": None, "failure": None}
    assert "output:       4\n" in workflow("get", an_id).out
    assert f"instanceID: {an_id}\n" in workflow("get", an_id, "-o", "yaml").out


def test_without_an_id_one_is_made_and_told(workflow: Call, client: Client) -> None:
    made = workflow("run", "nothing", "--json").document
    assert client.wait(made["instanceID"]).status == "COMPLETED"


def test_a_start_that_lies_ahead_is_not_waited_for(workflow: Call, an_id: str) -> None:
    assert workflow("run", "nothing", "-i", an_id, "-s", "1h").code == 0
    shown = workflow("get", an_id, "--json").document
    assert shown["status"] == "PENDING"
    assert shown["scheduledStartAt"] > shown["createdAt"]
    assert workflow("wait", an_id, "--for", "started", "--timeout", "0.2").code == 4
    assert workflow("suspend", an_id).code == 4
    assert workflow("terminate", an_id).code == 0


def test_lists_find_it_by_what_it_is(workflow: Call, an_id: str) -> None:
    workflow("run", "listener", "-i", an_id, "-x", "1", "--tag", f"of={an_id}", "--tag", "more=x")
    workflow("run", "parent", "-i", f"{an_id}p", "-x", "1")
    workflow("wait", f"{an_id}p")
    listed = workflow("list", "-w", "listener", "-s", "running", "-m", "10m", "-o", "ids")
    assert an_id in listed.out.splitlines()
    assert an_id not in workflow("ls", "-s", "COMPLETED", "-o", "ids").out.splitlines()
    assert an_id not in workflow("list", "-w", "sequence", "-o", "ids").out.splitlines()
    (found,) = workflow("search", "--tag", f"of={an_id}", "--tag", "more", "--json").document
    assert set(found) == INSTANCE_KEYS
    assert found["instanceID"] == an_id
    (child,) = workflow("search", "--parent", f"{an_id}p", "--name", "seq*", "--json").document
    assert child["parent"] == {"appID": "e2e", "instanceID": f"{an_id}p"}
    assert workflow("search", "--tag", f"of={an_id}", "--created-to", "1h", "--json").document == []
    counted = workflow("search", "--tag", f"of={an_id}", "--count", "--json").document
    assert counted == {"total": 1, "byStatus": {"RUNNING": 1}}
    limited = workflow("search", "--status", "RUNNING", "--status", "COMPLETED", "--limit", "2")
    assert len(limited.out.splitlines()) == 3
    wide = workflow("list", "-o", "wide").out.splitlines()
    assert wide[0].split()[:3] == ["INSTANCE", "ID", "NAME"]
    assert any(f"more=x,of={an_id}" in line for line in wide)


def kind_of(event: dict[str, Any]) -> str:
    (kind,) = event.keys() - {"eventId", "timestamp", "router"}
    return kind


def test_a_history_is_shown_in_order(workflow: Call, an_id: str) -> None:
    workflow("run", "sequence", "-i", an_id, "-x", "7")
    workflow("wait", an_id)
    history = workflow("history", an_id, "--json").document
    assert set(history) == {"instanceID", "executionID", "generation", "status", "events"}
    assert (history["instanceID"], history["status"]) == (an_id, "COMPLETED")
    kinds = [kind_of(event) for event in history["events"]]
    assert kinds[:3] == ["workflowStarted", "executionStarted", "taskScheduled"]
    assert kinds[-1] == "executionCompleted"
    lines = workflow("history", an_id).out.splitlines()
    assert lines[0].split() == ["#", "TIME", "EVENT", "ID", "NAME", "DETAILS"]
    assert [line.split()[2] for line in lines[1:]] == [kind[0].upper() + kind[1:] for kind in kinds]
    scheduled, completed = (line.split() for line in lines if " Task" in line and " 1 " in line)
    assert scheduled[2:] == ["TaskScheduled", "1", "add_one", "7"]
    assert completed[2:] == ["TaskCompleted", "1", "8"]


def test_events_are_raised_in_both_spellings(workflow: Call, an_id: str) -> None:
    workflow("run", "listener", "-i", an_id, "-x", "2")
    assert workflow("raise-event", f"{an_id}/go", "-x", '"one"').out == (
        f"event 'go' is raised for {an_id}\n"
    )
    raised = workflow("raise-event", an_id, "go", "-x", '"two"', "--json").document
    assert raised == {"instanceID": an_id, "event": "go"}
    assert workflow("wait", an_id).code == 0
    assert workflow("get", an_id, "--json").document["payloads"]["output"] == '["one", "two"]'


def test_a_workflow_is_suspended_resumed_and_ended(workflow: Call, an_id: str) -> None:
    workflow("run", "listener", "-i", an_id, "-x", "1")
    assert workflow("suspend", an_id, "-r", "lunch") == (0, f"{an_id} is SUSPENDED\n", "")
    assert "lunch" in workflow("history", an_id).out
    resumed = workflow("resume", an_id, "--json").document
    assert resumed == {"instanceID": an_id, "status": "RUNNING"}
    assert workflow("terminate", an_id, "-o", '"early"').out == f"{an_id} is TERMINATED\n"
    ended = workflow("wait", an_id)
    assert ended.code == 6
    assert 'output:       "early"\n' in ended.out


def test_an_ended_workflow_is_started_over(workflow: Call, an_id: str) -> None:
    workflow("run", "sequence", "-i", an_id, "-x", "1")
    workflow("wait", an_id)
    rerun = workflow(
        "rerun", an_id, "-e", "2", "--new-instance-id", f"{an_id}2", "-x", "10", "--json"
    )
    assert rerun.document == {"instanceID": f"{an_id}2"}
    assert workflow("wait", f"{an_id}2").code == 0
    assert workflow("get", f"{an_id}2", "--json").document["payloads"]["output"] == "12"
    refused = workflow("rerun", an_id, "-e", "99")
    assert (refused.code, refused.out) == (2, "")
    assert "ERR_RERUN_TARGET" in refused.err


def test_what_failed_is_told(workflow: Call, an_id: str) -> None:
    workflow("run", "failing", "-i", an_id)
    ended = workflow("wait", an_id, "-o", "wide")
    assert ended.code == 6
    assert "failure:      TaskFailedError: " in ended.out
    assert "attempt 1 fails" in ended.out


def test_named_instances_are_purged(workflow: Call, an_id: str) -> None:
    for suffix in "ab":
        workflow("run", "nothing", "-i", an_id + suffix)
        workflow("wait", an_id + suffix)
    purged = workflow("purge", f"{an_id}a", f"{an_id}missing", f"{an_id}b", "--json")
    assert purged.code == 2
    document = json.loads(purged.out)
    assert document["purged"] == [f"{an_id}a", f"{an_id}b"]
    (failed,) = document["failed"]
    assert failed["instanceID"] == f"{an_id}missing"
    assert failed["errorCode"] == "ERR_INSTANCE_ID_NOT_FOUND"
    assert workflow("get", f"{an_id}a").code == 3


def test_what_runs_is_purged_by_force_only(workflow: Call, an_id: str) -> None:
    workflow("run", "family", "-i", an_id, "-x", "1")
    refused = workflow("purge", an_id)
    assert (refused.code, refused.out) == (2, "")
    assert "ERR_INSTANCE_NOT_COMPLETED" in refused.err
    assert workflow("purge", an_id, "--force", "--recursive").out == f"purged {an_id}\n"
    assert workflow("search", "--parent", an_id, "-o", "ids").out == ""


def test_a_missing_instance_has_an_exit_code_of_its_own(workflow: Call) -> None:
    for verb in ("get", "history", "wait", "tail", "suspend", "resume", "terminate", "purge"):
        outcome = workflow(verb, "nobody")
        assert (outcome.code, outcome.out) == (3, ""), verb
        assert outcome.err.startswith("durahub: error: "), verb
        assert "ERR_INSTANCE_ID_NOT_FOUND" in outcome.err, verb
    assert workflow("raise-event", "nobody/go").code == 3
    assert workflow("rerun", "nobody", "-e", "1").code == 3


def test_an_id_that_is_taken_is_refused(workflow: Call, an_id: str) -> None:
    workflow("run", "listener", "-i", an_id, "-x", "1")
    outcome = workflow("run", "listener", "-i", an_id, "-x", "1")
    assert (outcome.code, outcome.out) == (2, "")
    assert "ERR_INSTANCE_EXISTS" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("raise-event", "no-event"), "say which instance and which event"),
        (("raise-event", "/go"), "say which instance and which event"),
        (("run", "x", "-s", "soon"), "neither a duration"),
        (("list", "-m", "soon"), "neither a duration"),
        (("list", "-s", "DONE"), "'DONE' is not one of"),
        (("list", "-k"), "kubectl port-forward"),
        (("list", "-c", "redis://x"), "give it with --config"),
        (("list", "-t", "state"), "give it with --config"),
        (("purge",), "name instances, or select them"),
        (("purge", "a", "--all"), "name instances, or select them"),
        (("purge", "a", "--dry-run"), "--dry-run is for selections"),
        (("get",), "Missing argument 'ID'"),
        (("get", "x", "--http-endpoint", "ftp://x"), "is no endpoint"),
        (("get", "x", "--http-endpoint", "http://x:99999"), "is no endpoint"),
        (("get", "x", "--tls-ca-file", "nowhere.pem"), "nowhere.pem: no certificates can be read"),
    ],
)
def test_a_wrong_command_line_is_one_message(
    workflow: Call, arguments: tuple[str, ...], message: str
) -> None:
    outcome = workflow(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("durahub: error: ") == 1
    assert message in outcome.err


def test_nobody_to_ask_is_told(durahub: Call) -> None:
    port = next_port()
    outcome = durahub("list", "--dapr-http-port", str(port))
    assert (outcome.code, outcome.out) == (5, "")
    assert outcome.err == (
        f"durahub: error: no answer from the sidecar at http://127.0.0.1:{port}: Connection refused\n"
    )
    outcome = durahub("list", "--dapr-grpc-port", str(port))
    assert outcome.code == 5
    assert f"no running sidecar was found with gRPC port {port}" in outcome.err
    assert "--config" in outcome.err


def test_it_is_found_among_the_processes_by_its_grpc_port(durahub: Call, stack: Stack) -> None:
    port = str(stack.sidecar.grpc_port)
    assert durahub("list", "--dapr-grpc-port", port, "-a", "e2e", "--json").code == 0
    outcome = durahub("list", "--dapr-grpc-port", port, "-a", "other")
    assert outcome.code == 5
    assert "no running sidecar was found for app id 'other'" in outcome.err


def test_another_application_than_asked_for_is_refused(workflow: Call, stack: Stack) -> None:
    outcome = workflow("list", "-a", "other")
    assert outcome.code == 5
    assert (
        f"http://127.0.0.1:{stack.sidecar.http_port} serves app id 'e2e', not 'other'"
        in outcome.err
    )


def test_the_environment_says_where_it_is(
    durahub: Call, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAPR_HTTP_PORT", str(stack.sidecar.http_port))
    assert durahub("list", "--json").code == 0
    monkeypatch.setenv("DAPR_HTTP_ENDPOINT", f"http://localhost:{next_port()}")
    assert durahub("list").code == 5


def test_selections_are_purged(launcher: Any, backend: str, tmp_path: Any, durahub: Call) -> None:
    stack = launcher.start(backend, tmp_path)
    launcher.connect_worker(stack.sidecar)

    def call(*arguments: str) -> Outcome:
        return durahub(*arguments, "--dapr-http-port", str(stack.sidecar.http_port))

    for number in range(105):
        stack.sync.start("nothing", number, instance_id=f"done{number:03}")
    for number in range(105):
        stack.sync.wait(f"done{number:03}")
    stack.sync.start("listener", 1, instance_id="waiting")
    stack.sync.start("listener", 1, instance_id="ended")
    stack.sync.terminate("ended")
    assert call("purge", "--all-older-than", "1h").out == "there is nothing to purge\n"
    dry = call("purge", "--all-filter-status", "terminated", "--dry-run")
    assert dry.out == "would purge ended\n"
    purged = call("purge", "--all-filter-status", "TERMINATED", "--json").document
    assert purged == {"dryRun": False, "matched": ["ended"], "purged": ["ended"], "failed": []}
    purged = call("purge", "--all-older-than", "0s", "--json").document
    assert purged["purged"] == [f"done{number:03}" for number in range(105)]
    assert call("list", "-o", "ids").out == "waiting\n"
    assert call("purge", "--all", "--force").out == "purged waiting\n"
    assert call("list", "--json").document == []


class TestInAProcessOfItsOwn:
    """What goes on for a while is followed, and interrupted."""

    @pytest.fixture
    def spawn(self, stack: Stack) -> Callable[..., subprocess.Popen[str]]:
        def start(*arguments: str) -> subprocess.Popen[str]:
            port = str(stack.sidecar.http_port)
            return subprocess.Popen(
                (*COMMANDS["sqlite"], "wf", *arguments, "--dapr-http-port", port),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        return start

    def test_tail_shows_events_while_they_happen(
        self, spawn: Callable[..., subprocess.Popen[str]], client: Client
    ) -> None:
        instance_id = client.start("listener", 2)
        with spawn("tail", instance_id) as process:
            assert process.stdout is not None
            first = [process.stdout.readline().split()[1] for _ in range(3)]
            assert first == ["WorkflowStarted", "ExecutionStarted", "TimerCreated"]
            client.tell(instance_id, "go", "one")
            assert process.stdout.readline().split()[1] == "WorkflowStarted"
            assert process.stdout.readline().split()[1:] == ["EventRaised", "go", '"one"']
            client.tell(instance_id, "go", "two")
            rest = process.stdout.read().splitlines()
        assert process.returncode == 0
        assert rest[-1] == f"{instance_id} is COMPLETED"
        assert "ExecutionCompleted" in rest[-2]

    def test_tail_goes_on_with_the_next_generation(
        self, spawn: Callable[..., subprocess.Popen[str]], client: Client
    ) -> None:
        instance_id = client.start("generation_per_event", [])
        with spawn("tail", instance_id, "--json", "--last", "1") as process:
            assert process.stdout is not None
            generations = {json.loads(process.stdout.readline())["generation"]}
            for data in ("one", "two", "three"):
                client.tell(instance_id, "go", data)
                pause(2)  # a generation that is over sooner may not be seen
            generations |= {json.loads(line)["generation"] for line in process.stdout}
        assert process.returncode == 0
        assert generations == {1, 2, 3}

    def test_waiting_is_interrupted_at_once(
        self, spawn: Callable[..., subprocess.Popen[str]], client: Client
    ) -> None:
        instance_id = client.start("listener", 1)
        for verb in ("wait", "tail"):
            with spawn(verb, instance_id) as process:
                pause(1.5)
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
                assert process.wait(2) == 130
                assert process.stderr is not None
                assert process.stderr.read().strip() == ""

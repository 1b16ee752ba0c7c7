"""A secret in every place that may hold one, and no output that shows it.

Every secret has the word below in it. A sidecar is run with all of them, used, reloaded, and made to fail in
many ways; whatever comes out of the process or its ports is searched for the word.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import pytest
from durahub.protocol import messages as pb

WORD = "c4n4ry"
HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: test}\n"
COMMAND = (sys.executable, "-c", "from durahub.cli.main import main; main()")
ENVIRON = {
    "DAPR_API_TOKEN": f"{WORD}-dapr",
    "OPS_TOKEN": f"{WORD}-ops",
    "PGPASSWORD": f"{WORD}-pg",
    "OTHER": f"{WORD}-other",
}
COMPONENTS = f"""\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: vault}}
spec:
  type: secretstores.local.file
  metadata: [{{name: secretsFile, value: secrets.json}}]
---
kind: Component
metadata: {{name: env}}
spec: {{type: secretstores.local.env}}
---
kind: Component
metadata: {{name: store}}
spec:
  type: state.redis
  metadata:
  - {{name: redisHost, value: "localhost:1"}}
  - {{name: redisPassword, secretKeyRef: {{name: redis}}}}
  - {{name: written, value: {WORD}-written}}
  - {{name: other, envRef: OTHER}}
auth: {{secretStore: vault}}
"""
SPEC = f"""\
  api:
    tokens:
    - {{name: viewer, roles: [read], token: {{fileRef: viewer.txt}}}}
    - {{name: ops, roles: [admin], token: {{secretKeyRef: {{secretStore: env, name: OPS_TOKEN}}}}}}
    - {{name: app, roles: [worker], token: {{secretKeyRef: {{secretStore: vault, name: app}}}}}}
  logging: {{level: debug, apiLogging: {{enabled: true}}}}
  tracing: {{otel: {{headers: "authorization={WORD}-otel"}}}}
"""
SQLITE = "    backendType: sqlite\n    storeConfiguration: {connectionString: hub.db}\n"
POSTGRES = (
    "    backendType: postgres\n    storeConfiguration:\n"
    f"      connectionString: postgres://me:{WORD}-dsn@127.0.0.1:1/db\n"
)

Durahub = Callable[..., Any]


class Stand:
    """A directory full of secrets, and what came out so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen: list[str] = []
        self.write("viewer.txt", f"{WORD}-viewer\n")
        self.write("secrets.json", json.dumps({"redis": f"{WORD}-redis", "app": f"{WORD}-app"}))
        self.write("components/all.yaml", COMPONENTS)
        self.configure()

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def configure(self, workflow: str = SQLITE, spec: str = SPEC) -> None:
        self.write("config.yaml", f"{HEAD}spec:\n  workflow:\n{workflow}{spec}")

    def arguments(self, http: int, rpc: int) -> tuple[str, ...]:
        return (
            *("serve", "--app-id", "shop", "--config", "config.yaml"),
            *("--resources-path", "components", "--enable-api-logging"),
            *("--dapr-http-port", str(http), "--dapr-grpc-port", str(rpc)),
        )

    def note(self, *texts: str) -> None:
        self.seen += texts

    def leaks(self) -> list[str]:
        return [line for text in self.seen for line in text.splitlines() if WORD in line.lower()]


Start = Callable[[Stand, dict[str, str], int, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, **ENVIRON}


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sidecar that writes into the file `log`; it is killed when the test ends."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(
        stand: Stand, environ: dict[str, str], http: int, rpc: int
    ) -> subprocess.Popen[bytes]:
        command = (*COMMAND, *stand.arguments(http, rpc))
        with (stand.directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=stand.directory, env=environ, stdout=log, stderr=log
            )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def two_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        return a.getsockname()[1], b.getsockname()[1]


def _get(port: int, method: str, path: str, token: str, body: bytes = b"") -> tuple[int, str]:
    request = Request(f"http://127.0.0.1:{port}{path}", data=body or None, method=method)
    if token:
        request.add_header("dapr-api-token", token)
    try:
        with urlopen(request, timeout=5) as response:
            return response.status, f"{response.headers}{response.read().decode()}"
    except HTTPError as error:
        return error.code, f"{error.headers}{error.read().decode()}"


def _use_http(stand: Stand, port: int) -> None:
    for method, path in (
        ("GET", "/v1.0/metadata"),
        ("GET", "/v1.0/healthz"),
        ("GET", "/metrics"),
        ("GET", "/v1.0/nowhere"),
        ("DELETE", "/v1.0/metadata"),
        ("PUT", "/v1.0/metadata/key"),
        ("POST", "/v1.0-beta1/workflows/dapr/Flow/start"),
    ):
        for token in (*ENVIRON.values(), f"{WORD}-viewer", f"{WORD}-app", f"{WORD}-wrong", ""):
            status, text = _get(port, method, path, token, b"x" if method == "PUT" else b"")
            assert status != 401 or token in ("", f"{WORD}-wrong", f"{WORD}-pg", f"{WORD}-other")
            stand.note(text)


def _use_grpc(stand: Stand, port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for token in (*ENVIRON.values(), f"{WORD}-viewer", f"{WORD}-app", f"{WORD}-wrong", ""):
            for method in (
                "Hello",
                "StartInstance",
                "ListInstanceIDs",
                "PurgeInstances",
                "Nothing",
            ):
                unary: Any = channel.unary_unary(f"/TaskHubSidecarService/{method}")
                # No message of any of them: it is refused, or not known, or not decoded.
                body = b"" if method in ("Hello", "ListInstanceIDs") else b"\xff"
                try:
                    answer = unary(body, metadata=(("dapr-api-token", token),), timeout=5)
                    stand.note(answer.decode("latin-1"))
                except grpc.RpcError as error:
                    stand.note(repr(error), str(error))


def _work_with_secrets(port: int) -> None:
    """Start a workflow and tell it something, in words that only its clients may see again."""
    creation = pb.CreateInstanceRequest(instanceId="a", name="Flow")
    creation.input.value = creation.tags["tag"] = f"{WORD}-input"
    creation.scheduledStartTimestamp.GetCurrentTime()
    creation.scheduledStartTimestamp.seconds += 3600
    event = pb.RaiseEventRequest(instanceId="a", name="event")
    event.input.value = f"{WORD}-event"
    metadata = (("dapr-api-token", ENVIRON["DAPR_API_TOKEN"]),)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method, request in (("StartInstance", creation), ("RaiseEvent", event)):
            unary: Any = channel.unary_unary(f"/TaskHubSidecarService/{method}")
            unary(request.SerializeToString(), metadata=metadata, timeout=10)


def test_a_sidecar_that_is_used_and_reloaded_shows_no_secret(
    stand: Stand,
    environ: dict[str, str],
    start: Start,
    two_ports: tuple[int, int],
    wait_until_ready: Callable[[int], None],
) -> None:
    http, rpc = two_ports
    process = start(stand, environ, http, rpc)
    wait_until_ready(http)
    assert _get(http, "GET", "/v1.0/metadata", f"{WORD}-viewer")[0] == 200
    _use_http(stand, http)
    _use_grpc(stand, rpc)
    _work_with_secrets(rpc)
    for spec in (
        SPEC.replace("fileRef: viewer.txt", "fileRef: renewed.txt"),
        SPEC.replace("[read]", f"[{WORD}]"),
        SPEC.replace("viewer.txt", "secrets.json"),
        f"{SPEC}    more: [{WORD}\n",
        SPEC.replace("{fileRef: viewer.txt}", WORD),
    ):
        stand.write("renewed.txt", f"{WORD}-renewed")
        stand.configure(spec=spec)
        process.send_signal(signal.SIGHUP)
        stand.note(_get(http, "GET", "/v1.0/metadata", f"{WORD}-renewed")[1])
    stand.configure(workflow=POSTGRES)
    process.send_signal(signal.SIGHUP)
    assert _get(http, "GET", "/v1.0/metadata", f"{WORD}-ops")[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    err = (stand.directory / "log").read_text()
    stand.note(err)
    assert "HTTP API Called" in err
    assert "gRPC API Called" in err
    assert "reloaded" in err
    assert "the reload is refused" in err
    assert stand.leaks() == []


FAILURES: dict[str, Callable[[Stand], None]] = {
    "the store can't be reached": lambda s: s.configure(workflow=POSTGRES),
    "a connection string that is none": lambda s: s.configure(
        workflow=POSTGRES.replace("postgres://", "")
    ),
    "a connection string with an odd port": lambda s: s.configure(
        workflow=POSTGRES.replace(":1/", f":{WORD}/")
    ),
    "an unknown key of the store": lambda s: s.configure(
        workflow=f"{POSTGRES}      password: {WORD}\n"
    ),
    "a value of the wrong kind": lambda s: s.configure(
        workflow=POSTGRES.replace("connectionString: ", "poolSize: ")
    ),
    "an unknown section": lambda s: s.configure(workflow=f"{SQLITE}    token: {WORD}\n"),
    "malformed YAML": lambda s: s.configure(workflow=f"{SQLITE}    x: ['{WORD}\n"),
    "a tab": lambda s: s.configure(workflow=f"{SQLITE}\t{WORD}: {WORD}\n"),
    "a token that is written down": lambda s: s.configure(
        spec=SPEC.replace("{fileRef: viewer.txt}", WORD)
    ),
    "two equal tokens": lambda s: s.write("viewer.txt", f"{WORD}-ops"),
    "an unknown role": lambda s: s.configure(spec=SPEC.replace("[worker]", f"[{WORD}]")),
    "headers that are none": lambda s: s.configure(spec=SPEC.replace("authorization=", "")),
    "a secrets file that is none": lambda s: s.write("secrets.json", f'{{"a": "{WORD}"'),
    "a secret that is missing": lambda s: s.write("secrets.json", f'{{"b": "{WORD}"}}'),
    "a component that is malformed": lambda s: s.write(
        "components/more.yaml", f"kind: Component\nspec: [{WORD}"
    ),
    "a component with two values": lambda s: s.write(
        "components/all.yaml", COMPONENTS.replace("envRef: OTHER", f"envRef: OTHER, value: {WORD}")
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_sidecar_that_fails_to_start_shows_no_secret(
    durahub: Durahub, stand: Stand, failure: str
) -> None:
    FAILURES[failure](stand)
    outcome = durahub(*stand.arguments(0, 0))
    assert outcome.code == 2, outcome.err
    assert outcome.err.count("durahub: error: ") == 1
    stand.note(outcome.out, outcome.err)
    assert stand.leaks() == []


@pytest.mark.parametrize("place", ["HttpServer.__aenter__", "Engine.start", "load_settings"])
def test_a_sidecar_that_crashes_shows_no_secret(
    stand: Stand, environ: dict[str, str], place: str
) -> None:
    code = (
        "import sys\nimport durahub.server.sidecar as module\n"
        "from durahub.cli.main import main\n"
        "def crash(*given, **named):\n    raise RuntimeError('crashed on purpose')\n"
        f"owner, _, name = '{place}'.rpartition('.')\n"
        "setattr(getattr(module, owner) if owner else module, name, crash)\n"
        "main()\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", code, *stand.arguments(0, 0)),
        cwd=stand.directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "crashed on purpose" in done.stderr
    stand.note(done.stdout, done.stderr)
    assert stand.leaks() == []


def test_no_other_command_shows_a_secret(durahub: Durahub, stand: Stand) -> None:
    for command in (
        ["--help"],
        ["serve", "--help"],
        ["run", "--help"],
        ["db", "--help"],
        ["version", "--json"],
        ["backends", "list", "--all", "--json"],
        ["serve"],
        ["serve", "--app-id", "shop", "--dapr-http-port", "x"],
    ):
        outcome = durahub(*command)
        stand.note(outcome.out, outcome.err)
    stand.configure(workflow=POSTGRES, spec="")
    for verb in ("status", "plan", "migrate"):
        outcome = durahub("db", verb, "--config", "config.yaml")
        assert outcome.code == 2
        stand.note(outcome.out, outcome.err)
    assert stand.leaks() == []

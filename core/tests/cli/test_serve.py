"""`durahub serve` as a process: signals, exit codes, and how it fails to start."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Durahub = Callable[..., Any]
Spawn = Callable[[Sequence[str]], "subprocess.Popen[str]"]
Ready = Callable[[int], None]
FailToStart = Callable[..., str]

START_FAILURE_S = 3


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return two ports that were free a moment ago: HTTP, gRPC."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def serve(ports: tuple[int, int], sqlite_config: Path) -> tuple[str, ...]:
    http, grpc = ports
    return (
        *("serve", "--app-id", "shop", "--config", sqlite_config.name),
        *("--dapr-http-port", str(http), "--dapr-grpc-port", str(grpc)),
    )


def time_of_imports() -> float:
    began = time.monotonic()
    imports = "import durahub.server.sidecar, durahub.cli.logging_setup"
    subprocess.run((sys.executable, "-c", imports), check=True, timeout=30)
    return time.monotonic() - began


@pytest.fixture
def fail_to_start(durahub: Durahub) -> Callable[..., str]:
    """Run a command that has to fail soon, with one message; return the message."""

    def call(*arguments: str, **variables: str) -> str:
        outcome = durahub(*arguments, **variables)
        if outcome.took_s >= START_FAILURE_S:
            # Then it has to be the machine: what can't be faster than the imports is as slow.
            assert outcome.took_s < 4 * time_of_imports()
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.count("durahub: error: ") == 1
        assert "Traceback" not in outcome.err
        return str(outcome.err)

    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_gracefully(
    spawn: Spawn,
    serve: tuple[str, ...],
    ports: tuple[int, int],
    wait_until_ready: Ready,
    number: int,
) -> None:
    process = spawn([*serve, "--log-as-json", "-mode=standalone", "-enable-metrics=true"])
    wait_until_ready(ports[0])
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    records = [json.loads(line) for line in err.splitlines()]
    messages = [record["msg"] for record in records]
    assert any(m.startswith("dapr initialized. Status: Running. Init Elapsed ") for m in messages)
    assert messages[-1] == "stopped"
    assert {record["app_id"] for record in records} == {"shop"}
    assert [r["flags"] for r in records if "flags" in r] == ["--enable-metrics,--mode"]


def test_a_second_signal_ends_it_at_once(
    spawn: Spawn, serve: tuple[str, ...], ports: tuple[int, int], wait_until_ready: Ready
) -> None:
    process = spawn(serve)
    wait_until_ready(ports[0])
    # A request that never ends keeps the server from stopping for two seconds.
    with socket.create_connection(("127.0.0.1", ports[0])) as client:
        client.sendall(b"PUT /v1.0/metadata/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        wait_until_ready(ports[0])
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
        process.send_signal(signal.SIGTERM)
        process.wait(0.5)
    assert process.returncode == -signal.SIGTERM


def test_a_shutdown_over_http_ends_it_well(
    spawn: Spawn, serve: tuple[str, ...], ports: tuple[int, int], wait_until_ready: Ready
) -> None:
    process = spawn(serve)
    wait_until_ready(ports[0])
    request = urllib.request.Request(f"http://127.0.0.1:{ports[0]}/v1.0/shutdown", method="POST")
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 204
    assert process.wait(10) == 0


def test_the_environment_stands_in_for_flags(
    fail_to_start: FailToStart, sqlite_config: Path, ports: tuple[int, int]
) -> None:
    with socket.create_server(("127.0.0.1", ports[1])):
        message = fail_to_start(
            *("serve", "--config", sqlite_config.name),
            APP_ID="shop",
            DAPR_HTTP_PORT=str(ports[0]),
            DAPR_GRPC_PORT=str(ports[1]),
        )
    assert f"port {ports[1]} is in use" in message


@pytest.mark.parametrize("taken", [0, 1], ids=["http", "grpc"])
def test_a_port_in_use_is_named_with_its_flag(
    fail_to_start: FailToStart, serve: tuple[str, ...], ports: tuple[int, int], taken: int
) -> None:
    with socket.create_server(("127.0.0.1", ports[taken])):
        message = fail_to_start(*serve)
    flag = ("--dapr-http-port", "--dapr-grpc-port")[taken]
    assert f"port {ports[taken]} is in use on 127.0.0.1" in message
    assert flag in message


def test_a_store_that_another_sidecar_uses_is_refused(
    fail_to_start: FailToStart,
    spawn: Spawn,
    serve: tuple[str, ...],
    ports: tuple[int, int],
    wait_until_ready: Ready,
) -> None:
    process = spawn(serve)
    wait_until_ready(ports[0])
    message = fail_to_start(*serve[:5], "--dapr-http-port", "0", "--dapr-grpc-port", "0")
    assert "hub.db is in use" in message
    assert str(process.pid) in message


def _configuration(workflow: str) -> str:
    return (
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: x}\n"
        f"spec:\n  workflow:\n{workflow}"
    )


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("kind: [\n", ("bad.yaml", "malformed YAML")),
        (_configuration("    backendTyp: sqlite\n"), ("bad.yaml:6", "backendTyp", "backendType")),
        (_configuration("    backendType: sqllite\n"), ("bad.yaml:6", "sqllite", "sqlite")),
        (
            _configuration("    backendType: sqlite\n    storeConfiguration: {conn: x}\n"),
            ("bad.yaml:7", "conn", "connectionString"),
        ),
    ],
    ids=["malformed", "unknown-key", "unknown-backend", "unknown-store-key"],
)
def test_a_wrong_configuration_file_is_named_with_the_line(
    fail_to_start: FailToStart, tmp_path: Path, content: str, parts: tuple[str, ...]
) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    message = fail_to_start("serve", "--app-id", "shop", "--config", "bad.yaml")
    assert [part for part in parts if part not in message] == []


def test_a_missing_configuration_file_is_named(fail_to_start: FailToStart) -> None:
    message = fail_to_start("serve", "--app-id", "shop", "--config", "nowhere.yaml")
    assert "nowhere.yaml: cannot read the file: No such file" in message


def test_a_file_that_is_no_database_is_refused(
    fail_to_start: FailToStart, serve: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "hub.db").write_text("this is no database, and long enough to be taken for one" * 9)
    assert "hub.db" in fail_to_start(*serve)


def test_a_missing_app_id_is_explained(fail_to_start: FailToStart) -> None:
    assert "such as --app-id shop" in fail_to_start("serve")

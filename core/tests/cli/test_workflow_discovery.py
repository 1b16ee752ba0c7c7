"""Which processes `durahub workflow` takes for sidecars, and which of them it asks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from durahub.cli.workflow import discovery
from durahub.cli.workflow.discovery import read_process

Durahub = Callable[..., Any]
Spawn = Callable[[Sequence[str]], "subprocess.Popen[str]"]
Ready = Callable[[int], None]

NO_PROCESS = 2**22 + 1
"""No process has this id, so there is no environment to look into."""


@pytest.mark.parametrize(
    ("line", "app_id", "http_port", "grpc_port"),
    [
        ("durahub serve --app-id shop", "shop", 3500, 50001),
        ("/venv/bin/python /venv/bin/durahub serve --app-id=shop", "shop", 3500, 50001),
        ("python -P /root/.dapr/bin/daprd --app-id a --dapr-http-port 3501", "a", 3501, 50001),
        ("/root/.dapr/bin/daprd -app-id a -dapr-grpc-port=5", "a", 3500, 5),
        ("durahub run --dapr-http-port 0 --dapr-grpc-port -1 -- python app.py", None, 0, 0),
        ("durahub run -- server --app-id other --dapr-http-port 1", None, 3500, 50001),
        ("python vendor.py serve --app-id shop", "shop", 3500, 50001),
    ],
)
def test_sidecars_are_known_by_their_command_line(
    line: str, app_id: str | None, http_port: int, grpc_port: int
) -> None:
    found = read_process(NO_PROCESS, line.split())
    assert found is not None
    assert (found.app_id, found.http_port, found.grpc_port) == (app_id, http_port, grpc_port)


@pytest.mark.parametrize(
    "line",
    ["", "vi durahub", "durahub workflow list --app-id shop", "uvicorn serve", "durahub db plan"],
)
def test_other_processes_are_none(line: str) -> None:
    assert read_process(NO_PROCESS, line.split(" ")) is None


def test_processes_of_other_users_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    command = (sys.executable, "-c", "input()", "serve", "--app-id", "x")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:

        def is_listed() -> bool:
            return process.pid in [found.pid for found in discovery.running_sidecars()]

        assert is_listed()
        monkeypatch.setattr(discovery, "_trusted_users", lambda: frozenset({os.getuid() + 1}))
        assert not is_listed()
        process.kill()


def test_where_there_is_no_proc_ps_lists_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing = (
        f"{os.getuid()} 71 daprd --app-id shop --dapr-http-port 3501\n"
        f"{os.getuid()} 72 vi\n"
        "4711 73 daprd --app-id other\n"
    )
    fake = tmp_path / "ps"
    fake.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}END\n")
    fake.chmod(0o755)
    monkeypatch.setattr(discovery, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(discovery, "_PS", str(fake))
    (found,) = discovery.running_sidecars()
    assert (found.pid, found.app_id, found.http_port) == (71, "shop", 3501)


@pytest.fixture
def ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def serve(
    spawn: Spawn, wait_until_ready: Ready, sqlite_config: Path, ports: tuple[int, int]
) -> Callable[..., None]:
    """Start a sidecar for an application of this test's own."""

    def start(app_id: str) -> None:
        http, grpc = map(str, ports)
        spawn(
            [
                *("serve", "--app-id", app_id, "--config", sqlite_config.name),
                *("--dapr-http-port", http, "--dapr-grpc-port", grpc),
            ]
        )
        wait_until_ready(ports[0])

    return start


@pytest.fixture
def app_id(tmp_path: Path) -> str:
    return f"only-{tmp_path.name}-{tmp_path.parent.name}"


def test_the_app_id_finds_the_sidecar(
    durahub: Durahub, serve: Callable[..., None], app_id: str
) -> None:
    serve(app_id)
    outcome = durahub("workflow", "list", "-a", app_id, "--json")
    assert (outcome.code, outcome.out, outcome.err) == (0, "[]\n", "")


def test_the_token_of_the_environment_is_presented_and_never_shown(
    durahub: Durahub, serve: Callable[..., None], environ: dict[str, str], app_id: str
) -> None:
    environ["DAPR_API_TOKEN"] = "c4n4ry"
    serve(app_id)
    assert durahub("workflow", "list", "-a", app_id, "--json").code == 0
    for token in ("", "c4n4rx"):
        outcome = durahub("workflow", "list", "-a", app_id, DAPR_API_TOKEN=token)
        assert outcome.code == 5
        assert "does not accept the API token; it is taken from DAPR_API_TOKEN" in outcome.err
        assert "c4n4r" not in outcome.err


def test_something_else_that_answers_is_told(
    durahub: Durahub, serve: Callable[..., None], ports: tuple[int, int], app_id: str
) -> None:
    serve(app_id)
    outcome = durahub("workflow", "list", "--dapr-http-port", str(ports[1]))
    assert outcome.code == 5
    assert f"no answer from the sidecar at http://127.0.0.1:{ports[1]}" in outcome.err

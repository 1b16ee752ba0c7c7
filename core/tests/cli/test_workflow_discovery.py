"""Which processes `durahub workflow` takes for sidecars, and which of them it asks."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
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

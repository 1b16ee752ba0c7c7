"""`durahub run` as a process: the application beside the sidecar."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from durahub.cli.run import app_id_of

Durahub = Callable[..., Any]
Spawn = Callable[[Sequence[str]], "subprocess.Popen[str]"]


@pytest.fixture
def run(sqlite_config: Path) -> tuple[str, ...]:
    return (
        *("run", "--config", sqlite_config.name, "--log-level", "error"),
        *("--dapr-http-port", "0", "--dapr-grpc-port", "-1"),
    )


def python(program: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-u", "-c", program)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or does so within two seconds."""
    for _ in range(40):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True  # ended, and nobody in this container collects orphans
        threading.Event().wait(0.05)
    return False


@pytest.mark.parametrize("code", [0, 1, 42])
def test_the_exit_code_and_the_output_are_the_applications(
    durahub: Durahub, run: tuple[str, ...], code: int
) -> None:
    program = f"import sys; print('out'); print('err', file=sys.stderr); sys.exit({code})"
    outcome = durahub(*run, *python(program))
    assert (outcome.code, outcome.out, outcome.err) == (code, "out\n", "err\n")


def test_an_application_that_a_signal_ends_gives_128_and_the_signal(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    outcome = durahub(*run, "--", "sh", "-c", "kill -9 $$")
    assert outcome.code == 128 + signal.SIGKILL


def test_the_application_finds_a_ready_sidecar_through_its_environment(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    program = (
        "import os, socket, urllib.request\n"
        "url = f\"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/healthz\"\n"
        "print(urllib.request.urlopen(url).status)\n"
        "socket.create_connection(('127.0.0.1', int(os.environ['DAPR_GRPC_PORT'])))\n"
        "print(os.environ['APP_ID'], os.environ['APP_PORT'], os.environ['DAPR_GRPC_ENDPOINT'])\n"
        "print([name for name in os.environ if name.startswith('GRPC_V')])\n"
    )
    outcome = durahub(
        *run,
        *("--app-id", "shop", "--app-port", "5001"),
        *python(program),
        DAPR_GRPC_ENDPOINT="elsewhere:1",
    )
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["204", "shop 5001 elsewhere:1", "[]"]


def test_without_an_app_id_it_is_the_name_of_the_directory(
    durahub: Durahub, run: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = durahub(*run, *python("import os; print(os.environ['APP_ID'])"))
    assert outcome.out.strip() == app_id_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "app_id"),
    [
        ("shop", "shop"),
        ("my.shop v2", "my-shop-v2"),
        (".hidden", "hidden"),
        ("日本", "app"),
        ("", "app"),
    ],
)
def test_a_directory_name_becomes_an_app_id(name: str, app_id: str) -> None:
    assert app_id_of(Path("/srv") / name if name else Path("/")) == app_id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_to_the_application_which_decides(
    spawn: Spawn, run: tuple[str, ...], number: signal.Signals
) -> None:
    program = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda n, _: sys.exit(100 + n))\n"
        "print('running')\n"
        "time.sleep(60)\n"
    )
    process = spawn([*run, *python(program)])
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(number)
    assert process.wait(10) == 100 + number


def test_a_signal_goes_to_the_whole_process_group(spawn: Spawn, run: tuple[str, ...]) -> None:
    process = spawn([*run, "--", "sh", "-c", "sleep 61 & echo $!; wait"])
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert is_gone(child)


def test_a_second_signal_kills_an_application_that_does_not_end(
    spawn: Spawn, run: tuple[str, ...]
) -> None:
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('no'))\n"
        "print('running')\n"
        "while True: time.sleep(60)\n"
    )
    process = spawn([*run, *python(program)])
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "no\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGKILL


def test_what_the_application_leaves_behind_is_ended(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    outcome = durahub(*run, "--", "sh", "-c", "sleep 62 >/dev/null 2>&1 & echo $!")
    assert outcome.code == 0
    assert is_gone(int(outcome.out))


def test_an_application_that_shuts_its_sidecar_down_ends_by_itself(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    program = (
        "import os, sys, time, urllib.request\n"
        "url = f\"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/shutdown\"\n"
        "urllib.request.urlopen(urllib.request.Request(url, method='POST'))\n"
        "time.sleep(0.5)\n"
        "sys.exit(5)\n"
    )
    assert durahub(*run, *python(program)).code == 5


def test_an_application_that_outlives_its_sidecar_is_stopped(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    program = (
        "import os, time, urllib.request\n"
        "url = f\"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/shutdown\"\n"
        "urllib.request.urlopen(urllib.request.Request(url, method='POST'))\n"
        "time.sleep(60)\n"
    )
    outcome = durahub(*run, "--dapr-graceful-shutdown-seconds", "1", *python(program))
    assert outcome.code == 128 + signal.SIGTERM


def test_a_program_that_does_not_exist_is_127_and_nothing_starts(
    durahub: Durahub, run: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = durahub(*run, "--", "no-such-program", "--flag")
    assert outcome.code == 127
    assert outcome.err.startswith("durahub: error: cannot start 'no-such-program'")
    assert not (tmp_path / "hub.db").exists()


def test_a_program_that_the_system_refuses_is_126(
    durahub: Durahub, run: tuple[str, ...], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01\x02 not a program")
    broken.chmod(0o755)
    outcome = durahub(*run, "--", "./broken")
    assert outcome.code == 126
    assert outcome.err.startswith("durahub: error: cannot start './broken'")


def test_a_sidecar_that_cannot_start_starts_no_application(
    durahub: Durahub, run: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = durahub(*run, "--dapr-grpc-port", str(port), *python("print('started')"))
    assert outcome.code == 2
    assert outcome.out == ""
    assert f"durahub: error: port {port} is in use" in outcome.err


def test_flags_after_the_program_are_the_programs(durahub: Durahub, run: tuple[str, ...]) -> None:
    program = "import sys; print(sys.argv[1:])"
    outcome = durahub(*run, sys.executable, "-c", program, "-app-id", "x", "--", "--help")
    assert outcome.out.strip() == "['-app-id', 'x', '--', '--help']"


def test_standard_input_reaches_the_application(
    run: tuple[str, ...], tmp_path: Path, environ: dict[str, str]
) -> None:
    program = "import sys; print(sys.stdin.read().upper())"
    done = subprocess.run(
        (sys.executable, "-c", "from durahub.cli.main import main; main()", *run, *python(program)),
        cwd=tmp_path,
        env=environ,
        input="hello",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.strip() == "HELLO"

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from durahub.cli.main import build_command, execute
from durahub.edition import OSS, Edition


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = execute(build_command(OSS), list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_the_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    listed = out.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.strip()] == [
        "run",
        "serve",
        "workflow",
        "backends",
        "config",
        "db",
        "install-daprd",
        "uninstall-daprd",
        "completion",
        "version",
    ]


def test_without_arguments_help_is_shown_and_nothing_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: durahub")


@pytest.mark.parametrize("command", ["run", "serve"])
def test_help_of_a_command_has_sections_and_examples(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    for title in ("Application:", "Listening:", "Workflows:", "Logging:", "Examples:"):
        assert title in out
    assert "--placement-host-address" not in out


def test_version_is_bare(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--version")
    assert code == 0
    assert out.strip()[0].isdigit()
    assert len(out.split()) == 1


def test_the_version_command_names_build_contract_and_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, bare, _ = call(capsys, "--version")
    _, text, _ = call(capsys, "version")
    assert text.startswith(f"durahub {bare.strip()} (edition oss, backend contract ")
    _, document, _ = call(capsys, "version", "--json")
    assert set(json.loads(document)) == {"version", "edition", "backendContract", "python"}


def test_another_build_is_another_edition(capsys: pytest.CaptureFixture[str]) -> None:
    command = build_command(Edition(name="acme", allowlist=()))
    assert execute(command, ["version"]) == 0
    assert "edition acme" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("srve",), "No such command 'srve'"),
        (("serve", "--app-idd", "x"), "--app-id"),
        (("serve", "-dapr-grpc-prt", "1"), "--dapr-grpc-port"),
        (("serve", "--app-id"), "Option '--app-id' requires an argument"),
        (("serve", "--app-id", "a", "--dapr-http-port", "x"), "'x' is not a valid integer"),
        (("serve", "--app-id", "a", "--dapr-http-port", "70000"), "--dapr-http-port"),
        (("serve", "--app-id", "a", "--max-body-size", "4MB"), "'4MB' is no quantity"),
        (("serve", "--app-id", "a", "--log-level", "loud"), "--log-level"),
        (("serve", "--app-id", "a", "stray"), "stray"),
        (("serve", "--app-id", "a", "--dapr-listen-addresses", "x"), "--dapr-listen-addresses"),
        (("serve",), "--app-id"),
        (("serve", "--app-id", ""), "--app-id"),
        (("serve", "--app-id", "a.b"), "--app-id"),
        (("run",), "CMD"),
    ],
)
def test_a_wrong_command_line_is_one_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.delenv("APP_ID", raising=False)
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("durahub: error: ")
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("workflow", "--help"), ("workflow", "get", "x", "--http-endpoint", "x:1")],
)
def test_what_needs_no_server_and_no_model_library_imports_none(arguments: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from durahub.cli.main import main\n"
        f"sys.argv = {['durahub', *arguments]}\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'asyncio', 'grpc', 'pydantic', 'rich', 'starlette', 'structlog', 'uvicorn'}\n"
        "    print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_crash() -> None:
    program = "from durahub.cli.main import main; main()"
    with subprocess.Popen(
        (sys.executable, "-c", program, "serve", "--help"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1

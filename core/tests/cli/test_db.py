"""`durahub db` on a file: what it tells, what it does, and its exit codes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from durahub.cli.main import build_command, execute
from durahub.edition import OSS


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def durahub(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    """Run the command inside this process, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    command = build_command(OSS)

    def call(*arguments: str) -> Outcome:
        code = execute(command, list(arguments))
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def db(durahub: Call, sqlite_config: Path) -> Call:
    """Run a command of `durahub db` on the file `hub.db`."""

    def call(command: str, *arguments: str) -> Outcome:
        return durahub("db", command, "--config", sqlite_config.name, *arguments)

    return call


def test_status_tells_what_is_missing_and_what_helps(db: Call) -> None:
    outcome = db("status")
    assert (outcome.code, outcome.err) == (3, "")
    assert "store:   sqlite:hub.db\nbackend: sqlite (durahub-sqlite " in outcome.out
    assert "there is no task hub; create it with `durahub db migrate`" in outcome.out
    outcome = db("status", "--json")
    assert outcome.code == 3
    found = json.loads(outcome.out)
    assert found.pop("version")
    assert found == {
        "store": "sqlite:hub.db",
        "backendType": "sqlite",
        "distribution": "durahub-sqlite",
        "found": None,
        "current": 1,
        "isCurrent": False,
    }


def test_plan_names_what_migrate_does_and_changes_nothing(db: Call) -> None:
    for _ in range(2):
        outcome = db("plan")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.splitlines() == [
            "`durahub db migrate` would do in sqlite:hub.db:",
            "1. schema version 1",
        ]
    assert "CREATE TABLE instances (" in db("plan", "--script").out
    (migration,) = json.loads(db("plan", "--json").out)["migrations"]
    assert migration["name"] == "schema version 1"
    assert "CREATE TABLE instances (" in migration["script"]


def test_migrate_reports_what_it_does_and_may_be_repeated(db: Call) -> None:
    first, second = db("migrate"), db("migrate")
    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    assert first.out.splitlines() == [
        "migrating sqlite:hub.db",
        "done: schema version 1",
        "the schema is up to date",
    ]
    assert second.out.splitlines() == [
        "migrating sqlite:hub.db",
        "the schema was up to date already",
    ]
    status = db("status")
    assert status.code == 0
    assert "schema:  version 1, up to date" in status.out
    assert db("plan").out == "sqlite:hub.db is up to date; there is nothing to do\n"
    assert json.loads(db("plan", "--json").out)["migrations"] == []


def test_an_older_schema_is_told_with_both_versions(db: Call, tmp_path: Path) -> None:
    db("migrate")
    with closing(sqlite3.connect(tmp_path / "hub.db")) as connection, connection:
        connection.execute("UPDATE meta SET schema_version = 0")
    outcome = db("status")
    assert outcome.code == 3
    assert "version 0, and this program needs 1; upgrade it with `durahub db migrate`" in (
        outcome.out
    )


def test_a_store_that_a_sidecar_uses_is_refused(
    db: Call,
    spawn: Callable[[Sequence[str]], subprocess.Popen[str]],
    wait_until_ready: Callable[[int], None],
    free_port: int,
    sqlite_config: Path,
) -> None:
    process = spawn(
        [
            *("serve", "--app-id", "shop", "--config", sqlite_config.name),
            *("--dapr-grpc-port", "0", "--dapr-http-port", str(free_port)),
        ]
    )
    wait_until_ready(free_port)
    for command in ("status", "plan", "migrate"):
        outcome = db(command)
        assert outcome.code == 2
        assert outcome.err.startswith("durahub: error: ")
        assert "hub.db is in use" in outcome.err
        assert str(process.pid) in outcome.err


def test_a_store_without_roles_lets_nobody_read(db: Call) -> None:
    outcome = db("grant-reader", "bob")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("durahub: error: sqlite:hub.db has no roles")
    assert "'bob'" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("migrate", "--config", "nowhere.yaml"), "nowhere.yaml: cannot read the file"),
        (("grant-reader",), "Missing argument 'ROLE'"),
        (("plan", "stray"), "stray"),
        (("vacuum",), "No such command 'vacuum'"),
    ],
)
def test_a_wrong_command_line_is_one_message(
    durahub: Call, arguments: tuple[str, ...], message: str
) -> None:
    outcome = durahub("db", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("durahub: error: ") == 1
    assert message in outcome.err


@pytest.mark.parametrize("command", ["status", "plan", "migrate", "grant-reader"])
def test_help_tells_the_exit_codes(durahub: Call, command: str) -> None:
    outcome = durahub("db", command, "--help")
    assert outcome.code == 0
    codes = outcome.out.partition("Exit codes:\n")[2]
    assert codes.split()[0] == "0"
    assert ("3 " in codes) is (command == "status")


def test_status_finds_secrets_in_components(durahub: Call, tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"where": "hidden.db"}')
    (tmp_path / "secrets.yaml").write_text(
        "kind: Component\nmetadata: {name: vault}\nspec: {type: secretstores.local.file,"
        f" metadata: [{{name: secretsFile, value: {tmp_path / 'secrets.json'}}}]}}\n"
    )
    (tmp_path / "secret.yaml").write_text(
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec: {workflow: {backendType: sqlite,"
        " storeConfiguration: {connectionString: {secretKeyRef: {name: where}}}}}\n"
    )
    given = ("db", "status", "--config", str(tmp_path / "secret.yaml"))
    outcome = durahub(*given, "--resources-path", str(tmp_path / "secrets.yaml"))
    assert outcome.code == 3, outcome.err
    assert "hidden.db" in outcome.out
    assert "say which secret store" in durahub(*given).err

"""`durahub workflow --config`: a store without a sidecar, looked at and purged."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from durahub.cli.main import build_command, execute
from durahub.edition import OSS

from tests.e2e.memory_build import EDITION
from tests.e2e.processes import wait_until
from tests.e2e.sidecar import APP_ID, Setup
from tests.e2e.stack import Launcher, Stack


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def durahub(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.delenv("APP_ID", raising=False)
    command = build_command(OSS)

    def call(*arguments: str) -> Outcome:
        code = execute(command, ["workflow", *arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture(params=["sqlite", "postgres"])
def left(request: pytest.FixtureRequest, launcher: Launcher, tmp_path: Path) -> Stack:
    """What a sidecar leaves in a store when it has stopped."""
    server = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    stack = launcher.start(request.param, tmp_path, server=server)
    worker = launcher.connect_worker(stack.sidecar)
    for number in range(3):
        stack.sync.start("sequence", number, instance_id=f"done{number}")
        stack.sync.wait(f"done{number}")
    stack.sync.start("family", 1, instance_id="running")
    for child in ("running.0", "running.1"):
        wait_until(lambda: _is_running(stack, child), "both children")  # noqa: B023 - called at once
    worker.stop()
    stack.sidecar.stop()
    return stack


def _is_running(stack: Stack, instance_id: str) -> bool:
    state = stack.sync.find(instance_id)
    return state is not None and state.status == "RUNNING"


@pytest.fixture
def workflow(durahub: Call, left: Stack) -> Call:
    def call(verb: str, *arguments: str) -> Outcome:
        return durahub(verb, *arguments, "--config", str(left.sidecar.setup.config), "-a", APP_ID)

    return call


def test_it_is_listed_counted_and_shown(workflow: Call) -> None:
    listed = workflow("list", "--json")
    assert (listed.code, listed.err) == (0, "")
    ids = [instance["instanceID"] for instance in json.loads(listed.out)]
    assert ids[:4] == ["done0", "done1", "done2", "running"]
    assert sorted(ids[4:]) == ["running.0", "running.1"]
    assert (
        workflow("search", "--parent", "running", "--name", "fam*", "-o", "ids").out.count(".") == 2
    )
    counted = json.loads(workflow("search", "--count", "--json").out)
    assert counted == {"total": 6, "byStatus": {"RUNNING": 3, "COMPLETED": 3}}
    shown: dict[str, Any] = json.loads(workflow("get", "done1", "--json").out)
    assert shown["payloads"]["output"] == "4"
    history = json.loads(workflow("history", "done1", "--json").out)
    assert len(history["events"]) == shown["historyLength"] == 12
    assert workflow("get", "nobody").code == 3


def test_it_is_purged(workflow: Call, left: Stack) -> None:
    assert workflow("purge", "running").code == 2
    assert workflow("purge", "done0").out == "purged done0\n"
    assert workflow("purge", "--all", "--dry-run").out == "would purge done1\nwould purge done2\n"
    assert workflow("purge", "--all", "--json").code == 0
    assert workflow("purge", "running", "--force", "--recursive").out == "purged running\n"
    assert workflow("list", "--json").out == "[]\n"
    left.sidecar.start()
    assert left.sync.find("done1") is None


@pytest.mark.parametrize("left", ["sqlite"], indirect=True)
def test_a_look_changes_nothing(workflow: Call, tmp_path: Path) -> None:
    before = _content(tmp_path / "workflows.db")
    for verb in (("list",), ("get", "done0"), ("history", "done0"), ("search", "--count")):
        assert workflow(*verb).code == 0
    assert _content(tmp_path / "workflows.db") == before


def _content(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


def test_another_application_sees_nothing_of_it(durahub: Call, left: Stack) -> None:
    config = str(left.sidecar.setup.config)
    assert durahub("list", "--config", config, "-a", "other", "--json").out == "[]\n"


def test_a_file_in_use_is_refused_and_a_shared_store_is_not(
    durahub: Call, launcher: Launcher, tmp_path: Path, postgres_url: str
) -> None:
    for backend, server in (("sqlite", ""), ("postgres", postgres_url)):
        (tmp_path / backend).mkdir()
        stack = launcher.start(backend, tmp_path / backend, server=server)
        config = str(stack.sidecar.setup.config)
        for verb in (("list", "--json"), ("purge", "--all", "--json")):
            outcome = durahub(*verb, "--config", config, "-a", APP_ID)
            if backend == "postgres":
                assert (outcome.code, outcome.err) == (0, "")
            else:
                assert (outcome.code, outcome.out) == (5, "")
                assert "workflows.db is in use by" in outcome.err
                assert "without --config, its sidecar is asked" in outcome.err


def test_what_is_no_task_hub_is_left_alone(durahub: Call, tmp_path: Path) -> None:
    setup = Setup.of("sqlite", tmp_path)
    for verb in (("list",), ("purge", "--all")):
        outcome = durahub(*verb, "--config", str(setup.config), "-a", APP_ID)
        assert (outcome.code, outcome.out) == (2, "")
        assert "there is no task hub in sqlite:" in outcome.err
    (tmp_path / "workflows.db").write_bytes(b"not a database" * 100)
    outcome = durahub("list", "--config", str(setup.config), "-a", APP_ID)
    assert (outcome.code, outcome.out) == (2, "")
    assert "workflows.db" in outcome.err


def test_an_application_has_to_be_named(durahub: Call, tmp_path: Path) -> None:
    outcome = durahub("list", "--config", str(Setup.of("sqlite", tmp_path).config))
    assert (outcome.code, outcome.out) == (2, "")
    assert "say which with --app-id" in outcome.err


def test_a_store_that_keeps_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = str(Setup.of("memory", tmp_path).config)
    code = execute(build_command(EDITION), ["wf", "list", "--config", config, "-a", APP_ID])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "keeps nothing that could be looked at" in err


def test_verbs_that_need_a_sidecar_know_no_store(durahub: Call) -> None:
    for verb in ("run", "tail", "wait", "suspend", "resume", "terminate", "rerun", "raise-event"):
        outcome = durahub(verb, "x", "--config", "x.yaml")
        assert outcome.code == 2
        assert "--config" in outcome.err

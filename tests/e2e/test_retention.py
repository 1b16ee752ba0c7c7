"""The state retention policy of a configuration file, and what it leaves in the database."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.database import count_rows, count_unfinished
from tests.e2e.processes import wait_until
from tests.e2e.stack import Launcher


def test_what_has_been_kept_long_enough_leaves_no_row(tmp_path: Path, launcher: Launcher) -> None:
    policy = {"anyTerminal": "168h", "completed": "1s", "terminated": "0s"}
    stack = launcher.start("sqlite", tmp_path, stateRetentionPolicy=policy)
    launcher.connect_worker(stack.sidecar)
    database = stack.sidecar.setup.database
    for _ in range(3):
        stack.sync.start("parallel", 3)
    stopped = stack.sync.start("listener", 1)
    stack.sync.terminate(stopped)
    wait_until(lambda: not any(count_rows(database).values()), "a database without instances")
    failed = stack.sync.start("failing")
    assert stack.sync.wait(failed).status == "FAILED"
    stack.sync.start("sequence", 2)
    wait_until(lambda: count_rows(database)["instances"] == 1, "one of them removed")
    assert stack.sync.status(failed) == "FAILED"


def test_a_policy_holds_for_what_ended_before_it(tmp_path: Path, launcher: Launcher) -> None:
    stack = launcher.start("sqlite", tmp_path)
    launcher.connect_worker(stack.sidecar)
    database = stack.sidecar.setup.database
    for _ in range(3):
        stack.sync.start("sequence", 2)
    wait_until(lambda: count_unfinished(database) == 0, "three ended instances")
    assert count_rows(database)["instances"] == 3
    stack.sidecar.stop()
    launcher.start("sqlite", tmp_path, stateRetentionPolicy={"anyTerminal": "1ms"})
    wait_until(lambda: not any(count_rows(database).values()), "a database without instances")

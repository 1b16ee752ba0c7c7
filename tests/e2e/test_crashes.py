"""The sidecar is killed again and again while it works, and nothing is lost or done twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.database import Database, count_unfinished, count_waiting, read_instances
from tests.e2e.lanes import CASES, Lanes
from tests.e2e.processes import pause, wait_until
from tests.e2e.sidecar import Sidecar
from tests.e2e.stack import Launcher, Stack

LONGEST_WORK_S = 0.8
LONGEST_START_S = 0.6
KILLED_WHILE_STARTING = 0.2
"""How often the sidecar is killed a second time, before it has fully started."""


@pytest.mark.parametrize("part", range(4))
def test_workflows_survive_five_kills(tmp_path: Path, launcher: Launcher, part: int) -> None:
    run_and_kill(launcher.start("sqlite", tmp_path), launcher, part, kills=5)


def test_workflows_on_a_server_survive_three_kills(
    tmp_path: Path, launcher: Launcher, postgres_url: str
) -> None:
    stack = launcher.start("postgres", tmp_path, server=postgres_url)
    run_and_kill(stack, launcher, 0, kills=3)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4, 14))
def test_workflows_survive_ten_kills(tmp_path: Path, launcher: Launcher, part: int) -> None:
    run_and_kill(launcher.start("sqlite", tmp_path), launcher, part, kills=10)


def run_and_kill(stack: Stack, launcher: Launcher, part: int, *, kills: int) -> None:
    # pytest-randomly gives all tests of a run the same numbers.
    seed = random.getrandbits(32) + part
    print(f"seed: {seed}")
    launcher.connect_worker(stack.sidecar, "mix_app.py")
    lanes = Lanes(stack.sync)
    with lanes.running():
        unfinished = kill_repeatedly(stack.sidecar, lanes, kills, random.Random(seed))
    assert stack.sidecar.stop() == os.EX_OK
    print(f"unfinished at each kill: {unfinished}; finished: {dict(lanes.finished)}")
    assert min(unfinished) > 0, "it was killed while it had nothing to do"
    assert set(lanes.finished) == {*CASES, "listener"}
    check_database(database_of(stack.sidecar))


def kill_repeatedly(sidecar: Sidecar, lanes: Lanes, kills: int, chance: random.Random) -> list[int]:
    """Kill a sidecar at random moments; return how many instances were unfinished each time."""
    database = database_of(sidecar)
    unfinished = []
    for _ in range(kills):
        wait_until(lambda: sidecar.connected_workers > 0, "a worker that came back")
        wait_until(lanes.are_connected, "clients that came back")
        wait_until(lambda: count_unfinished(database) > 0, "something to do")
        pause(chance.uniform(0, LONGEST_WORK_S))
        sidecar.kill()
        lanes.check()
        unfinished.append(count_unfinished(database))
        if chance.random() < KILLED_WHILE_STARTING:
            sidecar.launch()
            pause(chance.uniform(0, LONGEST_START_S))
            sidecar.kill()
        sidecar.start()
    return unfinished


def database_of(sidecar: Sidecar) -> Database:
    assert sidecar.setup.database is not None
    return sidecar.setup.database


def check_database(database: Database) -> None:
    instances = read_instances(database)
    assert instances
    for instance in instances:
        assert instance.has_ended, instance.instance_id
        instance.check()
    assert count_waiting(database) == {"messages": 0, "timers": 0, "activities": 0}

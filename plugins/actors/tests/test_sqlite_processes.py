"""Whose process has ended, by what the system says of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from durahub_actors.stores.sqlite.processes import has_ended, own_process

SAY_AND_WAIT = (
    "from durahub_actors.stores.sqlite.processes import own_process\n"
    "print(own_process(), flush=True)\n"
    "input()"
)


def start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        (sys.executable, "-c", SAY_AND_WAIT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_has_ended_once_it_was_killed_even_before_its_parent_notices() -> None:
    process, name = start()
    with process:
        assert name not in {"", own_process()}
        assert not has_ended(name)
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(name)
        process.wait()
        assert has_ended(name)


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    name = own_process()
    assert not has_ended(name)
    assert has_ended(f"{name}1")


def test_nothing_is_known_of_processes_of_other_machines_and_containers() -> None:
    surroundings, _, process = own_process().partition("/")
    assert not has_ended("")
    assert not has_ended(f"{surroundings}1/{process}1")

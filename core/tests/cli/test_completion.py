"""`durahub completion`: shells complete commands, verbs, options and their values."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Durahub = Callable[..., Any]

COMPLETE = """
set -e
eval "$(durahub completion bash)"
complete -p durahub
COMP_WORDS=(durahub {words}); COMP_CWORD={last}
_durahub_completion durahub
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete_in_bash(*words: str) -> list[str]:
    done = subprocess.run(
        ("bash", "--norc", "-c", COMPLETE.format(words=" ".join(words), last=len(words))),
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    registered, *offered = done.stdout.splitlines()
    assert registered.startswith("complete ")
    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("w",), ["workflow"]),
        (("workflow", "s"), ["search", "suspend"]),
        (("wf", "list", "--filter-s"), ["--filter-status"]),
        (("wf", "list", "-s", "TERM"), ["terminated"]),
        (("config", "c"), ["check"]),
        (("completion", "f"), ["fish"]),
    ],
)
def test_bash_completes(words: tuple[str, ...], offered: list[str]) -> None:
    assert complete_in_bash(*words) == offered


def test_names_for_programs_are_not_offered() -> None:
    offered = complete_in_bash("''")
    assert "serve" in offered
    assert {"wf", "daprd"}.isdisjoint(offered)


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("zsh", "compdef _durahub_completion durahub"),
        ("fish", "complete --no-files --command durahub"),
    ],
)
def test_the_scripts_of_the_other_shells_ask_the_command(
    durahub: Durahub, shell: str, registers: str
) -> None:
    script = durahub("completion", shell)
    assert script.code == 0
    assert registers in script.out
    assert f"_DURAHUB_COMPLETE={shell}_complete" in script.out
    # What their scripts ask.
    words = {"COMP_WORDS": "durahub workf", "COMP_CWORD": {"zsh": "1", "fish": "workf"}[shell]}
    asked = durahub(_DURAHUB_COMPLETE=f"{shell}_complete", **words)
    assert asked.code == 0
    assert "workflow" in asked.out
    assert "Start, find, watch and steer workflows." in asked.out


def test_another_shell_is_refused(durahub: Durahub) -> None:
    outcome = durahub("completion", "tcsh")
    assert (outcome.code, outcome.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in outcome.err

"""The open-source build and another one, which differ in nothing but their allowlists."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from tests.e2e.sidecar import COMMANDS, Setup
from tests.e2e.stack import Stack


def test_a_sidecar_says_which_build_it_is_and_what_it_runs_on(stack: Stack, backend: str) -> None:
    build = stack.sidecar.metadata()["durahub"]
    edition = {"sqlite": "oss", "memory": "memory"}[backend]
    assert (build["edition"], build["backend"]["type"]) == (edition, backend)


def test_the_open_source_build_refuses_what_the_other_build_allows(tmp_path: Path) -> None:
    setup = replace(Setup.of("memory", tmp_path), command=COMMANDS["sqlite"])
    ended = subprocess.run(
        (*setup.command, "serve", "--app-id", "a", "--config", str(setup.config)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "memory" in ended.stderr
    assert "the build 'oss'" in ended.stderr

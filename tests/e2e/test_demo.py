"""The demo of the README: what it claims is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_demo_succeeds_within_a_minute() -> None:
    ended = subprocess.run(
        (sys.executable, "-m", "examples.demo"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "NO" not in ended.stdout.split()

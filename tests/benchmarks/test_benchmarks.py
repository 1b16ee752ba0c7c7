"""The benchmarks measure what they say, and what must hold at any speed holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import idle, pickup, seq3
from tests.benchmarks.numbers import quantile

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_idle_sidecar_asks_hardly_anything_of_a_database_where_a_million_wait(
    tmp_path: Path,
) -> None:
    statements, *_ = await idle.measure(tmp_path, instances=1_000_000, seconds=60, seed=1)
    # It does look: a lost hint may not stay unnoticed.
    assert 0 < statements.value < idle.MOST_PER_S


async def test_start_at_one_replica_is_told_to_the_other(tmp_path: Path) -> None:
    picked_up, *_ = await pickup.measure(tmp_path, starts=20)
    # Whoever polls takes seconds; how busy this machine is nobody knows.
    assert 0 < picked_up.value < 1000


async def test_workflows_of_every_backend_are_counted(tmp_path: Path) -> None:
    figures = await seq3.measure(tmp_path, workflows=20, rounds=2, in_flight=10)
    assert [len(figure.rounds) for figure in figures] == [2] * 2 * len(seq3.BACKENDS)
    assert all(figure.value > 0 for figure in figures)


def test_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.5, 0.9, 0.99)] == [50, 90, 99]
    assert quantile([7.0], 0.5) == 7


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "tests.benchmarks", *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_run_says_what_where_and_with_what_and_an_idle_sidecar_is_idle(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    run = _run("idle", "--seed", "4711", "--json", str(file))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "statements" in run.stdout
    found: dict[str, Any] = json.loads(file.read_text())
    assert found["facts"].keys() == {
        "machine", "system", "versions", "commit", "fsync", "load", "settings",
    }  # fmt: skip
    assert found["facts"]["settings"] == "seed 4711"
    (outcome,) = found["benchmarks"]
    assert outcome["name"] == "idle"
    assert outcome["sizes"] == {"instances": idle.INSTANCES, "seconds": idle.SECONDS}
    statements = outcome["figures"][0]
    assert statements["name"] == "statements"
    assert 0 < statements["value"] < idle.MOST_PER_S


def test_mistakes_on_the_command_line_are_told() -> None:
    for arguments, complaint in (
        (["idel"], "no 'idel'; there are pickup, idle, seq3"),
        (["--seed", "-1"], "'-1' is no number"),
    ):
        run = _run(*arguments)
        assert run.returncode == 2
        assert complaint in run.stderr

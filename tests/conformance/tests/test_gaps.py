"""Known gaps and previews: shown, never counted as passed, and found out when they are over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from durahub_conformance import BackendConformance
from durahub_conformance.levels import Level, Outcome, Standing, standings
from durahub_conformance.requirement import REGISTRY

from .memory_harness import MemoryHarness

ROOT = Path(__file__).parents[3]
PASSED = dict.fromkeys(REGISTRY, Outcome.PASSED)

# A backend that overwrites what exists, and a kit in which CRE-05 is new.
HARNESS = """
from dataclasses import replace
from durahub.testing.memory_apply import Batch
from durahub_conformance.requirement import REGISTRY
from tests.conformance.tests.memory_harness import MemoryHarness

Batch.occupant = lambda batch, creation: None
REGISTRY["CRE-05"] = replace(REGISTRY["CRE-05"], preview=True)


class GappedHarness(MemoryHarness):
    gaps = {"CRE-03": "ids are looked up with 2.1", "CRE-02": "was done long ago"}
"""


def test_gap_costs_its_level_and_no_other() -> None:
    reached = standings(PASSED | {"END-04": Outcome.GAP})
    assert reached.pop(Level.RETENTION) is Standing.MISSED
    assert set(reached.values()) == {Standing.REACHED}


def test_preview_that_fails_costs_no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = PASSED | {"END-04": Outcome.FAILED}
    assert standings(failed)[Level.RETENTION] is Standing.MISSED
    monkeypatch.setitem(REGISTRY, "END-04", replace(REGISTRY["END-04"], preview=True))
    assert set(standings(failed).values()) == {Standing.REACHED}


@pytest.mark.parametrize("gaps", [{"CRE-99": "later"}, {"CRE-03": ""}])
def test_gap_of_no_requirement_or_without_a_reason_is_noticed(gaps: dict[str, str]) -> None:
    class Gapped(MemoryHarness):
        pass

    class Suite(BackendConformance):
        harness = Gapped

    Gapped.gaps = gaps
    with pytest.raises(AssertionError, match="gap"):
        Suite().test_requirements_are_tested_as_published()


def test_run_tells_gaps_and_previews_and_refuses_a_gap_that_is_over(tmp_path: Path) -> None:
    (tmp_path / "gapped.py").write_text(HARNESS)
    tests = [REGISTRY[name].test.__name__ for name in ("CRE-02", "CRE-03", "CRE-05")]
    kit = str(Path(sys.executable).with_name("durahub-conformance"))
    run = [kit, "run", "--backend", "memory"]
    run += ["--harness", "gapped:GappedHarness", "--json", str(tmp_path / "out.json")]
    run += ["--report", str(tmp_path / "out.md"), "-k", " or ".join([*tests, "as_published"])]
    environ = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = subprocess.run(
        run, env=environ, capture_output=True, text=True, check=False, timeout=50
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "known gap CRE-03: ids are looked up with 2.1" in ended.stdout
    assert "preview CRE-05 failed: " in ended.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["suiteIntact"]
    over, gap, preview = (document["requirements"][n] for n in ("CRE-02", "CRE-03", "CRE-05"))
    assert gap == {"outcome": "gap", "detail": "ids are looked up with 2.1"}
    assert over["outcome"] == preview["outcome"] == "failed"
    assert "XPASS" in over["detail"]
    report = (tmp_path / "out.md").read_text()
    assert "## Known gaps\n\n- **CRE-03** " in report
    assert "## Previews, which do not count yet\n\n- **CRE-05** (failed) " in report

"""The kit can fail: every requirement is broken by a mutant, and every mutant is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from durahub_conformance.requirement import REGISTRY
from durahub_conformance.topics import engines, hints

from .mutants import MUTANTS, Mutant
from .runner import holds


@pytest.fixture(autouse=True)
def patience_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "PATIENCE_S", 0.01)


@pytest.fixture
def workflows_are_short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PATIENCE_S", 6.0)


@pytest.mark.parametrize("requirement_id", sorted(REGISTRY))
async def test_requirement_holds_without_a_mutant(requirement_id: str, tmp_path: Path) -> None:
    # However busy the machine is: the test itself gives up earlier.
    assert await holds(REGISTRY[requirement_id], tmp_path, patience_s=110)


@pytest.mark.usefixtures("workflows_are_short_of_time")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_mutant_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    assert mutant.kills
    for requirement_id in mutant.kills:
        with mutant.at_work():
            noticed = not await holds(REGISTRY[requirement_id], tmp_path)
        assert noticed, f"{requirement_id} does not notice"


def test_every_requirement_is_broken_by_a_mutant() -> None:
    broken = {requirement_id for mutant in MUTANTS for requirement_id in mutant.kills}
    assert broken == set(REGISTRY)


def test_mutants_have_names_of_their_own() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))

"""Runs requirements against the reference backend outside of pytest's collection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from durahub_conformance import BackendConformance, Harness
from durahub_conformance.hub import open_hub
from durahub_conformance.requirement import Requirement

from .file_harness import FileHarness
from .memory_harness import (
    DurableMemoryHarness,
    ExclusiveMemoryHarness,
    MemoryHarness,
    UnlimitedMemoryHarness,
)

KILLS = ("CrashRequirements", "EngineRequirements")
"""The classes whose tests have child processes."""

PATIENCE_S = 20.0
"""How long a mutant may hang before that counts as noticed."""


async def holds(
    requirement: Requirement, directory: Path, *, patience_s: float = PATIENCE_S
) -> bool:
    """Whether a requirement's test passes, in all its variants, each within `patience_s` seconds."""
    for arguments in _variants(requirement):
        try:
            async with (
                asyncio.timeout(patience_s),
                open_hub(_harness(requirement, directory)) as hub,
            ):
                await requirement.test(BackendConformance(), hub, **arguments)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - mutants fail in every way
            return False
    return True


def _harness(requirement: Requirement, directory: Path) -> Harness:
    """Return the variant of the reference backend to which the law applies."""
    if "durable" in requirement.needs and requirement.test.__qualname__.startswith(KILLS):
        return FileHarness(directory)
    if "durable" in requirement.needs:
        return DurableMemoryHarness(directory)
    if requirement.without == "limits":
        return UnlimitedMemoryHarness(directory)
    if requirement.without is not None:
        return ExclusiveMemoryHarness(directory)
    return MemoryHarness(directory)


def _variants(requirement: Requirement) -> Iterator[dict[str, Any]]:
    marks: list[pytest.Mark] = getattr(requirement.test, "pytestmark", [])
    parameters = [mark.args for mark in marks if mark.name == "parametrize"]
    if not parameters:
        yield {}
    for name, values in parameters:
        yield from ({name: value} for value in values)

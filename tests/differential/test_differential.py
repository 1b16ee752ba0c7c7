"""The same program has the same observable answers on every backend."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from durahub.backend import Backend
from durahub.testing import MemoryBackend, MemorySettings, MemoryStore
from durahub_sqlite import SqliteBackend, SqliteSettings
from hypothesis import HealthCheck, given, note, settings

from tests.differential.flows import FLOWS
from tests.differential.hub import observe
from tests.differential.programs import Step, programs

ANY_PROGRAM = programs(tuple(FLOWS))


def on_memory() -> Callable[[], Backend]:
    store = MemoryStore()
    return lambda: MemoryBackend(MemorySettings(), store)


def on_sqlite(directory: str) -> Callable[[], Backend]:
    settings = SqliteSettings.model_validate(
        {"connectionString": str(Path(directory) / "hub.db"), "synchronous": "normal"}
    )
    return lambda: SqliteBackend(settings)


def check(program: list[Step]) -> None:
    expected = asyncio.run(observe(on_memory(), program))
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(observe(on_sqlite(directory), program))
    for step, (wanted, got) in enumerate(zip(expected, found, strict=True)):
        note(f"step {step}: {program[step]}\n  memory: {wanted[1:]}\n  sqlite: {got[1:]}")
        assert got == wanted, f"step {step}, {program[step]}"


def quickly(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )


@pytest.mark.timeout(300)
@given(ANY_PROGRAM)
@quickly(100)
def test_sqlite_answers_as_memory_does(program: list[Step]) -> None:
    check(program)


@pytest.mark.long
@pytest.mark.timeout(3600)
@given(ANY_PROGRAM)
@quickly(2_000)
def test_sqlite_answers_as_memory_does_in_thousands_of_programs(program: list[Step]) -> None:
    check(program)

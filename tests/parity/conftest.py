"""The suite runs unchanged on every backend; only a capability that one lacks takes a test from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.backends import STORES
from tests.parity.hub import Hub


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hub" not in metafunc.fixturenames:
        return
    needed = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
    names = [
        name for name, kind in STORES.items() if not any(kind.lacks(needs) for needs in needed)
    ]
    metafunc.parametrize("backend", names)


@pytest.fixture
def hub(backend: str, tmp_path: Path) -> Hub:
    """An empty task hub."""
    return Hub(backend, STORES[backend].new_store(tmp_path))

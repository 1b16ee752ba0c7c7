"""The suite runs unchanged on every backend; only a capability that one lacks takes a test from it."""

from __future__ import annotations

from collections.abc import AsyncIterator

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
async def hub(backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    """An empty task hub."""
    kind = STORES[backend]
    # Only who needs a server waits for it.
    async with kind.new_store(request.getfixturevalue(kind.place)) as new_backend:
        yield Hub(backend, new_backend)

"""The suite runs unchanged on every backend; only a capability that one lacks takes a test from it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.parity.backends import LONG, STATE_STORES, STORES
from tests.parity.hub import Hub

KINDS = {**STORES, **STATE_STORES}

SHARING = ("test_replicas", "test_crossapp")
"""How the names of files begin whose sidecars share a task hub."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hub" not in metafunc.fixturenames:
        return
    needed = [mark.args[0] for mark in metafunc.definition.iter_markers("needs")]
    shares = metafunc.definition.path.name.startswith(SHARING)
    metafunc.parametrize(
        "backend",
        [
            pytest.param(
                name,
                marks=[] if name in STORES or (shares and name not in LONG) else pytest.mark.long,
            )
            for name, kind in KINDS.items()
            if not any(kind.lacks(need) for need in needed)
        ],
    )


@pytest.fixture
async def hub(backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    """An empty task hub."""
    kind = KINDS[backend]
    # Only who needs a server waits for it.
    async with kind.new_store(request.getfixturevalue(kind.place)) as new_backend:
        yield Hub(backend, new_backend)

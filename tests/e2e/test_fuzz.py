"""Random and damaged messages for every RPC of a running sidecar."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from dapr.ext.workflow._durabletask.internal import orchestrator_service_pb2
from dapr.proto.runtime.v1 import dapr_pb2
from google.protobuf.message import Message

from tests.e2e.client import ClientProcess
from tests.e2e.fuzzing import Fuzzer
from tests.e2e.processes import LogBook, wait_until
from tests.e2e.sidecar import Sidecar
from tests.e2e.stack import Launcher

MESSAGES, LONG_MESSAGES = 300, 10_000
WARMING_UP = 200
AT_ONCE = 50
DEADLINE_S = 0.5
"""What waits for a worker or an end may not keep the others waiting."""
MOST_GROWTH_KIB = 40 * 1024
KNOWN_IDS = ("ended", "waiting", "later")

HUB, DAPR = "TaskHubSidecarService", "dapr.proto.runtime.v1.Dapr"
SERVED_DAPR = ("Workflow", "Metadata")
METHODS: dict[str, Any] = {
    f"/{HUB}/{method.name}": method
    for method in orchestrator_service_pb2.DESCRIPTOR.services_by_name[HUB].methods
} | {
    f"/{DAPR}/{method.name}": method
    for method in dapr_pb2.DESCRIPTOR.services_by_name["Dapr"].methods
    if any(part in method.name for part in SERVED_DAPR)
}

EXPECTED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}
DOCUMENTED = {
    # What daprd answers with UNKNOWN and INTERNAL, and SDKs look for by the text.
    "UNKNOWN": ("no such instance exists", "orchestration has not yet completed", "is stalled"),
    "INTERNAL": (
        "error starting workflow '",
        "error raising event on workflow '",
        "error pausing workflow ",
        "error resuming workflow ",
        "error purging workflow ",
        "error terminating workflow ",
    ),
}


@pytest.fixture(scope="module")
def sidecar(
    client_process: ClientProcess, logs: LogBook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sidecar]:
    """A sidecar of these tests' own, with instances of a few known ids and a worker."""
    with Launcher(client_process, logs) as launcher:
        stack = launcher.start("sqlite", tmp_path_factory.mktemp("fuzz"))
        launcher.connect_worker(stack.sidecar)
        client = stack.sync
        client.wait(client.start("sequence", 1, instance_id="ended"))
        client.start("listener", 2, instance_id="waiting")
        yield stack.sidecar


def resident_kib(pid: int) -> int:
    """Return how much memory a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def send(channel: Any, path: str, message: bytes) -> tuple[str, str]:
    """Return how a call ended: the name of the code, and the text."""
    try:
        if METHODS[path].server_streaming:
            await channel.unary_stream(path)(message, timeout=DEADLINE_S).read()
        else:
            await channel.unary_unary(path)(message, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def is_documented(code: str, text: str) -> bool:
    return code in EXPECTED or any(known in text for known in DOCUMENTED.get(code, ()))


async def send_many(sidecar: Sidecar, path: str, seed: str, count: int) -> Counter[str]:
    """Send so many messages; every answer is a documented one."""
    fuzzer = Fuzzer(seed, (*KNOWN_IDS, "listener", "go", "nothing"))
    request: type[Message] = METHODS[path].input_type._concrete_class
    ends: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}") as channel:
        for first in range(0, count, AT_ONCE):
            messages = [fuzzer.encoded(request) for _ in range(min(AT_ONCE, count - first))]
            answers = await asyncio.gather(*(send(channel, path, each) for each in messages))
            for message, (code, text) in zip(messages, answers, strict=True):
                assert is_documented(code, text), (code, text, message)
                ends[code] += 1
    return ends


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", sorted(METHODS))
async def test_whatever_is_sent_the_answer_is_documented_and_the_sidecar_lives(
    sidecar: Sidecar, path: str, request: pytest.FixtureRequest
) -> None:
    count = LONG_MESSAGES if request.config.getoption("--long") else MESSAGES
    pid = sidecar.pid
    await send_many(sidecar, path, f"warm {path}", WARMING_UP)
    before = resident_kib(pid)
    ends = await send_many(sidecar, path, path, count)
    assert ends.total() == count
    assert ends["INVALID_ARGUMENT"] > count / 20
    assert resident_kib(pid) - before < MOST_GROWTH_KIB
    assert sidecar.is_running
    assert "call failed" not in sidecar.output
    wait_until(sidecar.is_ready, "a healthy sidecar")

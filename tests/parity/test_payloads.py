"""Instances and activities that are too large to be sent to a worker."""

from __future__ import annotations

import re

import pytest
from durahub.protocol import messages as pb

from tests.parity.flows import Context, Workflow
from tests.parity.hub import Hub, Sidecar
from tests.parity.stalling import stalls
from tests.parity.worker import Activity

MIB = 1024 * 1024


def growing(ctx: Context):
    total = 0
    for _ in range(4):
        total += len((yield ctx.activity("large", "x" * 100_000)))
    return str(total)


async def large(_: pb.ActivityRequest) -> str | None:
    return "x" * 200_000


def excessive(ctx: Context):
    ctx.activity("small", "beside it")
    return (yield ctx.activity("large", "x" * int(0.97 * MIB)))


async def length(request: pb.ActivityRequest) -> str | None:
    return str(len(request.input.value))


async def others_go_on(sidecar: Sidecar) -> None:
    await sidecar.client.start("Small", "other")
    assert await sidecar.client.output("other") == "fine"


def small(_: Context):
    return "fine"


@pytest.mark.parity("payloadsize/workflow")
@pytest.mark.parametrize("stateful", [False, True])
async def test_history_that_grows_too_large_stalls(hub: Hub, *, stateful: bool) -> None:
    flows = {"Flow": growing, "Small": small}
    async with (
        hub.sidecar(max_message_bytes=MIB) as sidecar,
        sidecar.worker(flows, large, stateful=stateful) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("a", "STALLED")
        ((kind, reason),) = await stalls(sidecar.client)
        assert kind == pb.PAYLOAD_SIZE_EXCEEDED
        found = re.fullmatch(
            r"Workflow payload size (\d+) bytes exceeds 95% of max gRPC body size 1048576 bytes; "
            r"increase daprd --max-body-size and restart to resume",
            reason,
        )
        assert found is not None, reason
        assert 0.95 * MIB < int(found[1]) < 1.3 * MIB
        turns = len(worker.requests)
        await others_go_on(sidecar)
        # The same stream, and the large turn was not sent a second time.
        assert len(worker.requests) == turns + 1


@pytest.mark.parity("payloadsize/activity")
async def test_activity_that_is_too_large_stalls_its_workflow(hub: Hub) -> None:
    flows = {"Flow": excessive, "Small": small}
    async with (
        hub.sidecar(max_message_bytes=MIB) as sidecar,
        sidecar.worker(flows, length) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("a", "STALLED")
        ((kind, reason),) = await stalls(sidecar.client)
        assert kind == pb.PAYLOAD_SIZE_EXCEEDED
        found = re.fullmatch(
            r"activity 'large::1' payload (\d+) bytes exceeds 95% of max gRPC body size 1048576 bytes; "
            r"increase daprd --max-body-size and restart to resume: activity payload exceeds max "
            r"gRPC body size",
            reason,
        )
        assert found is not None, reason
        assert 0.97 * MIB < int(found[1]) < MIB
        await others_go_on(sidecar)
        assert worker.tasks == []
        assert await sidecar.client.kinds("a") == ["executionStalled"]


@pytest.mark.parity("payloadsize/restart")
@pytest.mark.parametrize(
    ("flow", "activity", "output"),
    [(growing, large, "800000"), (excessive, length, str(int(0.97 * MIB)))],
    ids=["workflow", "activity"],
)
async def test_larger_limit_lets_it_complete(
    hub: Hub, flow: Workflow, activity: Activity, output: str
) -> None:
    async with hub.sidecar(max_message_bytes=MIB) as sidecar, sidecar.worker(flow, activity):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("a", "STALLED")
    async with hub.sidecar(max_message_bytes=4 * MIB) as sidecar, sidecar.worker(flow, activity):
        assert await sidecar.client.output("a") == output
        assert (await sidecar.client.kinds("a")).count("executionStalled") == 1

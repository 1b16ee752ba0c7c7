"""History that is handed on counts towards the size of whoever is given it."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb

from tests.parity.flows import Context
from tests.parity.hub import Hub
from tests.parity.stalling import stalls

LIMIT = 20_000


def parent(ctx: Context):
    yield ctx.activity("large", "x" * 6_000)
    scope = pb.HISTORY_PROPAGATION_SCOPE_OWN_HISTORY
    return (
        yield ctx.child("Child", "x" * 12_000, instance_id="kid", historyPropagationScope=scope)
    )


def child(ctx: Context):
    (chunk,) = ctx.request.propagatedHistory.chunks
    return str(len(chunk.rawEvents))


@pytest.mark.parity("payloadsize/propagation")
async def test_history_that_is_given_counts(hub: Hub) -> None:
    flows = {"Flow": parent, "Child": child}
    async with hub.sidecar(max_message_bytes=LIMIT) as sidecar, sidecar.worker(flows):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("kid", "STALLED")
        ((kind, reason),) = await stalls(sidecar.client, "kid")
        assert kind == pb.PAYLOAD_SIZE_EXCEEDED
        assert f"exceeds 95% of max gRPC body size {LIMIT} bytes" in reason
        assert await sidecar.client.status("a") == "RUNNING"
    async with hub.sidecar(max_message_bytes=100_000) as sidecar, sidecar.worker(flows):
        assert int(await sidecar.client.output("a")) > 3

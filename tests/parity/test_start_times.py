"""Workflows that are to start at a given time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from tests.parity.flows import Context
from tests.parity.hub import Hub


def at_once(ctx: Context):
    return ctx.input


@pytest.mark.parity("starttime/delay")
async def test_workflow_starts_at_its_time_and_not_before(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(at_once):
        start_at = await sidecar.backend.now() + timedelta(seconds=0.6)
        await sidecar.client.start("Flow", "a", "x", at=start_at)
        ended = await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    assert (ended.output.value, ended.workflowStatus) == ("x", pb.ORCHESTRATION_STATUS_COMPLETED)
    assert from_timestamp_ceil(ended.createdTimestamp) < start_at
    assert from_timestamp_ceil(ended.scheduledStartTimestamp) == start_at
    assert from_timestamp_ceil(ended.startedAt) >= start_at
    assert from_timestamp_ceil(events[0].timestamp) >= start_at
    assert from_timestamp_ceil(events[1].executionStarted.scheduledStartTimestamp) == start_at


@pytest.mark.parity("starttime/now", "starttime/past")
@pytest.mark.parametrize("ago", [timedelta(0), timedelta(seconds=1), timedelta(days=400)])
async def test_start_time_that_has_come_starts_at_once(hub: Hub, ago: timedelta) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(at_once):
        start_at = await sidecar.backend.now() - ago
        await sidecar.client.start("Flow", "a", "x", at=start_at)
        assert await sidecar.client.output("a") == "x"
        state = await sidecar.client.state("a")
    assert from_timestamp_ceil(state.scheduledStartTimestamp) == start_at


@pytest.mark.parity("starttime/nowait")
@pytest.mark.parametrize("delay", [timedelta(hours=1), timedelta(hours=-1)])
async def test_start_with_a_time_needs_no_worker(hub: Hub, delay: timedelta) -> None:
    async with hub.sidecar() as sidecar:
        start_at = await sidecar.backend.now() + delay
        assert await sidecar.client.start("Flow", "a", "x", at=start_at) == "a"
        state = await sidecar.client.state("a")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_PENDING
        assert (state.name, state.input.value) == ("Flow", "x")


@pytest.mark.parity("starttime/delay")
async def test_only_a_terminate_reaches_a_workflow_before_its_start(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(at_once) as worker:
        client = sidecar.client
        start_at = await sidecar.backend.now() + timedelta(hours=1)
        await client.start("Flow", "a", "x", at=start_at)
        await client.send("a", "go")
        await client.suspend("a")
        state = await client.state("a")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_PENDING
        assert not state.HasField("startedAt")
        await client.terminate("a", "never mind")
        state = await client.state("a")
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
    assert state.output.value == "never mind"
    assert worker.requests == []

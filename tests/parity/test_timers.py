"""Timers that workflows wait for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub


def check_firings(events: list[pb.HistoryEvent]) -> list[int]:
    """Check that no timer fired early; return the timers' ids in the order in which they fired."""
    created = {
        event.eventId: event.timerCreated.fireAt
        for event in events
        if event.HasField("timerCreated")
    }
    fired = []
    turn = events[0]
    for event in events:
        if event.HasField("workflowStarted"):
            turn = event
        if event.HasField("timerFired"):
            fire_at = created[event.timerFired.timerId]
            assert event.timerFired.fireAt == fire_at
            assert event.eventId == -1
            for moment in (event.timestamp, turn.timestamp):
                assert from_timestamp_ceil(moment) >= from_timestamp_ceil(fire_at)
            fired.append(event.timerFired.timerId)
    return fired


@pytest.mark.parity("timer/base")
@pytest.mark.parametrize("delay_s", [1.0, 0.0, -3600.0])
async def test_timer_never_fires_early(hub: Hub, delay_s: float) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(delay_s)
        return "done"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "done"
        events = await sidecar.client.history("a")
    assert check_firings(events) == [0]
    assert len(events) == 6


@pytest.mark.parity("timer/subsecond")
async def test_short_timers_fire_in_the_order_of_their_times(hub: Hub) -> None:
    delays_s = [0.31, 0.011, 0.2, 0.1001, 0.2005]

    def flow(ctx: Context):
        yield all_of(*[ctx.sleep(delay_s) for delay_s in delays_s])

    # Nothing but the timers themselves may bring the sidecar to look for them.
    async with hub.sidecar(safety_poll=timedelta(hours=1)) as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    assert check_firings(events) == sorted(range(len(delays_s)), key=delays_s.__getitem__)


@pytest.mark.parity("timer/resumeearly")
async def test_timer_fires_after_an_earlier_resume(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(2.5)
        return "done"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.suspend("a")
        await sidecar.client.resume("a")
        assert await sidecar.client.output("a") == "done"
        events = await sidecar.client.history("a")
    assert check_firings(events) == [0]
    kinds = [event.WhichOneof("eventType") for event in events]
    assert kinds[-2:] == ["timerFired", "executionCompleted"]
    assert kinds.index("executionResumed") < kinds.index("timerFired")


@pytest.mark.parity("timer/resumelate")
async def test_timer_that_is_due_while_suspended_counts_after_the_resume(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.event("go")
        yield ctx.sleep(0.2)
        return "done"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        client = sidecar.client
        await client.start("Flow", "a")
        await client.send("a", "go")
        await client.suspend("a")
        await client.until_event("a", "timerFired")
        assert await client.status("a") == "SUSPENDED"
        await client.resume("a")
        assert await client.output("a") == "done"
        events = await client.history("a")
    assert check_firings(events) == [0]
    assert [event.WhichOneof("eventType") for event in events][-2:] == [
        "executionResumed",
        "executionCompleted",
    ]

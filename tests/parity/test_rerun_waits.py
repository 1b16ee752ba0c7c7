"""Reruns from timers and from waits for events, and past them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from tests.parity.flows import FOREVER, Context, all_of
from tests.parity.hub import Hub
from tests.parity.reruns import ended, heard


def timers(history: Sequence[pb.HistoryEvent]) -> dict[int, pb.HistoryEvent]:
    """Return when each timer of a history was created."""
    return {event.eventId: event for event in history if event.HasField("timerCreated")}


def firings(history: Sequence[pb.HistoryEvent]) -> list[int]:
    """Return which timers fired, in order; none may have fired before its time."""
    fired = [event for event in history if event.HasField("timerFired")]
    for event in fired:
        assert from_timestamp_ceil(event.timestamp) >= from_timestamp_ceil(event.timerFired.fireAt)
    return [event.timerFired.timerId for event in fired]


def all_events(ctx: Context):
    """Wait for as many events as the input says, at the same time."""
    names = [str(number) for number in range(int(ctx.input or 0))]
    return ",".join((yield all_of(*[ctx.event(name, FOREVER) for name in names])))


@pytest.mark.parity("rerun/raise-simple")
async def test_wait_for_an_event_begins_anew(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(all_events):
        await sidecar.client.start("Flow", "old", "1")
        await sidecar.client.send("old", "0", "old")
        assert await sidecar.client.output("old") == "old"
        await sidecar.client.rerun("old", 0, "new")
        assert await sidecar.client.status("new") == "RUNNING"
        await sidecar.client.send("new", "0", "new")
        assert await sidecar.client.output("new") == "new"


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2, id="one", marks=pytest.mark.parity("rerun/raise-active")),
        pytest.param(4, id="several", marks=pytest.mark.parity("rerun/raise-actives")),
    ],
)
async def test_open_waits_are_open_in_the_new_instance(hub: Hub, count: int) -> None:
    names = [str(number) for number in range(count)]
    async with hub.sidecar() as sidecar, sidecar.worker(all_events):
        await sidecar.client.start("Flow", "old", str(count))
        for name in reversed(names):
            await sidecar.client.send("old", name, "old")
        await sidecar.client.output("old")
        await sidecar.client.rerun("old", count - 1, "new")
        for name in names:
            assert await sidecar.client.status("new") == "RUNNING"
            await sidecar.client.send("new", name, f"new{name}")
        assert await sidecar.client.output("new") == ",".join(f"new{name}" for name in names)
        history = await sidecar.client.history("new")
        assert (sorted(timers(history)), firings(history)) == (list(range(count)), [])


@pytest.mark.parity("rerun/raise-completed")
async def test_earlier_events_are_taken_over_and_later_ones_are_not(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(heard):
        await sidecar.client.start("Flow", "old")
        for name in ("first", "second"):
            await sidecar.client.send("old", name, "old")
            await sidecar.client.until_event("old", "eventRaised", 1 + (name == "second"))
        assert await sidecar.client.output("old") == "old old"
        await sidecar.client.rerun("old", 1, "new")
        assert (await sidecar.client.kinds("new")).count("eventRaised") == 1
        await sidecar.client.send("new", "second", "new")
        assert await sidecar.client.output("new") == "old new"


def one_sleep(ctx: Context):
    yield ctx.sleep(0.05)
    return "over"


@pytest.mark.parity("rerun/timer-simple")
async def test_timer_fires_again(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(one_sleep):
        await ended(sidecar)
        await sidecar.client.rerun("old", 0, "new")
        assert await sidecar.client.output("new") == "over"
        old, new = [await sidecar.client.history(name) for name in ("old", "new")]
        assert timers(new)[0].timerCreated.fireAt == timers(old)[0].timerCreated.fireAt
        assert firings(new) == [0]


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(1, id="one", marks=pytest.mark.parity("rerun/timer-active")),
        pytest.param(3, id="several", marks=pytest.mark.parity("rerun/timer-actives")),
    ],
)
async def test_open_timers_fire_in_the_new_instance_at_their_time(hub: Hub, count: int) -> None:
    def flow(ctx: Context):
        long = [ctx.sleep(2) for _ in range(count)]
        yield ctx.activity("work")
        yield all_of(*long)
        return "over"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "old")
        await sidecar.client.terminate("old")
        await sidecar.client.rerun("old", count, "new")
        assert await sidecar.client.output("new") == "over"
        old, new = [await sidecar.client.history(name) for name in ("old", "new")]
        assert (firings(old), sorted(firings(new))) == ([], list(range(count)))
        for number in range(count):
            assert (
                timers(new)[number].timerCreated.fireAt == timers(old)[number].timerCreated.fireAt
            )


@pytest.mark.parity("rerun/timer-completed")
async def test_timer_that_had_fired_fires_once_more_without_effect(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.05)
        result = yield ctx.activity("work", "x")
        yield ctx.event("go")
        return result

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "old")
        await sidecar.client.until_event("old", "taskCompleted")
        await sidecar.client.send("old", "go")
        await sidecar.client.output("old")
        await sidecar.client.rerun("old", 1, "new")
        await sidecar.client.until_event("new", "timerFired", 2)
        await sidecar.client.until_event("new", "taskCompleted")
        await sidecar.client.send("new", "go")
        assert await sidecar.client.output("new") == "x"
        history = await sidecar.client.history("new")
        assert (list(timers(history)), firings(history)) == ([0], [0, 0])
        assert worker.task_names() == ["work", "work"]

"""The timers that bound waits for events: when they go, and when they fire."""

from __future__ import annotations

from datetime import datetime

import pytest
from durahub.protocol.times import from_timestamp_ceil

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import END_OF_TIME, FOREVER, Context, all_of
from tests.parity.hub import Hub, Sidecar

HOUR_S = 3600.0


async def fire_times(sidecar: Sidecar, instance_id: str = "a") -> dict[str, datetime]:
    """Return when the timers in a history fire, by their names."""
    return {
        event.timerCreated.name: from_timestamp_ceil(event.timerCreated.fireAt)
        for event in await sidecar.client.history(instance_id)
        if event.HasField("timerCreated")
    }


@pytest.mark.parity("deletetimer/base", "deletetimer/caseinsensitive", "field/15")
@pytest.mark.parametrize("name", ["go", "gO"])
async def test_event_removes_the_timer_of_its_wait(hub: Hub, name: str) -> None:
    def flow(ctx: Context):
        data = yield ctx.event("Go", HOUR_S)
        yield ctx.event("end")
        return data

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.next_due() == (await fire_times(sidecar))["Go"]
        await sidecar.client.send("a", name, "x")
        await sidecar.client.until_event("a", "eventRaised")
        assert await sidecar.next_due() is None
        await sidecar.client.send("a", "end")
        assert await sidecar.client.output("a") == "x"
        assert "timerFired" not in await sidecar.client.kinds("a")


@pytest.mark.parity("deletetimer/notimeout")
async def test_wait_without_an_end_never_becomes_due(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.event("go", FOREVER))

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        created = (await sidecar.client.history("a"))[2].timerCreated
        assert (created.fireAt, created.externalEvent.name) == (END_OF_TIME, "go")
        assert await sidecar.next_due() is None
        await sidecar.client.send("a", "go", "x")
        assert await sidecar.client.output("a") == "x"


@pytest.mark.parity("deletetimer/activity")
async def test_activity_follows_the_event_and_no_firing(hub: Hub) -> None:
    def flow(ctx: Context):
        data = yield ctx.event("go", HOUR_S)
        result = yield ctx.activity("work", data)
        yield ctx.event("end")
        return result

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go", "x")
        await sidecar.client.until_event("a", "taskCompleted")
        assert await sidecar.next_due() is None
        await sidecar.client.send("a", "end")
        assert await sidecar.client.output("a") == "x"
        assert await sidecar.client.kinds("a") == [
            *["workflowStarted", "executionStarted", "timerCreated"],
            *["workflowStarted", "eventRaised", "taskScheduled"],
            *["workflowStarted", "taskCompleted"],
            *["workflowStarted", "eventRaised", "executionCompleted"],
        ]


@pytest.mark.parity("deletetimer/multiple")
async def test_each_event_removes_the_timer_of_its_own_wait(hub: Hub) -> None:
    names = ["red", "green", "blue"]

    def flow(ctx: Context):
        waits = [ctx.event(name, hours * HOUR_S) for hours, name in enumerate(names, start=1)]
        results = yield all_of(*waits)
        return ",".join(results)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        fire_at = await fire_times(sidecar)
        left = dict(fire_at)
        for number, name in enumerate(["green", "red"], start=1):
            await sidecar.client.send("a", name, name)
            await sidecar.client.until_event("a", "eventRaised", number)
            del left[name]
            assert await sidecar.next_due() == min(left.values())
        await sidecar.client.send("a", "blue", "blue")
        assert await sidecar.client.output("a") == "red,green,blue"
    assert sorted(fire_at, key=fire_at.__getitem__) == names


@pytest.mark.parity("deletetimer/fanout")
async def test_twenty_waits_get_their_events_and_leave_no_timer(hub: Hub) -> None:
    names = [f"event{number}" for number in range(20)]

    def flow(ctx: Context):
        results = yield all_of(*[ctx.event(name, HOUR_S) for name in names])
        yield ctx.event("end")
        return ",".join(results)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.next_due() in (await fire_times(sidecar)).values()
        for name in reversed(names):
            await sidecar.client.send("a", name, name)
        await sidecar.client.until_event("a", "eventRaised", len(names))
        assert await sidecar.next_due() is None
        await sidecar.client.send("a", "end")
        assert await sidecar.client.output("a") == ",".join(names)


@pytest.mark.parity("deletetimer/samename")
async def test_oldest_wait_of_a_name_gets_the_event_and_loses_its_timer(hub: Hub) -> None:
    def flow(ctx: Context):
        waits = [ctx.event("go", hours * HOUR_S) for hours in (2, 1, 3)]
        results = yield all_of(*waits)
        return ",".join(results)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        client = sidecar.client
        await client.start("Flow", "a")
        later, soon, last = [
            from_timestamp_ceil(event.timerCreated.fireAt)
            for event in (await client.history("a"))[2:]
        ]
        assert soon < later < last
        for number, due_at in enumerate([soon, last], start=1):
            await client.send("a", "go", str(number))
            await client.until_event("a", "eventRaised", number)
            assert await sidecar.next_due() == due_at
        await client.send("a", "go", "3")
        assert await client.output("a") == "1,2,3"


@pytest.mark.parity("deletetimer/createtimer")
async def test_timers_of_the_workflow_itself_are_left_alone(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.sleep(2 * HOUR_S, name="go")
        data = yield ctx.event("go", HOUR_S)
        short = ctx.sleep(0.1, name="short")
        yield ctx.event("end")
        yield short
        return data

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        client = sidecar.client
        await client.start("Flow", "a")
        created = [event for event in (await client.history("a")) if event.eventId >= 0]
        for _ in range(2):
            await client.send("a", "go", "x")
        await client.until_event("a", "timerFired")
        await client.until_event("a", "eventRaised", 2)
        assert await sidecar.next_due() == from_timestamp_ceil(created[0].timerCreated.fireAt)
        await client.send("a", "end")
        assert await client.output("a") == "x"
        fired = [event for event in await client.history("a") if event.HasField("timerFired")]
        assert [event.timerFired.timerId for event in fired] == [2]


@pytest.mark.parity("deletetimer/alreadydeleted")
async def test_second_event_waits_for_a_wait(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.event("go", HOUR_S)
        yield ctx.event("on", 2 * HOUR_S)
        second = yield ctx.event("go", HOUR_S)
        return f"{first} {second}"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        for number, data in enumerate(("1", "2"), start=1):
            await sidecar.client.send("a", "go", data)
            await sidecar.client.until_event("a", "eventRaised", number)
            assert await sidecar.next_due() == (await fire_times(sidecar))["on"]
        await sidecar.client.send("a", "on")
        assert await sidecar.client.output("a") == "1 2"
        # The third wait found its event there already, and made no timer.
        assert (await sidecar.client.kinds("a")).count("timerCreated") == 2


@pytest.mark.parity("deletetimer/completioncleanup")
@pytest.mark.parametrize("ending", ["complete", "terminate", "continue as new"])
async def test_workflow_that_ends_leaves_no_timer(hub: Hub, ending: str) -> None:
    def flow(ctx: Context):
        if ctx.input == "next":
            yield ctx.event("end")
            return
        ctx.event("never", HOUR_S)
        ctx.sleep(HOUR_S)
        yield ctx.event("go")
        if ending == "continue as new":
            ctx.continue_as_new("next")

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.next_due() is not None
        if ending == "terminate":
            await sidecar.client.terminate("a")
        else:
            await sidecar.client.send("a", "go")
        if ending == "continue as new":
            await until(lambda: len(worker.requests) == 3, ANSWER_S)
            await sidecar.client.until_event("a", "executionStarted")
        else:
            await sidecar.client.finished("a")
        assert await sidecar.next_due() is None


@pytest.mark.parity("deletetimer/timerfired")
async def test_timer_that_fires_ends_the_wait_and_the_late_event_is_kept(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.event("go", 0.2)
        yield ctx.event("on")
        second = yield ctx.event("go", HOUR_S)
        return f"{first} {second}"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_event("a", "timerFired")
        await sidecar.client.send("a", "go", "late")
        await sidecar.client.send("a", "on")
        assert await sidecar.client.output("a") == "None late"
        kinds = await sidecar.client.kinds("a")
        assert (kinds.count("timerCreated"), kinds.count("timerFired")) == (1, 1)

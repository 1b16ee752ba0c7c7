"""Health pings: for workers that want them, and only where nothing else is sent."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from durahub.engine import EngineOptions
from durahub.errors import ShuttingDownError
from durahub.protocol import messages as pb

from . import making
from .hub import finished, running, start, tell
from .making import APP
from .worker import waiting_for, working

PING_S = 0.05
PING = pb.WorkItem(healthPing=pb.HealthPing())
WANTED = [pb.WORKER_CAPABILITY_HEALTH_PING]


def stream_request(*capabilities: pb.WorkerCapability.ValueType) -> pb.GetWorkItemsRequest:
    return pb.GetWorkItemsRequest(capabilities=capabilities)


def test_ping_is_sent_after_half_a_minute_unless_told_otherwise() -> None:
    assert EngineOptions(app_id=APP).health_ping == timedelta(seconds=30)


@pytest.mark.parametrize("also", [[], [pb.WORKER_CAPABILITY_STATEFUL_HISTORY]])
async def test_ping_is_sent_again_and_again_to_an_idle_worker_that_wants_it(
    also: list[pb.WorkerCapability.ValueType],
) -> None:
    loop = asyncio.get_running_loop()
    async with running(health_ping=timedelta(seconds=PING_S)) as engine:
        async with aclosing(engine.work_items(stream_request(*also, *WANTED))) as items:
            begin = loop.time()
            for number in range(1, 4):
                assert pb.WorkItem.FromString(await anext(items)) == PING
                assert loop.time() >= begin + number * PING_S
        assert engine.connected_workers == 0


@pytest.mark.parametrize("capabilities", [[], [pb.WORKER_CAPABILITY_STATEFUL_HISTORY]])
async def test_ping_is_never_sent_to_a_worker_that_does_not_want_it(
    capabilities: list[pb.WorkerCapability.ValueType],
) -> None:
    async with (
        running(health_ping=timedelta(seconds=0.001)) as engine,
        aclosing(engine.work_items(stream_request(*capabilities))) as items,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await anext(items)


async def test_ping_waits_anew_after_every_item() -> None:
    loop = asyncio.get_running_loop()
    async with (
        running(health_ping=timedelta(seconds=0.3)) as engine,
        aclosing(engine.work_items(stream_request(*WANTED))) as items,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(anext(items))
        await asyncio.sleep(0.2)
        call = group.create_task(start(engine, "a"))
        item = pb.WorkItem.FromString(await first)
        sent_at = loop.time()
        assert item.workflowRequest.instanceId == "a"
        answer = making.response(making.complete(), completionToken=item.completionToken)
        answer.instanceId = "a"
        await engine.complete_workflow(answer)
        await call
        assert pb.WorkItem.FromString(await anext(items)) == PING
        assert loop.time() - sent_at >= 0.29


async def test_ping_is_no_item_in_flight_and_work_goes_on_beside_it() -> None:
    async with (
        running(health_ping=timedelta(seconds=PING_S), max_concurrent_workflows=1) as engine,
        aclosing(engine.work_items(stream_request(*WANTED))) as pinged,
    ):
        assert pb.WorkItem.FromString(await anext(pinged)) == PING
        (stream,) = engine._dispatcher._streams.values()
        assert not stream.in_flight
        assert not engine._dispatcher._by_name
        await pinged.aclose()
        async with working(engine, waiting_for(1)):
            await start(engine, "a")
            await tell(engine, "a", "go", "x")
            assert (await finished(engine, "a")).output.value == "x"


async def test_ping_does_not_hold_up_the_stop() -> None:
    async with running(health_ping=timedelta(seconds=PING_S)) as engine:
        items = engine.work_items(stream_request(*WANTED))
        await anext(items)
        await engine.close_streams()
        with pytest.raises(ShuttingDownError):
            await anext(items)

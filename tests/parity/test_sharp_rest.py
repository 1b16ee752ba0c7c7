"""Sizes, listings, reruns, limits and times: the rest of where SDKs cut themselves."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from core.tests.engine.hub import until
from tests.parity.client import Refused, status_name
from tests.parity.flows import Context
from tests.parity.hub import Hub


def waiting(ctx: Context):
    return (yield ctx.event("go"))


@pytest.mark.parity("sharp/29", "field/14")
async def test_stalled_shows_as_stalled_however_it_came_about(hub: Hub) -> None:
    async def answer(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        action = pb.WorkflowAction(id=0)
        if request.instanceId == "java":
            action.completeWorkflow.workflowStatus = pb.ORCHESTRATION_STATUS_STALLED
        else:
            action.workflowVersionNotAvailable.SetInParent()
        return pb.WorkflowResponse(instanceId=request.instanceId, actions=[action])

    async with hub.sidecar() as sidecar, sidecar.worker(raw=answer):
        for name in ("java", "plain"):
            await sidecar.client.start("Flow", name)
            assert await sidecar.client.status(name) == "STALLED"
            with pytest.raises(Refused, match="stalled"):
                await sidecar.client.send(name, "go")
    async with hub.sidecar() as sidecar, sidecar.worker(waiting):
        for name in ("java", "plain"):
            await sidecar.client.until_status(name, "RUNNING")
            await sidecar.client.send(name, "go", "on")
            assert await sidecar.client.output(name) == "on"


@pytest.mark.parity("sharp/36", "field/05")
async def test_large_messages_pass_and_one_too_large_stops_its_instance_only(hub: Hub) -> None:
    size = 1024 * 1024

    async def double(request: pb.ActivityRequest) -> str:
        return request.input.value * 2

    def flow(ctx: Context):
        found = ctx.input
        for _ in range(3):
            found = yield ctx.activity("double", found)
        return str(len(found))

    limit = 6 * size
    async with hub.sidecar(max_message_bytes=limit) as sidecar, sidecar.worker(flow, double):
        await sidecar.client.start("Flow", "large", "x" * (size // 2))
        await sidecar.client.start("Flow", "small", "x")
        assert await sidecar.client.output("small") == "8"
        await sidecar.client.until_status("large", "STALLED")
        await sidecar.client.start("Flow", "next", "x")
        assert await sidecar.client.output("next") == "8"
        stalled = (await sidecar.client.history("large"))[-1].executionStalled
    assert stalled.reason == pb.PAYLOAD_SIZE_EXCEEDED
    unlimited = hub.sidecar(max_message_bytes=None)
    async with unlimited as sidecar, sidecar.worker(flow, double):
        assert await sidecar.client.output("large") == str(4 * size)


@pytest.mark.parity("sharp/40")
async def test_work_without_a_worker_takes_no_place(hub: Hub) -> None:
    """One place, two kinds of work: what waits for a worker that never comes holds nobody up."""
    one = {"max_concurrent_workflows": 1, "max_concurrent_activities": 1}
    async with hub.sidecar(**one) as sidecar, asyncio.TaskGroup() as group:
        calls = [group.create_task(sidecar.client.start("Flow", name)) for name in "abc"]
        await sidecar.client.until_status("c", "PENDING")
        await sidecar.client.start("Flow", "later", at=datetime.now(UTC) + timedelta(hours=1))
        await sidecar.client.terminate("later")
        async with sidecar.worker(waiting):
            await asyncio.gather(*calls)


@pytest.mark.parity("sharp/41")
async def test_listing_has_everything_in_order_and_takes_ids_literally(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Child", instance_id="spawn_1")
        yield ctx.child("Child", instance_id="kid%1")

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": waiting}):
        await sidecar.client.start("Flow", "root_1")
        await sidecar.client.start("Child", "rootx1")
        assert set(await sidecar.client.ids()) == {"root_1", "rootx1", "spawn_1", "kid%1"}
        first, token = await sidecar.client.page(2)
        assert token is not None
        rest, none = await sidecar.client.page(2, token)
        assert none is None
        assert [*first, *rest] == await sidecar.client.ids()
        _, none = await sidecar.client.page(4)
        assert none is None
        await sidecar.client.purge("root_1", force=True)
        assert "rootx1" in await sidecar.client.ids()


@pytest.mark.parity("sharp/42")
async def test_rerun_sets_timers_and_open_work_going_and_keeps_events(hub: Hub) -> None:
    def flow(ctx: Context):
        told = yield ctx.event("go")
        yield ctx.sleep(0.05)
        yield ctx.activity("one", told)
        found = yield ctx.activity("two", told)
        return found

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go", "kept")
        await sidecar.client.output("a")
        await sidecar.client.rerun("a", 2, "b")
        assert await sidecar.client.output("b") == "kept"
        kinds = await sidecar.client.kinds("b")
    assert worker.task_names() == ["one", "two", "two"]
    assert (kinds.count("eventRaised"), kinds.count("timerFired")) == (1, 2)


@pytest.mark.parity("sharp/45")
async def test_unawaited_activities_run_after_the_end(hub: Hub) -> None:
    def flow(ctx: Context):
        for number in range(10):
            ctx.activity("work", str(number))
        return "gone"

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "gone"
        ended = await sidecar.client.kinds("a")
        await until(lambda: len(worker.tasks) == 10 and not worker.active)
        assert await sidecar.client.kinds("a") == ended


@pytest.mark.parity("sharp/48")
async def test_start_time_in_the_past_is_now_and_the_call_returns(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        for name, hours in (("past", -1), ("ancient", -200_000), ("future", 1)):
            moment = datetime.now(UTC) + timedelta(hours=hours)
            await sidecar.client.start("Flow", name, at=moment, within_s=5)
        async with sidecar.worker(waiting):
            await sidecar.client.started("past")
            await sidecar.client.started("ancient")
            assert await sidecar.client.status("future") == "PENDING"


@pytest.fixture
def far_zone() -> Iterator[None]:
    """The zone of this process, far from UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Auckland"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("far_zone")
@pytest.mark.parity("sharp/49")
async def test_times_are_utc_whatever_the_zone(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.1)
        return ctx.now.isoformat()

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        began = time.time()
        assert time.localtime(began).tm_gmtoff != 0
        await sidecar.client.start("Flow", "a", at=datetime.now(UTC) + timedelta(seconds=0.1))
        ended = datetime.fromisoformat(await sidecar.client.output("a"))
        state = await sidecar.client.state("a")
    assert status_name(state.workflowStatus) == "COMPLETED"
    for moment in (ended, from_timestamp_ceil(state.createdTimestamp)):
        assert abs(moment.timestamp() - began) < 30

"""Sidecars and workers of one application that come and go: what one leaves another goes on with."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from durahub.protocol import messages as pb
from grpc.aio import insecure_channel

from core.tests.engine.hub import until
from tests.parity.apps import app, apps, until_shows
from tests.parity.client import Client, Refused
from tests.parity.flows import Context, all_of
from tests.parity.hub import APP, Hub
from tests.parity.worker import echo


def busy(ctx: Context):
    """Do a bit of everything."""
    results = yield all_of(*[ctx.activity("echo", str(number)) for number in range(3)])
    yield ctx.sleep(0.05)
    child = yield ctx.child("Child", "x")
    if not ctx.input:
        return ctx.continue_as_new("again")
    return "".join([*results, child])


FLOWS = {"Flow": busy, "Child": lambda ctx: (yield ctx.activity("echo", ctx.input))}


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/churnstrand")
async def test_workers_that_come_and_go_strand_nothing(hub: Hub) -> None:
    names = [f"a{number}" for number in range(10)]
    source = random.Random(7)
    async with AsyncExitStack() as stack:
        # Only looking tells a sidecar of the timers that another one without a worker does not watch.
        sidecars = await stack.enter_async_context(
            apps(hub, APP, APP, safety_poll=timedelta(seconds=0.2))
        )

        async def coming_and_going() -> None:
            while True:
                async with source.choice(sidecars).worker(FLOWS):
                    await asyncio.sleep(source.choice([0, 0.01, 0.1]))

        async with asyncio.TaskGroup() as group:
            crowd = [group.create_task(coming_and_going()) for _ in range(2)]
            await asyncio.gather(
                *(source.choice(sidecars).client.start("Flow", name) for name in names)
            )
            outputs = [await source.choice(sidecars).client.output(name) for name in names]
            for one in crowd:
                one.cancel()
        assert outputs == ["012x"] * len(names)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/handoffstrand")
async def test_sidecar_that_stops_hands_everything_over_at_once(hub: Hub) -> None:
    """Turns and activities in flight, waiting timers and events: nobody has to look for them."""
    held = asyncio.Event()

    async def hold(request: pb.ActivityRequest) -> str | None:
        await held.wait()
        return await echo(request)

    names = [f"a{number}" for number in range(10)]
    async with app(hub, APP, FLOWS) as (two, _), asyncio.TaskGroup() as group:
        async with app(hub, APP, FLOWS, hold) as (one, worker):
            for name in names:
                group.create_task(one.client.start("Flow", name))
            await until(lambda: len(worker.tasks) == 30)
            await one.stop()
        assert [await two.client.output(name) for name in names] == ["012x"] * 10


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/midcall")
async def test_wait_through_a_sidecar_that_is_killed_goes_on_through_another_one(hub: Hub) -> None:
    gate = asyncio.Event()

    async def wait(request: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return await echo(request)

    async with apps(hub, APP) as (two,):
        async with app(hub, APP, FLOWS, wait) as (one, worker):
            await one.client.start("Flow", "a")
            await until(lambda: len(worker.tasks) == 3)
            async with insecure_channel(f"127.0.0.1:{one.port}") as channel:
                waiting = asyncio.gather(Client(channel).output("a"), return_exceptions=True)
                await asyncio.sleep(0.02)
                await one.kill()
                (refusal,) = await waiting
        assert isinstance(refusal, Refused)
        assert refusal.code in ("UNAVAILABLE", "CANCELLED")
        async with two.worker(FLOWS):
            assert await two.client.output("a") == "012x"
        assert worker.answered == 1


@pytest.mark.parity("replicas/stalecompletion")
async def test_answer_to_a_turn_that_was_given_to_somebody_else_is_ignored(hub: Hub) -> None:
    first_items: list[pb.WorkflowRequest] = []

    async def never(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        first_items.append(request)
        return None

    release = asyncio.Event()

    async def held(_: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        await release.wait()
        return completed("right")

    async with apps(hub, APP) as (shop,), asyncio.TaskGroup() as group:
        async with shop.worker(raw=never) as first:
            call = group.create_task(shop.client.start("Flow", "a"))
            await until(lambda: len(first_items) == 1)
        async with shop.worker(raw=held) as second:
            await until(lambda: len(second.items) == 1)
            stale = completed("wrong")
            stale.completionToken = first.items[0].completionToken
            await second.complete("CompleteOrchestratorTask", stale)
            assert await shop.client.status("a") == "PENDING"
            assert second.items[0].completionToken != stale.completionToken
            release.set()
            await call
        assert await shop.client.output("a") == "right"


def completed(output: str) -> pb.WorkflowResponse:
    answer = pb.WorkflowResponse(instanceId="a")
    action = answer.actions.add(id=0)
    action.completeWorkflow.workflowStatus = pb.ORCHESTRATION_STATUS_COMPLETED
    action.completeWorkflow.result.value = output
    return answer


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/stalecompletion")
async def test_answer_that_reaches_another_sidecar_after_the_takeover_is_ignored(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.custom_status = "begun"
        return (yield ctx.event("go"))

    async with app(hub, APP, flow) as (two, helper):
        async with app(hub, APP, flow) as (one, worker):
            await one.client.start("Flow", "a")
            await until_shows(one.client, "a", "begun")
            stale = completed("wrong")
            stale.completionToken = worker.items[0].completionToken
        await helper.complete("CompleteOrchestratorTask", stale)
        assert await two.client.status("a") == "RUNNING"
        await two.client.send("a", "go", "right")
        assert await two.client.output("a") == "right"

"""Several sidecars of one application share its workflows."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import app, apps, until_shows
from tests.parity.flows import Context, Workflow, all_of, decide
from tests.parity.hub import APP, Hub
from tests.parity.worker import RawWorkflow, Worker

SOON = timedelta(seconds=10)
"""Long before any sidecar looks by itself."""


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/activity")
async def test_activities_of_one_workflow_run_wherever_there_is_room(hub: Hub) -> None:
    """Six at a time, with room for two in each of three sidecars."""
    running = asyncio.Barrier(6)

    async def meet(request: pb.ActivityRequest) -> str | None:
        await running.wait()
        return request.input.value

    def flow(ctx: Context):
        return "".join((yield all_of(*[ctx.activity("meet", str(n)) for n in range(6)])))

    async with AsyncExitStack() as stack:
        sidecars = await stack.enter_async_context(
            apps(hub, APP, APP, APP, max_concurrent_activities=2)
        )
        workers = [
            await stack.enter_async_context(sidecar.worker(flow, meet)) for sidecar in sidecars
        ]
        await sidecars[0].client.start("Flow", "a")
        assert await sidecars[1].client.output("a") == "012345"
        assert [worker.most_active for worker in workers] == [2, 2, 2]


def meeting(barrier: asyncio.Barrier, flows: dict[str, Workflow]) -> RawWorkflow:
    """Return workflows whose children run when all of them can run at the same time."""

    async def run(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        if request.instanceId.startswith("kid"):
            await barrier.wait()
        return decide(request, list(request.pastEvents), flows)

    return run


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/suborchestration")
async def test_children_of_one_workflow_run_wherever_there_is_room(hub: Hub) -> None:
    def flow(ctx: Context):
        children = [ctx.child("Child", str(n), instance_id=f"kid {n}") for n in range(3)]
        return "".join((yield all_of(*children)))

    raw = meeting(asyncio.Barrier(3), {"Flow": flow, "Child": lambda ctx: ctx.input})
    async with AsyncExitStack() as stack:
        sidecars = await stack.enter_async_context(
            apps(hub, APP, APP, APP, max_concurrent_workflows=1)
        )
        for sidecar in sidecars:
            await stack.enter_async_context(sidecar.worker(raw=raw))
        await sidecars[0].client.start("Flow", "a")
        assert await sidecars[0].client.output("a") == "012"


def collecting(ctx: Context):
    heard = []
    for number in range(6):
        heard.append((yield ctx.event("go")))
        ctx.custom_status = str(number)
    return "".join(heard)


def generation_per_event(ctx: Context):
    before = ctx.input or ""
    ctx.custom_status = str(len(before) - 1)
    heard = before + (yield ctx.event("go"))
    return heard if len(heard) == 6 else ctx.continue_as_new(heard, keep=True)


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize(
    "flow",
    [
        pytest.param(collecting, marks=pytest.mark.parity("replicas/raise")),
        pytest.param(generation_per_event, marks=pytest.mark.parity("replicas/continueasnew")),
    ],
)
async def test_turns_of_one_workflow_run_in_whichever_sidecar_it_is_told(
    hub: Hub, flow: Workflow
) -> None:
    async with (
        app(hub, APP, flow) as (one, worker),
        app(hub, APP, flow) as (two, helper),
    ):
        await one.client.start("Flow", "a")
        for number in range(5):
            sidecar = (one, two)[number % 2]
            await sidecar.client.send("a", "go", str(number))
            await until_shows(one.client, "a", str(number))
        await two.client.send("a", "go", "5")
        assert await one.client.output("a") == "012345"
        assert len(worker.requests) >= 3
        assert len(helper.requests) >= 3


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/timer")
async def test_timer_of_a_sidecar_that_stops_fires_in_another_one_in_time(hub: Hub) -> None:
    def flow(ctx: Context):
        before = ctx.now
        yield ctx.sleep(0.5)
        return str(ctx.now - before < SOON)

    async with app(hub, APP, flow) as (_, helper):
        async with app(hub, APP, flow) as (one, _):
            await one.client.start("Flow", "a")
        async with app(hub, "other") as (other, _):
            assert await other.client.output("a", app=APP) == "True"
        assert len(helper.requests) == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/remotestream")
async def test_waits_for_what_runs_in_another_sidecar_are_told(hub: Hub) -> None:
    async with app(hub, APP, collecting) as (one, _), apps(hub, APP) as (two,):
        async with asyncio.TaskGroup() as group:
            await two.client.start("Flow", "a")
            await two.client.started("a")
            ending = group.create_task(two.client.output("a"))
            for number in range(6):
                await one.client.send("a", "go", str(number))
        assert ending.result() == "012345"


def check_deltas(worker: Worker) -> None:
    """Check that no turn counts on more events than the worker has been sent before, and some on all."""
    known = deltas = 0
    for request in worker.requests:
        if request.HasField("cachedHistory"):
            deltas += 1
            assert 0 < request.cachedHistory.eventCount <= known
        known = request.cachedHistory.eventCount + len(request.pastEvents)
    assert deltas > 0


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/multipledaprds")
async def test_worker_that_keeps_histories_gets_what_it_missed_while_others_ran_turns(
    hub: Hub,
) -> None:
    def flow(ctx: Context):
        heard = []
        for number in range(20):
            heard.append((yield ctx.event("go")))
            ctx.custom_status = str(number)
        return "".join(heard)

    async with (
        app(hub, APP, flow, stateful=True) as (one, worker),
        app(hub, APP, flow, stateful=True) as (two, helper),
    ):
        await one.client.start("Flow", "a")
        for number, turn in enumerate("1122112212121112221"):
            sidecar = {"1": one, "2": two}[turn]
            await sidecar.client.send("a", "go", turn)
            await until_shows(one.client, "a", str(number))
        await two.client.send("a", "go", ".")
        assert await one.client.output("a") == "1122112212121112221."
        check_deltas(worker)
        check_deltas(helper)


@pytest.mark.parity("replicas/keycollision")
async def test_workflow_with_the_id_of_an_activity_is_another_thing(hub: Hub) -> None:
    """Dapr calls the first activity of workflow `a` `a::0`."""

    def flow(ctx: Context):
        return (yield all_of(ctx.activity("echo", f"of {ctx.id}"), ctx.child("Child", ctx.id)))[0]

    flows = {"Flow": flow, "Child": lambda ctx: (yield ctx.activity("echo", ctx.input))}
    async with app(hub, APP, flows) as (shop, worker):
        names = ["a", "a::0", "a::1", "a:0001::0"]
        await asyncio.gather(*(shop.client.start("Flow", name) for name in names))
        for name in names:
            assert await shop.client.output(name) == f"of {name}"
        assert len(worker.tasks) == 8


@pytest.mark.parity("replicas/canorphan")
@pytest.mark.parametrize("tokens", [False, True])
async def test_activity_of_the_last_generation_does_not_answer_that_of_the_next(
    hub: Hub, *, tokens: bool
) -> None:
    """Both have the same id. Old SDKs' answers name nothing else, so there the second one waits."""
    gate = asyncio.Event()

    async def work(request: pb.ActivityRequest) -> str | None:
        if request.input.value == "old":
            await gate.wait()
        return request.input.value

    def flow(ctx: Context):
        call = ctx.activity("work", ctx.input)
        if ctx.input == "new":
            ctx.custom_status = "second"
            return (yield call)
        yield ctx.event("go")
        return ctx.continue_as_new("new")

    async with app(hub, APP, flow, work, tokens=tokens) as (shop, worker):
        await shop.client.start("Flow", "a", "old")
        await until(lambda: len(worker.tasks) == 1)
        await shop.client.send("a", "go")
        if tokens:
            assert await shop.client.output("a") == "new"
            gate.set()
        else:
            await until_shows(shop.client, "a", "second")
            gate.set()
            assert await shop.client.output("a") == "new"
        await until(lambda: worker.answered == 6)
        assert [task.input.value for task in worker.tasks] == ["old", "new"]

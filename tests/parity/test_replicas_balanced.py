"""Workers behind a load balancer: their answers reach other sidecars than their work came from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import apps, until_shows
from tests.parity.flows import Context, Workflow, all_of, text
from tests.parity.hub import APP, Hub, Sidecar
from tests.parity.store import NOTHING, remains
from tests.parity.worker import Worker, echo

NAMES = [f"a{number}" for number in range(8)]


def child(ctx: Context):
    return (yield ctx.activity("echo", ctx.input))


def everything(ctx: Context):
    """Do a bit of everything, in two generations."""
    results = yield all_of(*[ctx.activity("echo", str(number)) for number in range(3)])
    yield ctx.sleep(0.05)
    results.append((yield ctx.child("Child", "x")))
    if not ctx.input:
        return ctx.continue_as_new("again")
    ctx.custom_status = "asking"
    results.append((yield ctx.event("go")))
    return "".join(results)


FLOWS: dict[str, Workflow] = {"Flow": everything, "Child": child}
TASKS = 8
"""Activities of one run of everything, children and both generations included."""


@asynccontextmanager
async def balanced(
    sidecars: Sequence[Sidecar], *ways: Sequence[Sidecar], **fields: Any
) -> AsyncIterator[list[Worker]]:
    """Connect a worker to each of the first sidecars, whose answers go where the ways say."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(sidecar.worker(FLOWS, answers_to=way, **fields))
            for sidecar, way in zip(sidecars, ways, strict=False)
        ]


async def run_all(sidecars: Sequence[Sidecar]) -> list[str | None]:
    """Run everything eight times at once, through all sidecars."""

    async def run(number: int, name: str) -> str | None:
        client = sidecars[number % len(sidecars)].client
        await client.start("Flow", name)
        await until_shows(client, name, "asking")
        await client.send(name, "go", "!")
        return await client.output(name)

    return list(await asyncio.gather(*(run(number, name) for number, name in enumerate(NAMES))))


SDKS = pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"stateful": True}, id="keeps histories"),
        pytest.param({"go": True, "first_id": 1}, id="go"),
        pytest.param({"tokens": False}, id="without tokens"),
    ],
)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
@SDKS
async def test_answers_that_alternate_between_sidecars_are_served(
    hub: Hub, fields: dict[str, Any]
) -> None:
    """All work is given out by one sidecar, once, and every second answer reaches the other one."""
    async with apps(hub, APP, APP) as (one, two):
        async with balanced([one], [one, two], **fields) as (worker,):
            assert await run_all([one, two]) == ["012x!"] * 8
            assert len(worker.tasks) == 8 * TASKS
            assert worker.answered == worker.sent
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
@SDKS
async def test_several_workers_and_sidecars_behind_one_balancer(
    hub: Hub, fields: dict[str, Any]
) -> None:
    async with apps(hub, APP, APP, APP) as sidecars:
        one, two, three = sidecars
        ways = [three, one, two], [three, two, one], [two, one]
        async with balanced(sidecars, *ways, **fields) as workers:
            assert await run_all(sidecars) == ["012x!"] * 8
            assert sum(len(worker.tasks) for worker in workers) == 8 * TASKS
            assert [worker.answered for worker in workers] == [worker.sent for worker in workers]
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
@pytest.mark.parametrize("tokens", [False, True])
async def test_no_answer_reaches_the_sidecar_that_asked(hub: Hub, *, tokens: bool) -> None:
    """What another application's workflow wants is answered elsewhere, too."""

    def flow(ctx: Context):
        here = yield ctx.activity("echo", "1")
        there = yield ctx.activity("echo", "2", app="kitchen")
        child = yield ctx.child("Child", "3", app="kitchen")
        return here + there + child

    flows = {"Flow": flow, "Child": FLOWS["Child"]}
    async with apps(hub, APP, APP, "kitchen", "kitchen") as (one, two, three, four):
        async with (
            one.worker(flows, answers_to=[two], tokens=tokens) as worker,
            three.worker(flows, answers_to=[four], tokens=tokens) as cook,
        ):
            await two.client.start("Flow", "a")
            assert await two.client.output("a") == "123"
            assert (len(worker.tasks), len(cook.tasks)) == (1, 2)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
async def test_failure_reaches_the_workflow(hub: Hub) -> None:
    async def fail(_: pb.ActivityRequest) -> str | None:
        raise ValueError("broken")

    async with apps(hub, APP, APP) as (one, two):
        async with one.worker(FLOWS, fail, answers_to=[two]):
            await one.client.start("Child", "a", "x")
            state = await one.client.finished("a")
            assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
            assert "broken" in state.failureDetails.errorMessage


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
@pytest.mark.parametrize("tokens", [False, True])
async def test_answer_to_a_sidecar_that_is_gone_is_ignored(hub: Hub, *, tokens: bool) -> None:
    """The work is given out again, whether or not others know yet that the sidecar is dead."""
    gate = asyncio.Event()

    async def wait(request: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return "late"

    async with apps(hub, APP, APP) as (one, two):
        async with one.worker(FLOWS, wait, answers_to=[two], tokens=tokens) as worker:
            await one.client.start("Child", "a", "x")
            await until(lambda: len(worker.tasks) == 1)
            await one.kill()
            before = worker.answered
            late = pb.ActivityResponse(instanceId="a", taskId=0, result=text("late"))
            late.completionToken = worker.items[-1].completionToken if tokens else ""
            await worker.complete("CompleteActivityTask", late)
            assert worker.answered == before + 1
        async with two.worker(FLOWS) as successor:
            assert await two.client.output("a") == "x"
            assert len(successor.tasks) == 1
            await successor.complete("CompleteActivityTask", late)
            assert await two.client.output("a") == "x"
    assert vars(await remains(hub)) == NOTHING


@pytest.mark.needs("multi_process")
@pytest.mark.parity("replicas/workerlb")
async def test_late_answer_that_reaches_another_sidecar_is_ignored(hub: Hub) -> None:
    """The sidecar that gave the work out has given it to another worker since."""
    gate = asyncio.Event()

    async def wait(request: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return await echo(request)

    async with apps(hub, APP, APP) as (one, two):
        async with one.worker(FLOWS, wait) as first:
            await one.client.start("Child", "a", "x")
            await until(lambda: len(first.tasks) == 1)
        async with one.worker(FLOWS, wait, answers_to=[two]) as second:
            await until(lambda: len(second.tasks) == 1)
            late = pb.ActivityResponse(instanceId="a", taskId=0, result=text("late"))
            late.completionToken = first.items[-1].completionToken
            await second.complete("CompleteActivityTask", late)
            late.completionToken = f"{late.completionToken.rpartition('-')[0]}-4711"
            await second.complete("CompleteActivityTask", late)
            gate.set()
            assert await one.client.output("a") == "x"

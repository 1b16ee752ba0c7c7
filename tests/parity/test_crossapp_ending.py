"""Termination and purge of families that live in several applications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import app, apps
from tests.parity.client import Refused, status_name
from tests.parity.flows import Context, Workflow, any_of
from tests.parity.hub import APP, Hub, Sidecar

NAMES = ["one", "two", "three", "four", "five"]


def link(here: int) -> Workflow:
    """Return the workflow of one application in a chain: each waits for the next, and for an event."""

    def flow(ctx: Context):
        waits = [ctx.event("go")]
        if here + 1 < int(ctx.input or 0):
            name = NAMES[here + 1]
            waits.append(ctx.child("Flow", ctx.input, instance_id=f"in {name}", app=name))
        first = yield any_of(*waits)
        return first.result

    return flow


@asynccontextmanager
async def chain(hub: Hub, length: int) -> AsyncIterator[list[Sidecar]]:
    """Run a chain of instances, one in each application; all wait."""
    async with AsyncExitStack() as stack:
        sidecars = await stack.enter_async_context(apps(hub, *NAMES[:length]))
        for number, sidecar in enumerate(sidecars):
            await stack.enter_async_context(sidecar.worker(link(number)))
        await sidecars[0].client.start("Flow", "in one", str(length))
        for sidecar in sidecars:
            await sidecar.client.until_status(f"in {sidecar.app}", "RUNNING")
        yield sidecars


async def finished(sidecar: Sidecar) -> tuple[str, str]:
    state = await sidecar.client.finished(f"in {sidecar.app}")
    return status_name(state.workflowStatus), state.output.value


async def exist(sidecars: list[Sidecar]) -> list[bool]:
    return [(await one.client.get(f"in {one.app}")).exists for one in sidecars]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-terminate")
async def test_terminate_recursively_ends_the_whole_family(hub: Hub) -> None:
    async with chain(hub, 3) as sidecars:
        await sidecars[0].client.terminate("in one", "bye", recursive=True)
        assert await sidecars[0].client.status("in one") == "TERMINATED"
        assert [await finished(one) for one in sidecars] == [("TERMINATED", "bye")] * 3


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-terminate-single")
async def test_terminate_of_one_leaves_those_in_other_applications(hub: Hub) -> None:
    async with chain(hub, 3) as (one, two, three):
        await one.client.terminate("in one", "bye")
        assert await two.client.status("in two") == "RUNNING"
        await three.client.send("in three", "go", "on")
        assert await two.client.output("in two") == "on"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/zombiechilddown")
async def test_terminate_does_not_wait_for_an_application_that_is_down(hub: Hub) -> None:
    async with chain(hub, 2) as (one, two):
        await two.kill()
        await one.client.terminate("in one", "bye", recursive=True)
        assert await finished(one) == ("TERMINATED", "bye")
        async with app(hub, "two", link(1)) as (again, _):
            assert await finished(again) == ("TERMINATED", "bye")


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-purge", "crossapp/child-purgedepth")
@pytest.mark.parametrize("length", [2, 5])
async def test_purge_recursively_removes_the_whole_family(hub: Hub, length: int) -> None:
    async with chain(hub, length) as sidecars:
        await sidecars[-1].client.send(f"in {NAMES[length - 1]}", "go", "on")
        assert await finished(sidecars[0]) == ("COMPLETED", "on")
        assert await sidecars[0].client.purge("in one", recursive=True) == length
        assert await exist(sidecars) == [False] * length


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-purge-single")
async def test_purge_of_one_leaves_those_in_other_applications(hub: Hub) -> None:
    async with chain(hub, 2) as (one, two):
        await two.client.send("in two", "go", "on")
        await one.client.finished("in one")
        assert await one.client.purge("in one") == 1
        assert await exist([one, two]) == [False, True]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-purgeidempotent")
async def test_purge_recursively_goes_on_over_what_is_gone(hub: Hub) -> None:
    async with chain(hub, 3) as (one, two, three):
        await three.client.send("in three", "go", "on")
        await one.client.finished("in one")
        assert await two.client.purge("in two") == 1
        assert await one.client.purge("in one", recursive=True) == 1
        with pytest.raises(Refused, match="no such instance exists"):
            await one.client.purge("in one", recursive=True)
        assert await three.client.purge("in three", recursive=True) == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-purgerunning")
async def test_purge_recursively_above_a_running_child_elsewhere_is_refused(hub: Hub) -> None:
    async with chain(hub, 3) as (one, two, three):
        await one.client.terminate("in one")
        await two.client.terminate("in two")
        with pytest.raises(Refused) as refused:
            await one.client.purge("in one", recursive=True)
        child = "failed to purge cross-app child workflow: "
        assert refused.value.details == (
            f"failed to purge workflow state: {child}{child}orchestration has not yet completed"
        )
        assert await exist([one, two, three]) == [True] * 3
        assert await three.client.status("in three") == "RUNNING"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-forcepurge")
async def test_purge_by_force_removes_a_family_that_runs_also_where_nobody_is(hub: Hub) -> None:
    async with chain(hub, 3) as (one, two, three):
        await three.kill()
        assert await one.client.purge("in one", recursive=True, force=True) == 3
        assert await exist([one, two]) == [False] * 2
        async with app(hub, "three", link(2)) as (again, worker):
            assert not (await again.client.get("in three")).exists
            assert await again.client.ids() == []
            assert worker.items == []


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/forcepurge-remote")
async def test_purge_by_force_reaches_an_instance_of_another_application(hub: Hub) -> None:
    gate = asyncio.Event()

    async def wait(_: pb.ActivityRequest) -> str | None:
        await gate.wait()

    def flow(ctx: Context):
        yield ctx.activity("wait")

    async with apps(hub, APP) as (shop,), app(hub, "other", flow, wait) as (other, worker):
        await other.client.start("Flow", "a")
        await until(lambda: len(worker.tasks) == 1)
        with pytest.raises(Refused, match="has not yet completed"):
            await shop.client.purge("a", app="other")
        assert await shop.client.purge("a", force=True, app="other") == 1
        gate.set()
        await until(lambda: worker.answered == 2)
        assert not (await other.client.get("a")).exists
        assert len(worker.tasks) == 1


@pytest.mark.parity("crossapp/child-pending-ends")
async def test_family_of_an_application_that_never_came_can_be_ended_and_purged(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child", instance_id="kid", app="nowhere"))

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        await shop.client.terminate("a", recursive=True)
        assert await shop.client.status("a") == "TERMINATED"
        assert await shop.client.status("kid", app="nowhere") == "PENDING"
        with pytest.raises(Refused, match="cross-app child workflow: orchestration has not yet"):
            await shop.client.purge("a", recursive=True)
        assert await shop.client.purge("a", recursive=True, force=True) == 2
        assert not (await shop.client.get("kid", app="nowhere")).exists

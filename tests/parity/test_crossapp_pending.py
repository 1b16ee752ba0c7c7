"""Workflows that need an application which is not there, and results for one that is not there.

Only one sidecar runs at a time, so what is waited for is in the store and nowhere else.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import app, apps, signed, until_shows, visit
from tests.parity.client import Client, Refused
from tests.parity.flows import Context, Workflow, all_of, any_of
from tests.parity.hub import APP, Hub

AWAY = "away"


async def comes_and_goes(hub: Hub, name: str = AWAY) -> None:
    await visit(hub, name, signed(name))


async def output(hub: Hub, flow: Workflow) -> str:
    async with app(hub, APP, flow, signed(APP)) as (shop, _):
        return await shop.client.output("a")


@pytest.mark.parity("crossapp/pending-activity", "field/10")
async def test_workflow_whose_first_action_is_for_an_absent_application_is_running(
    hub: Hub,
) -> None:
    def flow(ctx: Context):
        return (yield ctx.activity("sign", "in", app=AWAY))

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        assert await shop.client.status("a") == "RUNNING"
    await comes_and_goes(hub)
    assert await output(hub, flow) == "in>away"


@pytest.mark.parity("crossapp/pending-childwf")
async def test_workflow_whose_child_is_in_an_absent_application_is_running_and_the_child_pending(
    hub: Hub,
) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child", "in", instance_id="kid", app=AWAY))

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        assert await shop.client.status("a") == "RUNNING"
        assert await shop.client.status("kid", app=AWAY) == "PENDING"
    async with app(hub, AWAY, {"Child": lambda ctx: ctx.input}) as (away, _):
        assert await away.client.output("kid") == "in"
    assert await output(hub, flow) == "in"


@pytest.mark.parity("crossapp/pending-localthenremote")
async def test_work_before_that_of_an_absent_application_is_done(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.custom_status = yield ctx.activity("sign", "in")
        return (yield ctx.activity("sign", ctx.custom_status, app=AWAY))

    async with app(hub, APP, flow, signed(APP)) as (shop, _):
        await shop.client.start("Flow", "a")
        await until_shows(shop.client, "a", "in>shop")
    await comes_and_goes(hub)
    assert await output(hub, flow) == "in>shop>away"


@pytest.mark.parity("crossapp/pending-remotethenlocal")
async def test_work_beside_that_of_an_absent_application_is_done(hub: Hub) -> None:
    def flow(ctx: Context):
        remote = ctx.activity("sign", "in", app=AWAY)
        ctx.custom_status = yield ctx.activity("sign", "in")
        return (yield remote)

    async with app(hub, APP, flow, signed(APP)) as (shop, _):
        await shop.client.start("Flow", "a")
        await until_shows(shop.client, "a", "in>shop")
    await comes_and_goes(hub)
    assert await output(hub, flow) == "in>away"


@pytest.mark.parity("crossapp/pending-remotewithtimer")
async def test_timers_fire_while_an_application_is_absent(hub: Hub) -> None:
    def flow(ctx: Context):
        remote, timer = ctx.activity("sign", "in", app=AWAY), ctx.sleep(0.2)
        if (yield any_of(remote, timer)) is timer:
            ctx.custom_status = "too late"
        return (yield remote)

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        await until_shows(shop.client, "a", "too late")
    await comes_and_goes(hub)
    assert await output(hub, flow) == "in>away"


@pytest.mark.parity("crossapp/pending-multiremote")
async def test_several_absent_applications_come_one_after_the_other(hub: Hub) -> None:
    def flow(ctx: Context):
        first, second = ctx.activity("sign", app=AWAY), ctx.activity("sign", app="far")
        ctx.custom_status = yield second
        return " ".join((yield all_of(first, second)))

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
    await comes_and_goes(hub, "far")
    async with app(hub, APP, flow) as (shop, _):
        await until_shows(shop.client, "a", ">far")
    await comes_and_goes(hub)
    assert await output(hub, flow) == ">away >far"


@pytest.mark.parity("crossapp/pending-inbox")
async def test_events_that_come_while_an_application_is_absent_are_kept_in_order(hub: Hub) -> None:
    def flow(ctx: Context):
        heard = [(yield ctx.activity("sign", "in", app=AWAY))]
        for _ in range(4):
            heard.append((yield ctx.event("go")))  # noqa: PERF401 -- nothing yields in a comprehension
        return " ".join(heard)

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        for data in "12":
            await shop.client.send("a", "go", data)
    async with apps(hub, APP) as (shop,):  # without a worker they wait in the inbox
        for data in "34":
            await shop.client.send("a", "go", data)
    await comes_and_goes(hub)
    assert await output(hub, flow) == "in>away 1 2 3 4"


async def settled_kinds(client: Client) -> list[str | None]:
    """Return the history of instance `a` after whatever its sidecar does by itself."""
    for _ in range(20):
        await asyncio.sleep(0.01)
    return await client.kinds("a")


@pytest.mark.parity("crossapp/pending-history")
async def test_history_does_not_grow_while_an_application_is_absent(hub: Hub) -> None:
    def flow(ctx: Context):
        remote = ctx.activity("sign", "in", app=AWAY)
        child = ctx.child("Child", app=AWAY)
        return " ".join((yield all_of(remote, child)))

    soon = timedelta(seconds=0.02)
    histories = []
    async with apps(hub, APP, safety_poll=soon) as (shop,):
        async with shop.worker(flow):
            await shop.client.start("Flow", "a")
            histories.append(await settled_kinds(shop.client))
        async with shop.worker(flow):
            histories.append(await settled_kinds(shop.client))
    async with apps(hub, APP, safety_poll=soon) as (shop,), shop.worker(flow):
        histories.append(await settled_kinds(shop.client))
    expected = ["workflowStarted", "executionStarted", "taskScheduled"]
    assert histories == [[*expected, "childWorkflowInstanceCreated"]] * 3
    async with app(hub, AWAY, {"Child": lambda _: "grown"}, signed(AWAY)) as (away, helper):
        await away.client.finished("a:0001")
        await until(lambda: helper.answered == 2)
    assert await output(hub, flow) == "in>away grown"


def orders(ctx: Context):
    return (yield ctx.activity("sign", "in", app=AWAY))


@pytest.mark.parity("crossapp/result-restart")
async def test_result_is_kept_while_the_workflows_application_is_down(hub: Hub) -> None:
    async with app(hub, APP, orders) as (shop, _):
        await shop.client.start("Flow", "a")
    await comes_and_goes(hub)
    async with app(hub, APP, orders) as (shop, _):
        assert await shop.client.output("a") == "in>away"
        assert (await shop.client.kinds("a")).count("taskCompleted") == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/result-reconnect")
async def test_result_is_kept_while_the_workflows_application_has_no_worker(hub: Hub) -> None:
    async with apps(hub, APP, AWAY) as (shop, away):
        async with shop.worker(orders):
            await shop.client.start("Flow", "a")
        async with away.worker(None, signed(AWAY)) as helper:
            await until(lambda: helper.answered == 1)
        assert await shop.client.status("a") == "RUNNING"
        async with shop.worker(orders):
            assert await shop.client.output("a") == "in>away"
        assert len(helper.tasks) == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/result-orphan")
async def test_result_for_a_workflow_that_is_gone_is_dropped(hub: Hub) -> None:
    gate = asyncio.Event()

    async def wait(_: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return "late"

    async with (
        app(hub, APP, {"Flow": orders, "Other": lambda ctx: (yield ctx.event("go"))}) as (shop, _),
        app(hub, AWAY, None, wait) as (_, helper),
    ):
        await shop.client.start("Flow", "a")
        await until(lambda: len(helper.tasks) == 1)
        assert await shop.client.purge("a", force=True) == 1
        await shop.client.start("Other", "a")
        gate.set()
        await until(lambda: helper.answered == 1)
        await shop.client.send("a", "go", "mine")
        assert await shop.client.output("a") == "mine"
        assert "taskCompleted" not in await shop.client.kinds("a")
        assert len(helper.tasks) == 1
        await shop.client.purge("a")
        with pytest.raises(Refused, match="no such instance exists"):
            await shop.client.finished("a")

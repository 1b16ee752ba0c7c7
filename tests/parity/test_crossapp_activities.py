"""Activities of other applications."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.apps import app, apps, signed, until_shows, visit
from tests.parity.flows import Context, TaskFailed, all_of, any_of
from tests.parity.hub import APP, Hub


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-localmix")
async def test_activities_here_and_there_run_where_they_belong(hub: Hub) -> None:
    def flow(ctx: Context):
        here = yield ctx.activity("work", "1")
        there = yield ctx.activity("work", "2", app="other")
        both = yield all_of(ctx.activity("work", "3"), ctx.activity("work", "4", app="other"))
        named = yield ctx.activity("work", "5", app=APP)
        return " ".join([here, there, *both, named])

    async with (
        app(hub, APP, flow, signed(APP)) as (shop, worker),
        app(hub, "other", None, signed("other")) as (_, helper),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "1>shop 2>other 3>shop 4>other 5>shop"
        assert [task.input.value for task in helper.tasks] == ["2", "4"]
        assert sorted(task.input.value for task in worker.tasks) == ["1", "3", "5"]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-multihop")
async def test_results_go_from_application_to_application(hub: Hub) -> None:
    def flow(ctx: Context):
        value = ctx.input
        for name in ("two", "three", APP, "two"):
            value = yield ctx.activity("sign", value, app=name)
        return value

    async with (
        app(hub, APP, flow, signed(APP)) as (shop, _),
        app(hub, "two", None, signed("two")),
        app(hub, "three", None, signed("three")),
    ):
        await shop.client.start("Flow", "a", "in")
        assert await shop.client.output("a") == "in>two>three>shop>two"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-failure")
async def test_activity_that_fails_elsewhere_fails_with_its_details(hub: Hub) -> None:
    async def fail(_: pb.ActivityRequest) -> str | None:
        raise ValueError("no stock")

    def flow(ctx: Context):
        try:
            yield ctx.activity("reserve", app="other", execution_id="t-1")
        except TaskFailed as error:
            return f"{error.details.errorType}: {error.details.errorMessage}"

    async with app(hub, APP, flow) as (shop, _), app(hub, "other", None, fail) as (_, helper):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "ValueError: no stock"
        assert helper.tasks[0].taskExecutionId == "t-1"
        (failed,) = [e for e in await shop.client.history("a") if e.HasField("taskFailed")]
        assert failed.taskFailed.taskExecutionId == "t-1"


def asking(name: str):
    """Return a workflow that wants an activity of an application, and says what else happens."""

    def flow(ctx: Context):
        wanted, heard = ctx.activity("work", "in", app=name), ctx.event("ping")
        if (yield any_of(wanted, heard)) is heard:
            ctx.custom_status = "pinged"
        return (yield wanted)

    return flow


@pytest.mark.parity("crossapp/activity-invalidappid")
async def test_application_that_does_not_exist_is_waited_for(hub: Hub) -> None:
    """Applications need not be announced, so one that is not there yet and one that never comes are alike."""
    async with app(hub, APP, asking("nowhere")) as (shop, worker):
        await shop.client.start("Flow", "a")
        await shop.client.send("a", "ping")
        await until_shows(shop.client, "a", "pinged")
        assert (await shop.client.kinds("a")).count("taskScheduled") == 1
        assert worker.tasks == []
    await visit(hub, "nowhere", signed("nowhere"))
    async with app(hub, APP, asking("nowhere")) as (shop, _):
        assert await shop.client.output("a") == "in>nowhere"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-appdown")
async def test_activity_of_an_application_that_is_down_runs_when_it_comes(hub: Hub) -> None:
    async with app(hub, APP, asking("other")) as (shop, _):
        await shop.client.start("Flow", "a")
        assert await shop.client.status("a") == "RUNNING"
        async with app(hub, "other", None, signed("other")) as (_, helper):
            assert await shop.client.output("a") == "in>other"
            assert len(helper.tasks) == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parity("crossapp/activity-restart")
async def test_activity_of_an_application_that_restarts_is_done_by_its_next_run(
    hub: Hub, *, crash: bool
) -> None:
    async def hang(_: pb.ActivityRequest) -> str | None:
        await asyncio.Event().wait()

    async with app(hub, APP, asking("other")) as (shop, _):
        async with app(hub, "other", None, hang) as (other, helper):
            await shop.client.start("Flow", "a")
            await until(lambda: len(helper.tasks) == 1)
            await (other.kill() if crash else other.stop())
        assert await shop.client.status("a") == "RUNNING"
        async with app(hub, "other", None, signed("other")):
            assert await shop.client.output("a") == "in>other"
        assert (await shop.client.kinds("a")).count("taskCompleted") == 1


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-reconnect")
async def test_activity_whose_application_loses_its_worker_is_done_by_the_next(hub: Hub) -> None:
    async def hang(_: pb.ActivityRequest) -> str | None:
        await asyncio.Event().wait()

    async with apps(hub, APP, "other") as (shop, other), shop.worker(asking("other")):
        async with other.worker(None, hang) as helper:
            await shop.client.start("Flow", "a")
            await until(lambda: len(helper.tasks) == 1)
        async with other.worker(None, signed("other")):
            assert await shop.client.output("a") == "in>other"


@pytest.mark.parity("crossapp/activity-badappid")
async def test_activity_of_an_id_that_no_application_can_have_fails(hub: Hub) -> None:
    def flow(ctx: Context):
        try:
            yield ctx.activity("work", app="no such.app")
        except TaskFailed as error:
            details = error.details
            return f"{details.errorType} {details.isNonRetriable} {details.errorMessage}"

    async with app(hub, APP, flow) as (shop, worker):
        await shop.client.start("Flow", "a")
        text = "invalid app ID 'no such.app': it may contain only letters, digits, '-' and '_'"
        assert await shop.client.output("a") == f"WorkflowTargetInvalid True {text}"
        assert worker.tasks == []
        kinds = await shop.client.kinds("a")
        assert kinds[2:5] == ["taskScheduled", "workflowStarted", "taskFailed"]

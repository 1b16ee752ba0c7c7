"""Children in other applications."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from tests.parity.apps import NO_POLLING, app, apps, until_shows
from tests.parity.client import Refused
from tests.parity.flows import Context, TaskFailed, Workflow, all_of, any_of
from tests.parity.hub import APP, Hub


def parent_of(name: str, instance_id: str = "kid") -> Workflow:
    """Return a workflow with a child in an application, that says what else happens."""

    def flow(ctx: Context):
        wanted, heard = (
            ctx.child("Child", "in", instance_id=instance_id, app=name),
            ctx.event("ping"),
        )
        if (yield any_of(wanted, heard)) is heard:
            ctx.custom_status = "pinged"
        return (yield wanted)

    return flow


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def said(ctx: Context):
    """Return where the child runs and what it knows of its parent."""
    parent = ctx.start.parentInstance
    return f"{ctx.input} {parent.appID}/{parent.workflowInstance.instanceId}/{parent.name.value}"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-callchild")
async def test_child_runs_in_its_application_and_answers_its_parent(hub: Hub) -> None:
    async with (
        app(hub, APP, {"Flow": parent_of("other")}) as (shop, worker),
        app(hub, "other", {"Child": said}) as (other, helper),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "in shop/a/Flow"
        assert {request.instanceId for request in worker.requests} == {"a"}
        assert {request.instanceId for request in helper.requests} == {"kid"}
        state = await other.client.state("kid")
        assert (state.parentAppId.value, state.parentInstanceId.value) == (APP, "a")
        assert not (await shop.client.get("kid")).exists


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-failure")
async def test_child_that_fails_elsewhere_fails_with_its_details(hub: Hub) -> None:
    def child(_: Context):
        raise ValueError("no stock")

    def flow(ctx: Context):
        try:
            yield ctx.child("Child", app="other")
        except TaskFailed as error:
            return f"{error.details.errorType}: {error.details.errorMessage}"

    async with app(hub, APP, flow) as (shop, _), app(hub, "other", {"Child": child}):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "ValueError: no stock"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-continueasnew")
async def test_child_that_continues_as_new_answers_its_parent_in_the_end(hub: Hub) -> None:
    def child(ctx: Context):
        if ctx.input == "inxxx":
            return ctx.input
        return ctx.continue_as_new(f"{ctx.input}x")

    async with (
        app(hub, APP, parent_of("other")) as (shop, _),
        app(hub, "other", {"Child": child}),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "inxxx"


def nested(names: list[str], here: int) -> Workflow:
    def flow(ctx: Context):
        if here == len(names) - 1:
            return names[here]
        below = yield ctx.child("Flow", instance_id=names[here + 1], app=names[here + 1])
        return f"{names[here]} {below}"

    return flow


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-depth")
async def test_children_nest_over_six_applications(hub: Hub) -> None:
    names = ["one", "two", "three", "four", "five", "six"]
    async with AsyncExitStack() as stack:
        first, *_ = sidecars = await stack.enter_async_context(apps(hub, *names))
        for number, sidecar in enumerate(sidecars):
            await stack.enter_async_context(sidecar.worker(nested(names, number)))
        await first.client.start("Flow", "one")
        assert await first.client.output("one") == "one two three four five six"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-localmix")
async def test_children_here_and_there_run_side_by_side(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.child("Child", "1", app="other")
        rest = yield all_of(
            ctx.child("Child", "2"),
            ctx.child("Child", "3", app="other"),
            ctx.activity("echo", "4"),
            ctx.activity("echo", "5", app="other"),
        )
        return " ".join([first, *rest])

    async with (
        app(hub, APP, {"Flow": flow, "Child": lambda ctx: f"{ctx.input}>shop"}) as (shop, _),
        app(hub, "other", {"Child": lambda ctx: f"{ctx.input}>other"}),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "1>other 2>shop 3>other 4 5"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/child-appdown")
async def test_child_in_an_application_that_is_down_runs_when_it_comes(hub: Hub) -> None:
    async with app(hub, APP, parent_of("other")) as (shop, _):
        await shop.client.start("Flow", "a")
        assert await shop.client.status("a") == "RUNNING"
        async with app(hub, "other", {"Child": lambda ctx: ctx.input}):
            assert await shop.client.output("a") == "in"


@pytest.mark.needs("multi_process")
@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parity("crossapp/child-restart")
async def test_child_goes_on_after_its_application_restarts(hub: Hub, *, crash: bool) -> None:
    def child(ctx: Context):
        first = yield ctx.activity("echo", ctx.input)
        ctx.custom_status = "half-way"
        return f"{first} {(yield ctx.event('go'))}"

    async with app(hub, APP, parent_of("other")) as (shop, _):
        async with app(hub, "other", {"Child": child}) as (other, _):
            await shop.client.start("Flow", "a")
            await until_shows(other.client, "kid", "half-way")
            await (other.kill() if crash else other.stop())
        await shop.client.send("kid", "go", "on", app="other")
        assert await shop.client.status("a") == "RUNNING"
        async with app(hub, "other", {"Child": child}):
            assert await shop.client.output("a") == "in on"


@pytest.mark.parity("crossapp/child-invalidappid")
async def test_child_of_an_application_that_does_not_exist_is_waited_for(hub: Hub) -> None:
    async with app(hub, APP, parent_of("nowhere")) as (shop, worker):
        await shop.client.start("Flow", "a")
        await shop.client.send("a", "ping")
        await until_shows(shop.client, "a", "pinged")
        assert (await shop.client.kinds("a")).count("childWorkflowInstanceCreated") == 1
        assert {request.instanceId for request in worker.requests} == {"a"}
    async with app(hub, "nowhere", {"Child": lambda ctx: ctx.input}) as (nowhere, _):
        assert await nowhere.client.output("kid") == "in"
    async with app(hub, APP, parent_of("nowhere")) as (shop, _):
        assert await shop.client.output("a") == "in"


@pytest.mark.parity("crossapp/child-badappid")
async def test_child_of_an_id_that_no_application_can_have_fails(hub: Hub) -> None:
    def flow(ctx: Context):
        try:
            yield ctx.child("Child", app="no such app")
        except TaskFailed as error:
            return f"{error.details.errorType} {error.details.isNonRetriable}"

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "WorkflowTargetInvalid True"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/occupied")
async def test_child_whose_id_is_in_use_in_its_application_fails(hub: Hub) -> None:
    def flow(ctx: Context):
        try:
            yield ctx.child("Child", instance_id="taken", app="other")
        except TaskFailed as error:
            return f"{error.details.errorType}: {error.details.errorMessage}"

    async with (
        app(hub, APP, {"Flow": flow, "Waiting": waiting}) as (shop, _),
        app(hub, "other", {"Waiting": waiting}) as (other, _),
    ):
        await other.client.start("Waiting", "taken")
        await shop.client.start("Flow", "a")
        text = "an active workflow with ID 'taken' already exists"
        assert await shop.client.output("a") == f"WorkflowInstanceAlreadyExists: {text}"
        await other.client.send("taken", "go", "on")
        assert await other.client.output("taken") == "on"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/reuseid")
async def test_id_above_a_living_child_elsewhere_can_not_be_used_again(hub: Hub) -> None:
    def careless(ctx: Context):
        ctx.child("Child", instance_id="kid", app="other")
        return "done"

    async with (
        app(hub, APP, careless) as (shop, _),
        app(hub, "other", {"Child": waiting}) as (other, _),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "done"
        with pytest.raises(Refused) as refused:
            await shop.client.start("Flow", "a")
        assert refused.value.code == "ALREADY_EXISTS"
        assert refused.value.details == (
            "failed to create workflow instance: cannot recreate workflow with ID 'a': "
            "child workflow 'kid': orchestration has not yet completed"
        )
        await other.client.send("kid", "go", "on")
        await other.client.finished("kid")
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "done"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/conflict")
async def test_equal_ids_in_several_applications_are_different_instances(hub: Hub) -> None:
    def flow_of(name: str, helper: str) -> Workflow:
        def flow(ctx: Context):
            work = yield ctx.activity("work", name, app=helper)
            child = yield ctx.child("Child", name, app=helper)
            return f"{work} {child} {(yield ctx.event('go'))}"

        return flow

    async with apps(hub, "one", "two", "three", safety_poll=NO_POLLING) as (one, two, three):
        sidecars = {"one": (one, "two"), "two": (two, "three"), "three": (three, "one")}
        async with AsyncExitStack() as stack:
            for name, (sidecar, helper) in sidecars.items():
                flows = {"Flow": flow_of(name, helper), "Child": lambda ctx: ctx.input}
                await stack.enter_async_context(sidecar.worker(flows))
            for sidecar, _ in sidecars.values():
                await sidecar.client.start("Flow", "same")
            for name, (sidecar, _) in sidecars.items():
                await sidecar.client.send("same", "go", f"for {name}")
            outputs = [await sidecar.client.output("same") for sidecar, _ in sidecars.values()]
            assert outputs == [f"{name} {name} for {name}" for name in sidecars]

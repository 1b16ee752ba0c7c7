"""Everything that a client may ask, of another application; and nothing of what is not asked by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from durahub.protocol import messages as pb

from tests.parity.apps import app, apps
from tests.parity.client import Client, Refused, routed, status_name
from tests.parity.flows import Context
from tests.parity.hub import APP, Hub

OTHER = "other"
Call = Callable[[Client, str], Awaitable[Any]]


async def wait(client: Client, method: str, app_id: str) -> pb.WorkflowState:
    request = pb.GetInstanceRequest(instanceId="a", router=routed(app_id))
    return (await client.call(method, request, pb.GetInstanceResponse)).workflowState


CALLS: dict[str, Call] = {
    "start": lambda client, name: client.start("Flow", "a", app=name),
    "get": lambda client, name: client.get("a", app=name),
    "waitstart": lambda client, name: wait(client, "WaitForInstanceStart", name),
    "wait": lambda client, name: wait(client, "WaitForInstanceCompletion", name),
    "raise": lambda client, name: client.send("a", "go", app=name),
    "terminate": lambda client, name: client.terminate("a", app=name),
    "suspend": lambda client, name: client.suspend("a", app=name),
    "resume": lambda client, name: client.resume("a", app=name),
    "purge": lambda client, name: client.purge("a", app=name),
    "forcepurge": lambda client, name: client.purge("a", force=True, recursive=True, app=name),
    "rerun": lambda client, name: client.rerun("a", 0, "b", router=routed(name)),
}
"""Each asks for instance `a` of an application; the empty name: of the sidecar's own."""

PREFIXES = {
    "start": "failed to create workflow instance: ",
    "terminate": "failed to submit termination request: ",
    "purge": "failed to purge workflow state: ",
    "forcepurge": "failed to purge workflow state: ",
}


def flow(ctx: Context):
    yield ctx.activity("echo")
    return (yield ctx.event("go"))


def lines(kind: str) -> list[Any]:
    """Return the calls as parameters, each with its line."""
    return [
        pytest.param(name, marks=pytest.mark.parity(f"crossapp/{kind}-{name}")) for name in CALLS
    ]


@pytest.mark.needs("multi_process")
@pytest.mark.parity(
    "crossapp/ops-start",
    "crossapp/ops-get",
    "crossapp/ops-waitstart",
    "crossapp/ops-raise",
    "crossapp/ops-wait",
    "crossapp/ops-rerun",
    "crossapp/ops-purge",
)
async def test_life_of_an_instance_can_be_led_from_another_application(hub: Hub) -> None:
    async with apps(hub, APP) as (shop,), app(hub, OTHER, flow) as (other, worker):
        assert await shop.client.start("Flow", "a", "in", app=OTHER) == "a"
        assert worker.requests, "the first turn is over when the call returns"
        start = (await other.client.history("a"))[1]
        assert (start.router.sourceAppID, start.router.targetAppID) == (APP, OTHER)
        assert not start.executionStarted.HasField("parentInstance")
        state = await shop.client.state("a", app=OTHER)
        assert (status_name(state.workflowStatus), state.input.value) == ("RUNNING", "in")
        started = await wait(shop.client, "WaitForInstanceStart", OTHER)
        assert started.name == "Flow"
        await shop.client.send("a", "go", "on", app=OTHER)
        assert await shop.client.output("a", app=OTHER) == "on"
        assert await shop.client.rerun("a", 0, "b", router=routed(OTHER)) == "b"
        await shop.client.send("b", "go", "again", app=OTHER)
        assert await other.client.output("b") == "again"
        assert await shop.client.purge("a", app=OTHER) == 1
        assert await other.client.ids() == ["b"]


@pytest.mark.needs("multi_process")
@pytest.mark.parity(
    "crossapp/ops-suspend",
    "crossapp/ops-resume",
    "crossapp/ops-terminate",
    "crossapp/ops-forcepurge",
)
async def test_instance_can_be_controlled_from_another_application(hub: Hub) -> None:
    async with apps(hub, APP) as (shop,), app(hub, OTHER, flow) as (other, _):
        await other.client.start("Flow", "a")
        await shop.client.suspend("a", "why", app=OTHER)
        assert await other.client.status("a") == "SUSPENDED"
        await shop.client.resume("a", app=OTHER)
        assert await other.client.status("a") == "RUNNING"
        await shop.client.terminate("a", "bye", app=OTHER)
        state = await other.client.state("a")
        assert (status_name(state.workflowStatus), state.output.value) == ("TERMINATED", "bye")
        await other.client.start("Flow", "b")
        assert await shop.client.purge("b", force=True, app=OTHER) == 1
        assert await other.client.ids() == ["a"]


@pytest.mark.parity("crossapp/ops-ownapp")
async def test_instance_of_the_own_application_may_be_named_with_it(hub: Hub) -> None:
    async with app(hub, "my app!", flow) as (mine, _):
        await mine.client.start("Flow", "a", app="my app!")
        assert await mine.client.ids() == ["a"]
        await mine.client.send("a", "go", "on", app="my app!")
        assert await mine.client.output("a", app="my app!") == "on"


@pytest.mark.parametrize("call", lines("invalidappid"))
async def test_call_for_an_id_that_no_application_can_have_is_refused(hub: Hub, call: str) -> None:
    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        for bad in ("other.app", "an other", "other||app", "*"):
            with pytest.raises(Refused) as refused:
                await CALLS[call](shop.client, bad)
            assert refused.value.code == "INVALID_ARGUMENT"
            text = f"invalid app ID '{bad}': it may contain only letters, digits, '-' and '_'"
            assert refused.value.details == PREFIXES.get(call, "") + text
        assert await shop.client.status("a") == "RUNNING"


NOT_THERE = [name for name in CALLS if name not in ("start", "get")]


@pytest.mark.parity("crossapp/ops-notfound")
@pytest.mark.parametrize("call", NOT_THERE)
@pytest.mark.parametrize("name", [OTHER, "nowhere"])
async def test_call_for_an_instance_that_is_not_there_says_so_at_once(
    hub: Hub, name: str, call: str
) -> None:
    """Whether or not such an application has ever been there."""
    async with app(hub, OTHER, flow):
        pass
    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        with pytest.raises(Refused) as refused:
            await CALLS[call](shop.client, name)
        missing = "workflow instance does not exist with ID 'a'" if call == "rerun" else None
        text = PREFIXES.get(call, "") + (missing or "no such instance exists")
        code = "NOT_FOUND" if call == "rerun" else "UNKNOWN"
        assert (refused.value.code, refused.value.details) == (code, text)
        assert not (await shop.client.get("a", app=name)).exists


@pytest.mark.parity("crossapp/appscoping")
@pytest.mark.parametrize("call", NOT_THERE)
async def test_instance_is_out_of_reach_of_other_applications_unless_they_name_its_own(
    hub: Hub, call: str
) -> None:
    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        await shop.client.send("a", "go", "mine")
        await shop.client.finished("a")
    async with app(hub, OTHER, flow) as (other, _):
        with pytest.raises(Refused, match=r"no such instance|does not exist"):
            await CALLS[call](other.client, "")
    async with app(hub, APP, flow) as (shop, _):
        assert await shop.client.output("a") == "mine"


@pytest.mark.parity("crossapp/appscoping-lookups")
async def test_lookups_show_the_own_applications_instances_only(hub: Hub) -> None:
    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
    async with app(hub, OTHER, flow) as (other, _):
        assert await other.client.ids() == []
        assert not (await other.client.get("a")).exists
        with pytest.raises(Refused, match="workflow instance 'a' not found"):
            await other.client.history("a")
        await other.client.start("Flow", "a")
        await other.client.start("Flow", "b")
        assert await other.client.ids() == ["a", "b"]
        every = pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter(), force=True)
        answer = await other.client.call("PurgeInstances", every, pb.PurgeInstancesResponse)
        assert answer.deletedInstanceCount == 2
    async with app(hub, APP, flow) as (shop, _):
        assert await shop.client.ids() == ["a"]


@pytest.mark.parity("crossapp/ops-filter")
async def test_purge_by_filter_can_be_sent_to_another_application(hub: Hub) -> None:
    async with app(hub, OTHER, flow) as (other, _):
        await other.client.start("Flow", "a")
        await other.client.terminate("a")
    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        await shop.client.terminate("a")
        ended = pb.PurgeInstancesRequest(
            purgeInstanceFilter=pb.PurgeInstanceFilter(), router=routed(OTHER)
        )
        answer = await shop.client.call("PurgeInstances", ended, pb.PurgeInstancesResponse)
        assert answer.deletedInstanceCount == 1
        assert await shop.client.ids() == ["a"]
        assert not (await shop.client.get("a", app=OTHER)).exists


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/ops-appdown")
async def test_start_in_an_application_that_is_down_returns_when_it_has_begun(hub: Hub) -> None:
    async with apps(hub, APP) as (shop,):
        with pytest.raises(Refused, match="DEADLINE_EXCEEDED"):
            await shop.client.start("Flow", "a", app=OTHER, within_s=0.3)
        assert await shop.client.status("a", app=OTHER) == "PENDING"
        await shop.client.send("a", "go", "on", app=OTHER)
        async with app(hub, OTHER, flow):
            assert await shop.client.output("a", app=OTHER) == "on"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/rerun")
async def test_rerun_does_what_it_does_again_where_it_was_done_before(hub: Hub) -> None:
    def asking(ctx: Context):
        work = yield ctx.activity("echo", "1", app=OTHER)
        kid = yield ctx.child("Child", "2", app=OTHER)
        return f"{work}{kid}"

    async with (
        app(hub, APP, asking) as (shop, worker),
        app(hub, OTHER, {"Child": lambda ctx: ctx.input}) as (other, helper),
    ):
        await shop.client.start("Flow", "a")
        assert await shop.client.output("a") == "12"
        await shop.client.rerun("a", 1, "child again")
        assert await shop.client.output("child again") == "12"
        await shop.client.rerun("a", 0, "all again")
        assert await shop.client.output("all again") == "12"
        assert await other.client.ids() == ["a:0001", "child again:0001", "all again:0001"]
        assert len(helper.tasks) == 2
        assert worker.tasks == []

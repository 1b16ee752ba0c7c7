"""What histories say of other applications; detached workflows there; namespaces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durahub.protocol import messages as pb

from tests.parity.apps import app, apps, until_shows
from tests.parity.client import Refused
from tests.parity.flows import Context, TaskFailed
from tests.parity.hub import APP, Hub

OTHER = "other"
Route = tuple[str | None, str, str | None]


def routes(history: list[pb.HistoryEvent]) -> list[Route]:
    """Return which event of a history came from where and went where; None: it says nothing."""
    return [
        (
            event.WhichOneof("eventType"),
            event.router.sourceAppID,
            event.router.targetAppID if event.router.HasField("targetAppID") else None,
        )
        for event in history
        if event.WhichOneof("eventType") != "workflowStarted"
    ]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/history-activity")
async def test_history_says_how_an_activity_was_routed(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("echo", app=OTHER)

    async with app(hub, APP, flow) as (shop, _), app(hub, OTHER):
        await shop.client.start("Flow", "a")
        await shop.client.finished("a")
        assert routes(await shop.client.history("a")) == [
            ("executionStarted", APP, None),
            ("taskScheduled", APP, OTHER),
            ("taskCompleted", APP, OTHER),
            ("executionCompleted", APP, None),
        ]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/history-child")
async def test_histories_say_how_a_child_was_routed(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.child("Child", instance_id="kid", app=OTHER)

    def child(ctx: Context):
        yield ctx.activity("echo")

    async with app(hub, APP, flow) as (shop, _), app(hub, OTHER, {"Child": child}) as (other, _):
        await shop.client.start("Flow", "a")
        await shop.client.finished("a")
        assert routes(await shop.client.history("a")) == [
            ("executionStarted", APP, None),
            ("childWorkflowInstanceCreated", APP, OTHER),
            ("childWorkflowInstanceCompleted", OTHER, APP),
            ("executionCompleted", APP, None),
        ]
        assert routes(await other.client.history("kid")) == [
            ("executionStarted", APP, OTHER),
            ("taskScheduled", OTHER, None),
            ("taskCompleted", OTHER, None),
            ("executionCompleted", OTHER, None),
        ]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/detached")
async def test_detached_workflow_runs_in_its_application_and_belongs_to_nobody(hub: Hub) -> None:
    start_at = datetime.now(UTC) + timedelta(seconds=0.2)

    def flow(ctx: Context):
        ctx.detached(
            "Free",
            "in",
            instance_id="free",
            app=OTHER,
            tags={"colour": "red"},
            scheduledStartTimestamp=start_at,
        )

    def free(ctx: Context):
        assert not ctx.start.HasField("parentInstance")
        return f"{ctx.input} {(yield ctx.event('go'))}"

    async with app(hub, APP, flow) as (shop, _), app(hub, OTHER, {"Free": free}) as (other, _):
        await shop.client.start("Flow", "a")
        await shop.client.finished("a")
        await shop.client.terminate("a", recursive=True)
        assert await shop.client.purge("a", recursive=True) == 1
        await other.client.send("free", "go", "on")
        state = await other.client.finished("free")
        assert (state.output.value, dict(state.tags)) == ("in on", {"colour": "red"})
        assert state.startedAt.ToDatetime(UTC) >= start_at
        assert not state.HasField("parentInstanceId")
        assert (await other.client.history("free"))[1].router.sourceAppID == OTHER
        assert not (await shop.client.get("free")).exists


@pytest.mark.parity("crossapp/detached-badappid")
async def test_detached_workflow_that_can_not_be_reached_is_dropped(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Free", instance_id="free", app="no such app")
        ctx.custom_status = "spawned"
        return (yield ctx.event("go"))

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        await until_shows(shop.client, "a", "spawned")
        await shop.client.send("a", "go", "on")
        assert await shop.client.output("a") == "on"
        assert await shop.client.ids() == ["a"]


NAMESPACED = pb.TaskRouter(targetAppID=OTHER, targetAppNamespace="prod")
NO_NAMESPACES = (
    "a task hub has no namespaces: app ID 'other' in namespace 'prod' can't be reached; "
    "leave the namespace out for an application of the same task hub"
)

REQUESTS: dict[str, Any] = {
    "StartInstance": pb.CreateInstanceRequest(instanceId="a", name="Flow"),
    "GetInstance": pb.GetInstanceRequest(instanceId="a"),
    "WaitForInstanceStart": pb.GetInstanceRequest(instanceId="a"),
    "WaitForInstanceCompletion": pb.GetInstanceRequest(instanceId="a"),
    "RaiseEvent": pb.RaiseEventRequest(instanceId="a", name="go"),
    "TerminateInstance": pb.TerminateRequest(instanceId="a"),
    "SuspendInstance": pb.SuspendRequest(instanceId="a"),
    "ResumeInstance": pb.ResumeRequest(instanceId="a"),
    "PurgeInstances": pb.PurgeInstancesRequest(instanceId="a", force=True),
    "RerunWorkflowFromEvent": pb.RerunWorkflowFromEventRequest(sourceInstanceID="a"),
}


@pytest.mark.parity("crossapp/crossnamespace-ops")
@pytest.mark.parametrize("method", REQUESTS)
@pytest.mark.parametrize(
    ("router", "text"),
    [
        (NAMESPACED, NO_NAMESPACES),
        (
            pb.TaskRouter(targetAppNamespace="prod"),
            "a target app namespace requires a target app ID",
        ),
    ],
)
async def test_call_for_another_namespace_is_refused(
    hub: Hub, method: str, router: pb.TaskRouter, text: str
) -> None:
    request = type(REQUESTS[method])()
    request.CopyFrom(REQUESTS[method])
    request.router.CopyFrom(router)
    async with apps(hub, APP) as (shop,):
        with pytest.raises(Refused) as refused:
            await shop.client.call(method, request, pb.GetInstanceResponse)
        assert refused.value.code == "INVALID_ARGUMENT"
        assert refused.value.details.endswith(text)


@pytest.mark.parity("crossapp/crossnamespace-activity", "crossapp/crossnamespace-child")
async def test_work_for_another_namespace_fails_and_is_never_done_here(hub: Hub) -> None:
    """Not even by an application that has the id and is on the same task hub."""

    def namespaced(ctx: Context, number: int) -> None:
        ctx.actions[number].router.CopyFrom(NAMESPACED)

    def flow(ctx: Context):
        failures = []
        for number, ask in enumerate((ctx.activity, ctx.child)):
            call = ask("Work")
            if not ctx.is_replaying:
                namespaced(ctx, number)
            try:
                yield call
            except TaskFailed as error:
                failures.append(f"{error.details.errorType}: {error.details.errorMessage}")
        return "\n".join(failures)

    async with app(hub, APP, flow) as (shop, _):
        await shop.client.start("Flow", "a")
        expected = [f"WorkflowTargetInvalid: {NO_NAMESPACES}"] * 2
        assert (await shop.client.output("a")).split("\n") == expected
    async with app(hub, OTHER, {"Work": lambda _: "done"}) as (other, worker):
        await other.client.start("Work", "b")
        assert await other.client.ids() == ["b"]
        assert worker.tasks == []

"""Children, and detached workflows, whose id is taken."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb

from tests.parity.client import Client
from tests.parity.flows import Call, Context, TaskFailed, Workflow
from tests.parity.hub import Hub, Sidecar

TAKEN = "an active workflow with ID 'taken' already exists"


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def simple(ctx: Context):
    return f"child of {ctx.start.parentInstance.workflowInstance.instanceId}"


def outcome(call: Call) -> str:
    return f"failed: {call.error.details.errorType}" if call.error else str(call.value)


FAILED = "failed: WorkflowInstanceAlreadyExists"


async def taken(sidecar: Sidecar) -> None:
    """Start an instance `taken` that goes on until an event `go`."""
    await sidecar.client.start("Waiting", "taken")


async def untouched(client: Client) -> None:
    """Check that the instance `taken` has not felt a thing."""
    assert await client.kinds("taken") == ["workflowStarted", "executionStarted"]
    state = await client.state("taken")
    assert (state.name, state.HasField("parentInstanceId")) == ("Waiting", False)
    await client.send("taken", "go", "mine")
    assert await client.output("taken") == "mine"


def flows(flow: Workflow) -> dict[str, Workflow]:
    return {"Flow": flow, "Child": simple, "Waiting": waiting}


def call_taken(ctx: Context):
    return (yield ctx.child("Child", instance_id="taken"))


@pytest.mark.parity("occupied/basic", "field/19")
async def test_child_with_a_taken_id_fails(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(flows(call_taken)):
        await taken(sidecar)
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.finished("a")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
        assert state.failureDetails.errorMessage == TAKEN
        history = await sidecar.client.history("a")
        (failed,) = [e for e in history if e.HasField("childWorkflowInstanceFailed")]
        details = failed.childWorkflowInstanceFailed.failureDetails
        assert details.errorType == "WorkflowInstanceAlreadyExists"
        assert (details.errorMessage, details.isNonRetriable) == (TAKEN, False)
        await untouched(sidecar.client)


@pytest.mark.parity("occupied/handled")
async def test_code_handles_the_failure(hub: Hub) -> None:
    def flow(ctx: Context):
        try:
            yield ctx.child("Child", instance_id="taken")
        except TaskFailed as error:
            return f"{error.details.errorType}, then {(yield ctx.activity('work', 'x'))}"
        return "not refused"

    async with hub.sidecar() as sidecar, sidecar.worker(flows(flow)):
        await taken(sidecar)
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "WorkflowInstanceAlreadyExists, then x"
        await untouched(sidecar.client)


@pytest.mark.parity("occupied/retrypolicy")
async def test_retries_succeed_once_the_id_is_free(hub: Hub) -> None:
    def flow(ctx: Context):
        for attempt in range(1000):
            call = ctx.child("Child", instance_id="taken")
            try:
                yield call
            except TaskFailed:
                yield ctx.sleep(0.05)
            else:
                return f"{attempt > 0} {outcome(call)}"
        raise AssertionError

    async with hub.sidecar() as sidecar, sidecar.worker(flows(flow)):
        await taken(sidecar)
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_event("a", "childWorkflowInstanceFailed", 2)
        await untouched(sidecar.client)
        assert await sidecar.client.output("a") == "True child of a"


@pytest.mark.parity("occupied/fanout")
async def test_only_children_with_a_taken_id_fail(hub: Hub) -> None:
    def flow(ctx: Context):
        ids = ["", "taken", "twin", "twin", ""]
        calls = [ctx.child("Child", instance_id=one) for one in ids]
        for call in calls:
            try:
                yield call
            except TaskFailed:
                continue
        return " | ".join(map(outcome, calls))

    async with hub.sidecar() as sidecar, sidecar.worker(flows(flow)):
        await taken(sidecar)
        await sidecar.client.start("Flow", "a")
        fine = "child of a"
        expected = [fine, FAILED, fine, FAILED, fine]
        assert await sidecar.client.output("a") == " | ".join(expected)
        assert await sidecar.client.ids() == ["taken", "a", "a:0000", "twin", "a:0004"]
        await untouched(sidecar.client)


@pytest.mark.parity("occupied/rerun")
async def test_reruns_child_with_a_taken_id_fails(hub: Hub) -> None:
    def flow(ctx: Context):
        call = ctx.child("Child")
        try:
            yield call
        except TaskFailed:
            return outcome(call)
        return outcome(call)

    async with hub.sidecar() as sidecar, sidecar.worker(flows(flow)):
        await sidecar.client.start("Flow", "old")
        assert await sidecar.client.output("old") == "child of old"
        await taken(sidecar)
        await sidecar.client.rerun("old", 0, "new", newChildWorkflowInstanceID="taken")
        assert await sidecar.client.output("new") == FAILED
        await untouched(sidecar.client)


@pytest.mark.parity("occupied/subtree")
async def test_id_above_a_live_descendant_is_taken(hub: Hub) -> None:
    def top(ctx: Context):
        ctx.child("Waiting", instance_id="below")

    flow_of = {**flows(call_taken), "Top": top}
    async with hub.sidecar() as sidecar, sidecar.worker(flow_of):
        await sidecar.client.start("Top", "taken")
        await sidecar.client.output("taken")
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.finished("a")
        assert state.failureDetails.errorMessage == TAKEN
        assert (await sidecar.client.state("taken")).name == "Top"
        await sidecar.client.send("below", "go")
        await sidecar.client.output("below")
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "child of a"


@pytest.mark.parity("occupied/detached")
async def test_detached_workflow_with_a_taken_id_is_dropped(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Child", instance_id="taken")
        ctx.detached("Child", instance_id="free")
        return (yield ctx.activity("work", "on"))

    async with hub.sidecar() as sidecar, sidecar.worker(flows(flow)):
        await taken(sidecar)
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "on"
        assert await sidecar.client.output("free") == "child of "
        kinds = await sidecar.client.kinds("a")
        assert kinds.count("detachedWorkflowInstanceCreated") == 2
        await untouched(sidecar.client)

"""Workflows that another one has started and does not wait for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil, to_timestamp

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import Context, text
from tests.parity.hub import Hub
from tests.parity.worker import Worker

BEGIN = ["workflowStarted", "executionStarted"]


def caller(ctx: Context):
    ctx.detached("Other", ctx.input, instance_id="b")
    return "called"


def other(ctx: Context):
    return (yield ctx.event("go"))


FLOWS = {"Flow": caller, "Other": other}


def starts_of(worker: Worker, instance_id: str) -> list[pb.HistoryEvent]:
    """Return the start events of an instance, as often as the worker got them as new."""
    return [
        event
        for request in worker.requests
        if request.instanceId == instance_id
        for event in request.newEvents
        if event.HasField("executionStarted")
    ]


@pytest.mark.parity("detached/single", "detached/nowait")
async def test_detached_workflow_runs_by_itself(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        client = sidecar.client
        await client.start("Flow", "a", "x")
        assert await client.output("a") == "called"
        before = await client.history("a")
        assert await client.status("b") in ("PENDING", "RUNNING")
        await client.send("b", "go", "done")
        assert await client.output("b") == "done"
        assert await client.history("a") == before
    created = before[2]
    assert [event.WhichOneof("eventType") for event in before] == [
        *BEGIN,
        "detachedWorkflowInstanceCreated",
        "executionCompleted",
    ]
    assert (created.eventId, created.detachedWorkflowInstanceCreated.instanceId) == (0, "b")


@pytest.mark.parity("detached/fields")
async def test_detached_workflow_gets_what_it_was_given_and_no_parent(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        start_at = to_timestamp(await sidecar.backend.now() + timedelta(seconds=0.3))

        def flow(ctx: Context) -> None:
            ctx.detached(
                "Other",
                "in",
                instance_id="b",
                tags={"kind": "test", "empty": ""},
                scheduledStartTimestamp=start_at,
                executionId=text("run-1"),
            )

        async with sidecar.worker({"Flow": flow, "Other": other}) as worker:
            await sidecar.client.start("Flow", "a")
            await sidecar.client.started("b")
            state = await sidecar.client.state("b")
    assert (state.name, state.input.value) == ("Other", "in")
    assert dict(state.tags) == {"kind": "test", "empty": ""}
    assert state.executionId.value == "run-1"
    assert not state.HasField("parentInstanceId")
    assert from_timestamp_ceil(state.startedAt) >= from_timestamp_ceil(start_at)
    (start,) = starts_of(worker, "b")
    assert start.executionStarted.scheduledStartTimestamp == start_at
    assert dict(start.executionStarted.tags) == {"kind": "test", "empty": ""}
    assert not start.executionStarted.HasField("parentInstance")


@pytest.mark.parity("detached/defaultid")
async def test_ids_are_taken_as_the_sdk_made_them(hub: Hub) -> None:
    def flow(ctx: Context) -> None:
        for instance_id in (f"{ctx.id}-0", "mine", f"{ctx.id}-1"):
            ctx.detached("Other", instance_id=instance_id)

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Other": other}):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.ids() == ["a", "a-0", "mine", "a-1"]
        events = await sidecar.client.history("a")
        assert [event.eventId for event in events] == [-1, -1, 0, 1, 2, 3]


@pytest.mark.parity("detached/failure")
async def test_detached_workflow_that_fails_disturbs_nobody(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Broken", instance_id="b")
        yield ctx.event("go")
        return "fine"

    def broken(_: Context) -> None:
        raise ValueError("broken")

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Broken": broken}):
        await sidecar.client.start("Flow", "a")
        assert (await sidecar.client.finished("b")).failureDetails.errorMessage == "broken"
        assert len(await sidecar.client.history("a")) == 3
        await sidecar.client.send("a", "go")
        assert await sidecar.client.output("a") == "fine"


@pytest.mark.parity("detached/replay")
async def test_detached_workflow_is_started_once(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Other", instance_id="b")
        for _ in range(3):
            yield ctx.activity("work")
        yield ctx.event("go")

    flows = {"Flow": flow, "Other": other}
    async with hub.sidecar() as sidecar, sidecar.worker(flows) as worker:
        await sidecar.client.start("Flow", "a")
        await until(lambda: len(starts_of(worker, "b")) == 1 and len(worker.tasks) == 3, ANSWER_S)
        execution_id = (await sidecar.client.state("b")).executionId.value
        await sidecar.kill()
    async with hub.sidecar() as sidecar, sidecar.worker(flows) as again:
        await sidecar.client.send("a", "go")
        await sidecar.client.finished("a")
        await sidecar.client.send("b", "go")
        await sidecar.client.finished("b")
        assert (await sidecar.client.state("b")).executionId.value == execution_id
        assert (await sidecar.client.kinds("a")).count("detachedWorkflowInstanceCreated") == 1
    assert len(starts_of(worker, "b") + starts_of(again, "b")) == 1


@pytest.mark.parity("detached/continueasnew")
async def test_detached_workflow_outlives_the_generation(hub: Hub) -> None:
    def flow(ctx: Context):
        number = int(ctx.input)
        ctx.detached("Other", instance_id=f"b{number}")
        yield ctx.activity("work")
        if number < 3:
            ctx.continue_as_new(str(number + 1))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Other": other}):
        await sidecar.client.start("Flow", "a", "1")
        await sidecar.client.finished("a")
        assert await sidecar.client.ids() == ["a", "b1", "b2", "b3"]
        for instance_id in ("b1", "b2", "b3"):
            await sidecar.client.send(instance_id, "go", instance_id)
            assert await sidecar.client.output(instance_id) == instance_id


@pytest.mark.parity("detached/purge")
async def test_purge_of_the_caller_leaves_it(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        assert await sidecar.client.purge("a", recursive=True) == 1
        assert await sidecar.client.ids() == ["b"]
        await sidecar.client.send("b", "go", "alive")
        assert await sidecar.client.output("b") == "alive"


@pytest.mark.parity("detached/terminate")
async def test_terminate_of_the_caller_leaves_it(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.detached("Other", instance_id="b")
        yield ctx.event("never")

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Other": other}):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("b", "RUNNING")
        for _ in range(2):
            await sidecar.client.terminate("a", recursive=True)
        assert await sidecar.client.status("a") == "TERMINATED"
        assert await sidecar.client.status("b") == "RUNNING"
        await sidecar.client.send("b", "go", "alive")
        assert await sidecar.client.output("b") == "alive"


@pytest.mark.parity("detached/propagation")
async def test_detached_workflow_receives_no_history(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("work")
        ctx.detached("Other", instance_id="b")
        yield ctx.child(
            "Child", instance_id="c", historyPropagationScope=pb.HISTORY_PROPAGATION_SCOPE_LINEAGE
        )

    flows = {"Flow": flow, "Other": other, "Child": lambda _: None}
    async with hub.sidecar() as sidecar, sidecar.worker(flows) as worker:
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        await sidecar.client.started("b")
    of_it = [request for request in worker.requests if request.instanceId == "b"]
    assert of_it
    assert not any(request.HasField("propagatedHistory") for request in of_it)


@pytest.mark.parity("detached/noid")
async def test_detached_workflow_without_an_id_stalls_the_caller(hub: Hub) -> None:
    def flow(ctx: Context) -> None:
        ctx.detached("Other", instance_id="")

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Other": other}) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(sidecar.client.start("Flow", "a"))
            await sidecar.client.until_status("a", "STALLED")
        state = await sidecar.client.state("a")
        assert "CreateDetachedWorkflowAction requires an instance ID" in (
            state.failureDetails.errorMessage
        )
        assert await sidecar.client.ids() == ["a"]
    # The worker's own connecting may count as a reason to try again, once.
    assert len(worker.requests) <= 2

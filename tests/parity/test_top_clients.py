"""What clients see of any workflow, and what they tell it."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil, to_timestamp

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S, Client, Refused
from tests.parity.flows import Context, all_of
from tests.parity.hub import APP, Hub

UTF8 = "\u00fc \U0001f600 '\"\\ {}"


def listen(ctx: Context):
    """Wait for one event and return what it brings."""
    data = yield ctx.event("go")
    return data


def at_once(ctx: Context):
    return ctx.input


@pytest.mark.parity("top/fetch")
async def test_state_tells_the_version_and_when_it_started(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(listen):
        client = sidecar.client
        before = to_timestamp(await sidecar.backend.now())
        version = pb.CreateInstanceRequest().version
        version.value = "1.2.3"
        await client.start("Flow", "a", "in", version=version, tags={"kind": "test"})
        state = (await client.get("a", payloads=False)).workflowState
        events = await client.history("a")
        assert (state.instanceId, state.name, state.version.value) == ("a", "Flow", "1.2.3")
        assert dict(state.tags) == {"kind": "test"}
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_RUNNING
        moments = [
            before,
            state.createdTimestamp,
            state.startedAt,
            state.lastUpdatedTimestamp,
            to_timestamp(await sidecar.backend.now()),
        ]
        assert moments == sorted(moments, key=from_timestamp_ceil)
        assert from_timestamp_ceil(state.startedAt) == from_timestamp_ceil(events[0].timestamp)
        assert not state.HasField("input")
        await client.send("a", "go", "out")
        ended = await client.finished("a")
    assert (ended.input.value, ended.output.value) == ("in", "out")
    assert ended.startedAt == state.startedAt


@pytest.mark.parity("top/fetch")
async def test_state_of_a_child_names_its_parent(hub: Hub) -> None:
    def parent(ctx: Context):
        return (yield ctx.child("Child", instance_id="b"))

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": at_once}):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
        state = await sidecar.client.state("b")
    assert (state.parentInstanceId.value, state.parentAppId.value) == ("a", APP)


@pytest.mark.parity("top/getnotfound")
async def test_state_of_an_unknown_id_is_that_there_is_none(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        assert await sidecar.client.get("nobody") == pb.GetInstanceResponse(exists=False)


@pytest.mark.parity("top/order")
async def test_start_before_any_worker_waits_for_the_first(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, asyncio.TaskGroup() as group:
        starting = group.create_task(sidecar.client.start("Flow", "a", "x"))
        await sidecar.client.until_status("a", "PENDING")
        assert not starting.done()
        async with sidecar.worker(at_once):
            assert await starting == "a"
            assert await sidecar.client.output("a") == "x"


@pytest.mark.parity("top/pause")
async def test_suspend_and_resume_return_when_it_shows(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(listen):
        client = sidecar.client
        await client.start("Flow", "a")
        for _ in range(3):
            await client.suspend("a", "lunch")
            assert await client.status("a") == "SUSPENDED"
            await client.resume("a")
            assert await client.status("a") == "RUNNING"
        events = await client.history("a")
        await client.send("a", "go", "x")
        assert await client.output("a") == "x"
    paused = [event.executionSuspended for event in events if event.HasField("executionSuspended")]
    assert [event.input.value for event in paused] == ["lunch"] * 3


@pytest.mark.parity("top/raise")
@pytest.mark.parametrize("data", ["text", "", None, UTF8])
async def test_event_arrives_with_its_payload(hub: Hub, data: str | None) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(listen):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go", data)
        state = await sidecar.client.finished("a")
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED
    assert state.HasField("output") == (data is not None)
    assert state.output.value == (data or "")


async def outcome_of_start(client: Client) -> str:
    """Start the id `foo` and return it, or why not."""
    try:
        return await client.start("Flow", "foo")
    except Refused as refused:
        return str(refused)


@pytest.mark.parity("top/reuse-concurrent")
async def test_one_of_many_who_start_an_id_succeeds(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(listen):
        outcomes = await asyncio.gather(*(outcome_of_start(sidecar.client) for _ in range(10)))
        refusal = (
            "ALREADY_EXISTS: failed to create workflow instance: "
            "an active workflow with ID 'foo' already exists"
        )
        assert sorted(outcomes) == [refusal] * 9 + ["foo"]
        assert await outcome_of_start(sidecar.client) == refusal
        assert await sidecar.client.ids() == ["foo"]
        assert len(await sidecar.client.history("foo")) == 2


@pytest.mark.parity("top/reuse-completed")
async def test_id_of_an_ended_workflow_starts_anew(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(listen):
        client = sidecar.client
        runs = set()
        for data in ("1", "2", "3"):
            await client.start("Flow", "foo")
            state = await client.state("foo")
            assert not state.HasField("output")
            assert await client.kinds("foo") == ["workflowStarted", "executionStarted"]
            runs.add(state.executionId.value)
            await client.send("foo", "go", data)
            assert await client.output("foo") == data
        assert len(runs) == 3
        assert await client.ids() == ["foo"]


@pytest.mark.parity("top/reuse-completed")
async def test_id_starts_anew_while_an_activity_of_its_last_run_goes_on(hub: Hub) -> None:
    gate = asyncio.Event()

    async def work(request: pb.ActivityRequest) -> str:
        if request.input.value == "late":
            await gate.wait()
        return request.input.value

    def flow(ctx: Context):
        result = yield ctx.activity("work", ctx.input)
        yield ctx.event("go")
        return result

    async with hub.sidecar() as sidecar, sidecar.worker(flow, work) as worker:
        client = sidecar.client
        await client.start("Flow", "foo", "late")
        await until(lambda: worker.active == 1, ANSWER_S)
        await client.terminate("foo")
        await client.start("Flow", "foo", "new")
        await client.until_event("foo", "taskCompleted")
        gate.set()
        await until(lambda: worker.active == 0, ANSWER_S)
        await client.send("foo", "go")
        assert await client.output("foo") == "new"
        assert (await client.kinds("foo")).count("taskCompleted") == 1


@pytest.mark.parity("top/reuse-unique")
async def test_id_that_has_to_be_unique_is_refused(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(at_once):
        await sidecar.client.start("Flow", "foo", "x", enforceUniqueInstanceId=True)
        assert await sidecar.client.output("foo") == "x"
        with pytest.raises(Refused) as refused:
            await sidecar.client.start("Flow", "foo", "y", enforceUniqueInstanceId=True)
        assert str(refused.value) == (
            "ALREADY_EXISTS: failed to create workflow instance: a workflow with ID 'foo' already "
            "exists and the create enforces instance ID uniqueness"
        )
        assert await sidecar.client.output("foo") == "x"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("top/multidapr")
async def test_every_sidecar_of_an_application_serves_all_of_its_workflows(hub: Hub) -> None:
    def flow(ctx: Context):
        data, greeting = yield all_of(ctx.event("go"), ctx.activity("greet", ctx.id))
        return f"{greeting} {data}"

    async with (
        hub.sidecar() as one,
        hub.sidecar() as two,
        one.worker(flow),
        two.worker(flow),
    ):
        for number in range(3):
            await one.client.start("Flow", f"one{number}")
            await two.client.start("Flow", f"two{number}")
        ids = sorted(await one.client.ids())
        assert ids == sorted(await two.client.ids()) == sorted(set(ids))
        for instance_id in ids:
            starter, other = (one, two) if instance_id.startswith("one") else (two, one)
            assert await other.client.status(instance_id) == "RUNNING"
            async with asyncio.TaskGroup() as group:
                waits = [
                    group.create_task(sidecar.client.output(instance_id))
                    for sidecar in (starter, other)
                ]
                await other.client.send(instance_id, "go", "x")
            assert [wait.result() for wait in waits] == [f"{instance_id} x"] * 2

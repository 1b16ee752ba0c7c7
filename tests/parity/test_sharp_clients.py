"""What clients rely on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from tests.parity.client import Refused, status_name
from tests.parity.flows import Context
from tests.parity.hub import Hub


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def family(ctx: Context):
    yield ctx.child("Child", instance_id=f"{ctx.id}/child")


FAMILY = {"Flow": family, "Child": waiting}


@pytest.mark.parity("sharp/01")
async def test_start_waits_for_the_first_turn(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        with pytest.raises(Refused) as caught:
            await sidecar.client.start("Flow", "a", within_s=0.2)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert await sidecar.client.status("a") == "PENDING"
        async with asyncio.TaskGroup() as group:
            begun = group.create_task(sidecar.client.start("Flow", "b"))
            await sidecar.client.until_status("b", "PENDING")
            assert not begun.done()
            async with sidecar.worker(waiting):
                await begun
                assert await sidecar.client.status("b") == "RUNNING"


@pytest.mark.parity("sharp/02", "sharp/03")
async def test_changes_return_when_they_show_and_repetitions_reach_no_worker(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting) as worker:
        client = sidecar.client
        await client.start("Flow", "a")
        await client.resume("a")
        for _ in range(2):
            await client.suspend("a")
            assert await client.status("a") == "SUSPENDED"
        for _ in range(2):
            await client.resume("a")
            assert await client.status("a") == "RUNNING"
        await client.terminate("a", "enough")
        assert await client.status("a") == "TERMINATED"
        assert await client.purge("a") == 1
    sent = [event.WhichOneof("eventType") for one in worker.requests for event in one.newEvents]
    assert (sent.count("executionSuspended"), sent.count("executionResumed")) == (1, 1)


@pytest.mark.parity("sharp/15")
async def test_wait_is_told_of_the_end_and_leaves_payloads_out(hub: Hub) -> None:
    async with (
        hub.sidecar(safety_poll=timedelta(minutes=1)) as sidecar,
        sidecar.worker(waiting),
        asyncio.TaskGroup() as group,
    ):
        client = sidecar.client
        await client.start("Flow", "a", "in")
        told = group.create_task(client.finished("a"))
        bare = group.create_task(
            client.call(
                "WaitForInstanceCompletion",
                pb.GetInstanceRequest(instanceId="a"),
                pb.GetInstanceResponse,
            )
        )
        with pytest.raises(Refused, match="DEADLINE_EXCEEDED"):
            await client.finished("a", within_s=0.1)
        await client.send("a", "go", "out")
        state = await told
        assert (state.input.value, state.output.value) == ("in", "out")
        left = (await bare).workflowState
        assert not left.HasField("input")
        assert not left.HasField("output")
        assert status_name(left.workflowStatus) == "COMPLETED"


@pytest.mark.parity("sharp/16")
async def test_times_are_there_from_the_first_moment_on(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        before = datetime.now(UTC) - timedelta(seconds=1)
        later = datetime.now(UTC) + timedelta(minutes=1)
        await sidecar.client.start("Flow", "a", at=later)
        state = await sidecar.client.state("a")
    assert status_name(state.workflowStatus) == "PENDING"
    for moment in (state.createdTimestamp, state.lastUpdatedTimestamp):
        assert before < from_timestamp_ceil(moment) < later


@pytest.mark.parity("sharp/24", "sharp/25", "sharp/27")
async def test_refusals_have_the_words_and_codes_that_sdks_look_for(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting) as worker:
        client = sidecar.client
        for call in (
            client.send("none", "go"),
            client.terminate("none"),
            client.suspend("none"),
            client.resume("none"),
            client.purge("none"),
            client.purge("none", recursive=True),
        ):
            with pytest.raises(Refused, match="no such instance exists"):
                await call
        await client.start("Flow", "a")
        with pytest.raises(Refused) as caught:
            await client.start("Flow", "a")
        assert caught.value.code == "ALREADY_EXISTS"
        assert "an active workflow with ID 'a' already exists" in caught.value.details
        await client.send("a", "go")
        await client.finished("a")
        turns = len(worker.requests)
        await client.send("a", "go")
        assert await client.status("a") == "COMPLETED"
        assert len(worker.requests) == turns


@pytest.mark.parity("sharp/26")
async def test_ended_id_starts_anew(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting):
        client = sidecar.client
        await client.start("Flow", "a", "one")
        await client.send("a", "go", "first")
        await client.finished("a")
        first = await client.history("a")
        await client.start("Flow", "a", "two")
        state = await client.state("a")
        assert (state.input.value, status_name(state.workflowStatus)) == ("two", "RUNNING")
        assert not state.HasField("output")
        again = await client.history("a")
    started = [events[1].executionStarted.workflowInstance.executionId for events in (first, again)]
    assert len(again) == 2
    assert started[0] != started[1]


@pytest.mark.parametrize("recursive", [True, False])
@pytest.mark.parity("sharp/28")
async def test_recursion_is_what_the_client_asks_for(hub: Hub, recursive: bool) -> None:  # noqa: FBT001
    async with hub.sidecar() as sidecar, sidecar.worker(FAMILY):
        client = sidecar.client
        await client.start("Flow", "a")
        await client.until_status("a/child", "RUNNING")
        await client.terminate("a", recursive=recursive)
        if not recursive:
            assert await client.status("a/child") == "RUNNING"
            await client.send("a/child", "go")
        await client.finished("a/child")
        assert await client.purge("a", recursive=recursive) == (2 if recursive else 1)
        assert (await client.get("a/child")).exists is not recursive


@pytest.mark.parity("sharp/30", "field/21")
async def test_ids_may_be_anything(hub: Hub) -> None:
    ids = ["a|b@c", "x" * 1000, "ünï-日本", "%_'\";--", " ", "a||b", "-1", "\\n"]
    async with hub.sidecar() as sidecar, sidecar.worker(waiting):
        for name in ids:
            await sidecar.client.start("Flow", name)
        for name in ids:
            await sidecar.client.send(name, "go", name)
        assert [await sidecar.client.output(name) for name in ids] == ids
        assert await sidecar.client.ids() == ids


@pytest.mark.parity("sharp/32")
async def test_failed_workflow_has_no_output(hub: Hub) -> None:
    def failing(ctx: Context):
        raise ValueError("no stock")

    async with hub.sidecar() as sidecar, sidecar.worker(failing):
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.finished("a")
    assert status_name(state.workflowStatus) == "FAILED"
    assert (state.failureDetails.errorType, state.failureDetails.errorMessage) == (
        "ValueError",
        "no stock",
    )
    assert not state.HasField("output")


@pytest.mark.parity("sharp/50")
async def test_version_and_tags_of_a_start_are_kept(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting):
        client = sidecar.client
        await client.start("Flow", "a", version={"value": "v7"}, tags={"tenant": "x"})
        await client.start("Flow", "b", version={"value": ""})
        kept, none = await client.state("a"), await client.state("b")
        (_, start) = await client.history("a")
    assert (kept.version.value, dict(kept.tags)) == ("v7", {"tenant": "x"})
    assert none.version.value == ""
    assert start.executionStarted.version.value in ("", "v7")

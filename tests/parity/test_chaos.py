"""Writes that fail, answers that get lost, wake-ups that nobody hears."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.backend import CommitActivity, CommitTurn, Deliver
from durahub.protocol import messages as pb

from core.tests.engine import making
from tests.parity.faults import fail
from tests.parity.flows import EPOCH, Context, all_of
from tests.parity.holding import Held, HeldTurns
from tests.parity.hub import Hub
from tests.parity.store import plant, plant_unnoticed

ONE_ACTIVITY = [
    "workflowStarted",
    "executionStarted",
    "taskScheduled",
    "workflowStarted",
    "taskCompleted",
    "executionCompleted",
]

in_vain_or_not = pytest.mark.parametrize("in_vain", [True, False])


def one_activity(ctx: Context):
    return (yield ctx.activity("work", ctx.input))


def one_event(ctx: Context):
    return (yield ctx.event("go"))


@pytest.mark.parity("chaos/canfail")
@in_vain_or_not
async def test_result_whose_write_fails_arrives_once(hub: Hub, *, in_vain: bool) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(one_activity) as worker:
        fault = fail(sidecar, CommitActivity, in_vain=in_vain)
        await sidecar.client.start("Flow", "a", "x")
        assert await sidecar.client.output("a") == "x"
        assert await sidecar.client.kinds("a") == ONE_ACTIVITY
    assert (fault.left, worker.task_names()) == (0, ["work"])


@pytest.mark.parity("chaos/eventcanfail")
@in_vain_or_not
async def test_event_whose_write_fails_arrives(hub: Hub, *, in_vain: bool) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(one_event):
        await sidecar.client.start("Flow", "a")
        fault = fail(sidecar, Deliver, in_vain=in_vain)
        await sidecar.client.send("a", "go", "x")
        assert await sidecar.client.output("a") == "x"
    assert fault.left == 0


@pytest.mark.parity("chaos/dedupreassert")
async def test_repeated_completion_wakes_who_slept_through_the_first(hub: Hub) -> None:
    held = Held()
    async with (
        hub.sidecar(safety_poll=timedelta(hours=1)) as sidecar,
        sidecar.worker(one_activity, held) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        await plant_unnoticed(sidecar, "a", making.task_completed(0, "first"))
        await asyncio.sleep(0.05)
        assert (await sidecar.client.status("a"), len(worker.requests)) == ("RUNNING", 1)
        await plant(sidecar, "a", making.task_completed(0, "first"))
        assert await sidecar.client.output("a") == "first"
        assert await sidecar.client.kinds("a") == ONE_ACTIVITY


@pytest.mark.parity("chaos/eventdedup")
async def test_event_counts_once_however_often_it_is_delivered(hub: Hub) -> None:
    def flow(ctx: Context):
        got = []
        while not got or got[-1] != "end":
            got.append((yield ctx.event("go")))
        return ",".join(got)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        fail(sidecar, Deliver, in_vain=False)
        await sidecar.client.send("a", "go", "same")
        await sidecar.client.until_event("a", "eventRaised")
        (again,) = [e for e in await sidecar.client.history("a") if e.HasField("eventRaised")]
        await plant(sidecar, "a", again)
        await sidecar.client.send("a", "go", "same")
        await sidecar.client.send("a", "go", "end")
        assert await sidecar.client.output("a") == "same,same,end"


@pytest.mark.parity("chaos/loadretry")
async def test_reading_shows_no_torn_state(hub: Hub) -> None:
    last = 40

    def flow(ctx: Context):
        ctx.custom_status = str(int(ctx.input or 0) + 1)
        if ctx.input == str(last):
            return f"after {ctx.input}"
        return ctx.continue_as_new(ctx.custom_status)

    seen = []
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a", "1")
        while not seen or not seen[-1].HasField("output"):
            seen.append(await sidecar.client.state("a"))
    *before, end = seen
    # A generation's number and the status it begins with were written together.
    assert all(state.input.value == state.customStatus.value for state in before)
    assert [int(state.input.value) for state in seen] == sorted(int(s.input.value) for s in seen)
    assert (end.output.value, end.customStatus.value) == (f"after {last}", str(last + 1))


@pytest.mark.parity("chaos/reminderdedup")
async def test_events_for_a_busy_workflow_end_in_one_turn(hub: Hub) -> None:
    def flow(ctx: Context):
        got = yield all_of(*[ctx.event("go") for _ in range(20)])
        return ",".join(got)

    turns = HeldTurns(flow)
    async with hub.sidecar() as sidecar, sidecar.worker(raw=turns) as worker:
        await sidecar.client.start("Flow", "a", at=EPOCH)
        await turns.until_begun()
        for number in range(20):
            await sidecar.client.send("a", "go", str(number))
        turns.release()
        assert await sidecar.client.output("a") == ",".join(map(str, range(20)))
        assert len(worker.requests) == 2


@pytest.mark.needs("multi_process")
@pytest.mark.parity("chaos/remotestream")
async def test_wait_through_another_sidecar_ends_with_the_instance(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, hub.sidecar() as other, sidecar.worker(one_event):
        await sidecar.client.start("Flow", "a")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(other.client.output("a"))
            await asyncio.sleep(0.05)
            await sidecar.client.send("a", "go", "x")
        assert waiting.result() == "x"


@pytest.mark.parity("chaos/savefail")
@in_vain_or_not
async def test_commit_that_fails_is_repeated(hub: Hub, *, in_vain: bool) -> None:
    held = Held()
    async with (
        hub.sidecar(safety_poll=timedelta(hours=1)) as sidecar,
        sidecar.worker(one_activity, held) as worker,
    ):
        first = fail(sidecar, CommitTurn, times=3, in_vain=in_vain)
        await sidecar.client.start("Flow", "a", "x")
        await held.until_begun()
        last = fail(sidecar, CommitTurn, times=3, in_vain=in_vain)
        held.release()
        assert await sidecar.client.output("a") == "x"
        assert await sidecar.client.kinds("a") == ONE_ACTIVITY
    assert (first.left, last.left, worker.task_names()) == (0, 0, ["work"])


@pytest.mark.parity("chaos/savefirst")
async def test_nothing_begins_before_it_is_stored(hub: Hub) -> None:
    stored: list[list[str | None]] = []

    def parent(ctx: Context):
        yield all_of(ctx.activity("work"), ctx.child("Child", instance_id="kid"))

    def child(ctx: Context):
        return (yield ctx.activity("work"))

    async def work(request: pb.ActivityRequest) -> str | None:
        stored.append(await sidecar.client.kinds("a"))
        return request.workflowInstance.instanceId

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": parent, "Child": child}, work):
        fail(sidecar, CommitTurn, times=2)
        await sidecar.client.start("Flow", "a")
        await sidecar.client.output("a")
    assert len(stored) == 2
    assert all({"taskScheduled", "childWorkflowInstanceCreated"} <= set(kinds) for kinds in stored)


@pytest.mark.parity("chaos/terminatecascade")
@in_vain_or_not
async def test_termination_reaches_all_through_faults(hub: Hub, *, in_vain: bool) -> None:
    def flow(ctx: Context):
        depth = int(ctx.input or 0)
        if depth:
            kids = [ctx.child("Flow", str(depth - 1), instance_id=f"{ctx.id}{n}") for n in "12"]
            yield all_of(*kids)
        yield ctx.event("never")

    everybody = ["a", "a1", "a2", "a11", "a12", "a21", "a22"]
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a", "2")
        for instance_id in everybody:
            await sidecar.client.until_status(instance_id, "RUNNING")
        fault = fail(sidecar, CommitTurn, times=5, in_vain=in_vain)
        await sidecar.client.terminate("a", "over", recursive=True)
        for instance_id in everybody:
            await sidecar.client.until_status(instance_id, "TERMINATED")
    assert fault.left < 5

"""Events around continue-as-new: kept, passed on, never lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S, Client
from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub
from tests.parity.python_sdk import replayed_by_sdk


def collecting(wanted: int, *, per_generation: int = 1):
    """Return a workflow that takes so many events `go`, a few in each generation."""

    def flow(ctx: Context):
        seen = json.loads(ctx.input or "[]")
        for _ in range(per_generation):
            seen.append((yield ctx.event("go")))
            if len(seen) == wanted:
                return ",".join(seen)
        ctx.continue_as_new(json.dumps(seen), keep=True)
        return None

    return flow


async def send_all(client: Client, data: list[str]) -> None:
    for one in data:
        await client.send("a", "go", one)


def numbers(count: int) -> list[str]:
    return list(map(str, range(count)))


@pytest.mark.parity("continueasnew/carryover-keep")
@pytest.mark.parametrize("keep", [True, False])
async def test_events_that_nobody_took_are_kept_on_request(hub: Hub, *, keep: bool) -> None:
    def flow(ctx: Context):
        if ctx.input != "next":
            yield ctx.event("next")
            ctx.continue_as_new("next", keep=keep)
            return None
        return (yield ctx.event("go"))

    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow):
            await sidecar.client.start("Flow", "a")
        # Without a worker they wait, and reach the workflow in one turn.
        await send_all(sidecar.client, ["early"])
        await sidecar.client.send("a", "next")
        async with sidecar.worker(flow) as worker:
            await until(lambda: len(worker.requests) == 2, ANSWER_S)
            if keep:
                assert await sidecar.client.output("a") == "early"
            else:
                await sidecar.client.send("a", "go", "late")
                assert await sidecar.client.output("a") == "late"


@pytest.mark.parity("continueasnew/carryover-types", "continueasnew/carryover-activity")
async def test_events_of_several_names_are_kept_over_an_activity(hub: Hub) -> None:
    kinds = ["red", "green", "blue"]

    def flow(ctx: Context):
        seen = json.loads(ctx.input or "[]")
        if len(seen) == 2 * len(kinds):
            return ",".join(seen)
        if not seen:
            yield ctx.event("go")
        seen.append((yield ctx.event(kinds[len(seen) % len(kinds)])))
        yield ctx.activity("work")
        ctx.continue_as_new(json.dumps(seen), keep=True)
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        for number in range(2):
            for kind in reversed(kinds):
                await sidecar.client.send("a", kind, f"{kind} {number}")
        await sidecar.client.send("a", "go")
        expected = [f"{kind} {number}" for number in range(2) for kind in kinds]
        assert await sidecar.client.output("a") == ",".join(expected)
    assert len(worker.tasks) == len(expected)


@pytest.mark.parity("continueasnew/carryover-cycles")
async def test_events_are_kept_over_generations_that_take_none(hub: Hub) -> None:
    def flow(ctx: Context):
        number = int(ctx.input or "0")
        if number == 0:
            yield ctx.event("begin")
        if number < 30:
            ctx.continue_as_new(str(number + 1), keep=True)
            return None
        return ",".join((yield all_of(*[ctx.event("go") for _ in range(5)])))

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        await send_all(sidecar.client, numbers(5))
        await sidecar.client.send("a", "begin")
        assert await sidecar.client.output("a") == "0,1,2,3,4"
    assert len({request.executionId.value for request in worker.requests}) == 31


@pytest.mark.parity("continueasnew/edges-partial")
async def test_what_a_generation_took_the_next_does_not_see(hub: Hub) -> None:
    flow = collecting(7, per_generation=3)
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow):
            await sidecar.client.start("Flow", "a")
        await send_all(sidecar.client, numbers(7))
        async with sidecar.worker(flow) as worker:
            assert await sidecar.client.output("a") == "0,1,2,3,4,5,6"
    first_turns = [request for request in worker.requests if not request.pastEvents]
    raised = [
        [one.eventRaised.input.value for one in request.newEvents if one.HasField("eventRaised")]
        for request in first_turns
    ]
    assert raised == [["3", "4", "5", "6"], ["6"]]


@pytest.mark.parity("continueasnew/edges-fifo")
async def test_kept_events_come_before_later_ones(hub: Hub) -> None:
    gate = asyncio.Event()

    async def work(_: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return None

    def flow(ctx: Context):
        if ctx.input == "next":
            return ",".join((yield all_of(*[ctx.event("go") for _ in range(4)])))
        yield ctx.event("begin")
        yield ctx.activity("work")
        ctx.continue_as_new("next", keep=True)
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow, work) as worker:
        await sidecar.client.start("Flow", "a")
        await send_all(sidecar.client, ["0", "1"])
        await sidecar.client.send("a", "begin")
        await until(lambda: len(worker.tasks) == 1, ANSWER_S)
        gate.set()
        await send_all(sidecar.client, ["2", "3"])
        assert await sidecar.client.output("a") == "0,1,2,3"


@pytest.mark.parity("continueasnew/inboxoverload")
async def test_forty_events_that_wait_all_arrive_in_order(hub: Hub) -> None:
    flow = collecting(40)
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow):
            await sidecar.client.start("Flow", "a")
        await send_all(sidecar.client, numbers(40))
        async with sidecar.worker(flow, stateful=True):
            assert await sidecar.client.output("a") == ",".join(numbers(40))


@pytest.mark.parity("continueasnew/raisebatch")
async def test_events_of_several_senders_arrive_once_each_in_order(hub: Hub) -> None:
    senders, each = 4, 15
    async with hub.sidecar() as sidecar, sidecar.worker(collecting(senders * each)):
        await sidecar.client.start("Flow", "a")
        async with asyncio.TaskGroup() as group:
            for sender in range(senders):
                mine = [f"{sender}-{number}" for number in range(each)]
                group.create_task(send_all(sidecar.client, mine))
        seen = (await sidecar.client.output("a")).split(",")
    for sender in range(senders):
        mine = [one for one in seen if one.startswith(f"{sender}-")]
        assert mine == [f"{sender}-{number}" for number in range(each)]
    assert len(seen) == senders * each


def collecting_with_sdk(ctx: Any, seen: list[int]):
    """Take one event in each generation until there are twenty."""
    seen.append((yield ctx.wait_for_external_event("go")))
    if len(seen) == 20:
        return seen
    ctx.continue_as_new(seen, save_events=True)
    return None


@pytest.mark.parity("continueasnew/raisebatch", "continueasnew/inboxoverload", "field/09")
async def test_equal_events_that_the_python_sdk_carries_over_are_all_kept(hub: Hub) -> None:
    # The SDK itself loses data that is false when it carries an event over.
    data = [str(number % 3 + 1) for number in range(20)]
    answer = replayed_by_sdk({"Flow": collecting_with_sdk})
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(raw=answer):
            await sidecar.client.start("Flow", "a", "[]")
        await send_all(sidecar.client, data[:10])
        async with sidecar.worker(raw=answer):
            await send_all(sidecar.client, data[10:])
            assert json.loads(await sidecar.client.output("a")) == list(map(int, data))


@pytest.mark.parity("continueasnew/raisebatchnodup")
async def test_events_arrive_once_although_the_sidecar_is_killed(hub: Hub) -> None:
    flow = collecting(30)
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow):
            await sidecar.client.start("Flow", "a")
        await send_all(sidecar.client, numbers(30))
        async with sidecar.worker(flow) as worker:
            await until(lambda: len(worker.requests) >= 10, ANSWER_S)
            await sidecar.kill()
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        assert await sidecar.client.output("a") == ",".join(numbers(30))


def coordinator(ctx: Context):
    """Grant two permits at a time, in the order of the requests, until all are given back."""
    state = json.loads(ctx.input)
    job_id = yield ctx.event("permit")
    if job_id in state["granted"]:
        state["granted"].remove(job_id)
        state["left"] -= 1
    else:
        state["waiting"].append(job_id)
    while state["waiting"] and len(state["granted"]) < 2:
        state["granted"].append(state["waiting"].pop(0))
        ctx.send(state["granted"][-1], "granted")
    if state["left"] == 0:
        return "done"
    # What this turn sends has to be committed before the generation ends.
    yield ctx.sleep(0)
    ctx.continue_as_new(json.dumps(state), keep=True)
    return None


def job(ctx: Context):
    ctx.send("semaphore", "permit", ctx.id)
    yield ctx.event("granted")
    yield ctx.activity("work")
    ctx.send("semaphore", "permit", ctx.id)


@pytest.mark.parity("continueasnew/semaphore")
async def test_coordinator_bounds_what_runs_at_the_same_time(hub: Hub) -> None:
    jobs = 8
    pair = asyncio.Barrier(2)

    async def work(_: pb.ActivityRequest) -> str | None:
        await pair.wait()
        return None

    flows = {"Coordinator": coordinator, "Job": job}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, work) as worker:
        state = json.dumps({"waiting": [], "granted": [], "left": jobs})
        await sidecar.client.start("Coordinator", "semaphore", state)
        async with asyncio.TaskGroup() as group:
            for number in range(jobs):
                group.create_task(sidecar.client.start("Job", f"job-{number}"))
        assert await sidecar.client.output("semaphore") == "done"
    assert len(worker.tasks) == jobs
    assert worker.most_active == 2

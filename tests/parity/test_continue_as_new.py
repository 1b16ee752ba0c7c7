"""Workflows that start over, keeping their id."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import Context, TaskFailed, decide
from tests.parity.hub import Hub

START = ["workflowStarted", "executionStarted"]


def counting(ctx: Context):
    """Count from the input to 5, one generation and one event each."""
    yield ctx.event("go")
    if ctx.input == "5":
        return ctx.input
    ctx.continue_as_new(str(int(ctx.input) + 1))
    return None


@pytest.mark.parity("continueasnew/base", "continueasnew/raise", "continueasnew/multi-events")
async def test_generations_share_an_id_and_nothing_else(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(counting) as worker:
        client = sidecar.client
        await client.start("Flow", "a", "1")
        generations = set()
        for number in range(1, 6):
            await until(lambda turns=2 * number - 1: len(worker.requests) == turns, ANSWER_S)
            await client.until_status("a", "RUNNING")
            state = await client.state("a")
            assert state.input.value == str(number)
            generations.add(state.executionId.value)
            await client.send("a", "go")
        assert await client.output("a") == "5"
        events = await client.history("a")
        assert await client.ids() == ["a"]
    assert len(generations) == 5
    assert {request.executionId.value for request in worker.requests} == generations
    first_turns = worker.requests[::2]
    assert [len(request.pastEvents) for request in first_turns] == [0] * 5
    assert [len(request.newEvents) for request in first_turns] == [2] * 5
    assert [event.WhichOneof("eventType") for event in events] == [
        *START,
        *["workflowStarted", "eventRaised"],
        "executionCompleted",
    ]
    assert events[1].executionStarted.input.value == "5"
    assert events[1].executionStarted.workflowInstance.executionId.value in generations


@pytest.mark.parity("continueasnew/activity")
async def test_every_generation_runs_its_activity_once(hub: Hub) -> None:
    def flow(ctx: Context):
        done = yield ctx.activity("work", ctx.input)
        if done == "5":
            return done
        ctx.continue_as_new(str(int(done) + 1))
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a", "1")
        assert await sidecar.client.output("a") == "5"
        assert [task.input.value for task in worker.tasks] == list("12345")
        assert [task.taskId for task in worker.tasks] == [0] * 5
        assert await sidecar.client.kinds("a") == [
            *START,
            *["taskScheduled", "workflowStarted", "taskCompleted"],
            "executionCompleted",
        ]


@pytest.mark.parity("continueasnew/multi-timer", "continueasnew/multi-noinput")
async def test_generations_wait_for_timers_of_their_own_and_may_have_no_input(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.1)
        if ctx.input is None:
            return "no input"
        ctx.continue_as_new(None if ctx.input == "3" else str(int(ctx.input) + 1))
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a", "1")
        state = await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    assert (state.output.value, state.HasField("input")) == ("no input", False)
    assert not events[1].executionStarted.HasField("input")
    fired = [
        event.timerFired.timerId
        for request in worker.requests
        for event in request.newEvents
        if event.HasField("timerFired")
    ]
    assert fired == [0] * 4


@pytest.mark.parity("continueasnew/multi-child")
async def test_every_generation_has_a_child_of_the_same_id(hub: Hub) -> None:
    def flow(ctx: Context):
        number = yield ctx.child("Child", ctx.input, instance_id="child")
        if number == "4":
            return number
        ctx.continue_as_new(number)
        return None

    def child(ctx: Context):
        yield ctx.activity("work", ctx.input)
        return str(int(ctx.input) + 1)

    async with (
        hub.sidecar() as sidecar,
        sidecar.worker({"Flow": flow, "Child": child}) as worker,
    ):
        await sidecar.client.start("Flow", "a", "0")
        assert await sidecar.client.output("a") == "4"
        assert sorted(await sidecar.client.ids()) == ["a", "child"]
        assert (await sidecar.client.state("child")).input.value == "3"
    assert [task.input.value for task in worker.tasks] == list("0123")


@pytest.mark.parity("continueasnew/multi-child")
async def test_child_that_continues_as_new_gives_its_last_result_to_its_parent(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child", "1"))

    def child(ctx: Context):
        number = yield ctx.activity("work", ctx.input)
        if number == "3":
            return f"{number} generations"
        ctx.continue_as_new(str(int(number) + 1))
        return None

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": child}):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "3 generations"
        assert len(await sidecar.client.history("a")) == 6
        assert (await sidecar.client.state("a:0000")).parentInstanceId.value == "a"


@pytest.mark.parity("continueasnew/edges-tightloop")
async def test_hundred_generations_without_a_wait(hub: Hub) -> None:
    def flow(ctx: Context):
        if ctx.input == "100":
            return ctx.input
        ctx.continue_as_new(str(int(ctx.input) + 1))
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a", "1")
        assert await sidecar.client.output("a") == "100"
        assert len(await sidecar.client.history("a")) == 3
    assert len({request.executionId.value for request in worker.requests}) == 100


@pytest.mark.parity("continueasnew/edges-failure", "continueasnew/edges-status")
async def test_failed_activity_leads_to_another_generation(hub: Hub) -> None:
    async def work(request: pb.ActivityRequest) -> str | None:
        if request.input.value == "bad":
            raise ValueError("broken")
        return request.input.value

    def flow(ctx: Context):
        ctx.custom_status = f"tries {ctx.input}"
        try:
            result = yield ctx.activity("work", ctx.input)
        except TaskFailed as error:
            ctx.custom_status = f"failed: {error}"
            ctx.continue_as_new("good", keep=True)
            return None
        if (yield ctx.event("end")) == "silently":
            ctx.custom_status = None
        return result

    async with hub.sidecar() as sidecar, sidecar.worker(flow, work):
        client = sidecar.client
        for instance_id, order in (("a", "loudly"), ("b", "silently")):
            await client.start("Flow", instance_id, "bad")
            await client.send(instance_id, "end", order)
            state = await client.finished(instance_id)
            assert (state.output.value, state.HasField("failureDetails")) == ("good", False)
            assert state.HasField("customStatus") == (order == "loudly")
            assert state.customStatus.value == ("tries good" if order == "loudly" else "")


@pytest.mark.parity("continueasnew/edges-status")
async def test_custom_status_of_a_generation_lasts_until_the_next_sets_one(hub: Hub) -> None:
    gate = asyncio.Event()

    async def answer(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        if any(one.executionStarted.input.value == "next" for one in request.newEvents):
            await gate.wait()
        return decide(request, request.pastEvents, {"Flow": flow})

    def flow(ctx: Context):
        ctx.custom_status = "second" if ctx.input == "next" else "first"
        if ctx.input != "next":
            ctx.continue_as_new("next")

    async with hub.sidecar() as sidecar, sidecar.worker(raw=answer) as worker:
        await sidecar.client.start("Flow", "a")
        await until(lambda: len(worker.requests) == 2, ANSWER_S)
        state = await sidecar.client.state("a")
        assert (state.customStatus.value, state.input.value) == ("first", "next")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_RUNNING
        gate.set()
        assert (await sidecar.client.finished("a")).customStatus.value == "second"


@pytest.mark.parity("continueasnew/edges-result")
@pytest.mark.parametrize("fails", [False, True])
async def test_outcome_is_that_of_the_last_generation(hub: Hub, *, fails: bool) -> None:
    def flow(ctx: Context):
        yield ctx.activity("work")
        if ctx.input != "last":
            ctx.continue_as_new("last")
            return "an output that nobody gets"
        if fails:
            raise ValueError("broken")
        return "done"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a", "first")
        state = await sidecar.client.finished("a")
        assert state.input.value == "last"
        if fails:
            assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
            assert state.failureDetails.errorMessage == "broken"
            assert not state.HasField("output")
        else:
            assert state.workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED
            assert state.output.value == "done"


@pytest.mark.parity("continueasnew/dropped")
async def test_what_the_last_turn_of_a_generation_asks_for_is_dropped(hub: Hub) -> None:
    def flow(ctx: Context):
        if ctx.input == "next":
            return (yield ctx.activity("wanted", "x"))
        ctx.activity("unwanted")
        ctx.child("Child")
        ctx.sleep(0)
        ctx.continue_as_new("next")
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "x"
        assert await sidecar.client.ids() == ["a"]
        assert [(task.name, task.taskId) for task in worker.tasks] == [("wanted", 0)]
        assert len(await sidecar.client.history("a")) == 6

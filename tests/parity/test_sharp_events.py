"""What histories and turns look like to an SDK."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil

from core.tests.engine.making import kinds, started
from tests.parity.client import status_name
from tests.parity.flows import END_OF_TIME, FOREVER, Context, all_of, any_of, text
from tests.parity.hub import APP, Hub
from tests.parity.planting import deliver

BEGIN = ["workflowStarted", "executionStarted"]


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def steps(ctx: Context):
    yield ctx.activity("one")
    yield ctx.sleep(0.05)
    yield ctx.activity("two")
    return ctx.now.isoformat()


@pytest.mark.parity("sharp/04")
async def test_sent_event_arrives_as_a_raised_one_and_no_turn_follows_an_end(hub: Hub) -> None:
    def sending(ctx: Context):
        ctx.send("b", "go", "from a")
        yield ctx.activity("one")

    flows = {"Flow": sending, "Waiting": waiting}
    async with hub.sidecar() as sidecar, sidecar.worker(flows) as worker:
        client = sidecar.client
        await client.start("Waiting", "b")
        await client.start("Flow", "a")
        assert await client.output("b") == "from a"
        await client.output("a")
        told = [one.newEvents for one in worker.requests if one.instanceId == "b"][-1]
        assert kinds(told) == ["workflowStarted", "eventRaised"]
        turns = len(worker.requests)
        await deliver(sidecar, "b", started())
        await client.send("b", "go")
        await client.start("Waiting", "c")
        assert {one.instanceId for one in worker.requests[turns:]} == {"c"}


@pytest.mark.parity("sharp/05")
async def test_every_turn_starts_with_a_time_that_replays_see_again(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(steps) as worker:
        await sidecar.client.start("Flow", "a")
        ended = await sidecar.client.output("a")
        events = await sidecar.client.history("a")
    assert kinds(events)[:2] == BEGIN
    turns = [event.timestamp for event in events if event.HasField("workflowStarted")]
    moments = [from_timestamp_ceil(moment) for moment in turns]
    assert len(set(moments)) == len(moments) == len(worker.requests)
    assert moments == sorted(moments)
    assert datetime.fromisoformat(ended) == moments[-1]
    sent = [event.SerializeToString() for event in worker.requests[-1].pastEvents]
    assert sent == [event.SerializeToString() for event in events[: len(sent)]]


@pytest.mark.parity("sharp/06")
async def test_second_start_event_runs_nothing_again(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting):
        await sidecar.client.start("Flow", "a")
        (_, start) = await sidecar.client.history("a")
        run = start.executionStarted.workflowInstance.executionId.value
        await deliver(sidecar, "a", start, execution_id=run)
        await sidecar.client.send("a", "go", "on")
        assert await sidecar.client.output("a") == "on"
        assert (await sidecar.client.kinds("a")).count("executionStarted") == 1


@pytest.mark.parity("sharp/07")
async def test_nothing_comes_before_the_start_event(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting) as worker:
        soon = datetime.now(UTC) + timedelta(seconds=0.4)
        await sidecar.client.start("Flow", "a", at=soon)
        await sidecar.client.send("a", "go", "early")
        assert await sidecar.client.status("a") == "PENDING"
        assert await sidecar.client.output("a") == "early"
        assert kinds(worker.requests[0].newEvents)[:2] == BEGIN
        began = from_timestamp_ceil(worker.requests[0].newEvents[0].timestamp)
    assert began >= soon


@pytest.mark.parametrize("value", [None, "", "full"])
@pytest.mark.parity("sharp/17")
async def test_absent_and_empty_stay_different(hub: Hub, value: str | None) -> None:
    async def answer(request: pb.ActivityRequest) -> str | None:
        assert request.HasField("input") is (value is not None)
        return value

    def flow(ctx: Context):
        ctx.custom_status = value
        found = yield ctx.activity("one", value)
        told = yield ctx.event("go")
        assert (ctx.input, found, told) == (value, value, value), (ctx.input, found, told)
        return told

    async with hub.sidecar() as sidecar, sidecar.worker(flow, answer):
        await sidecar.client.start("Flow", "a", value)
        await sidecar.client.send("a", "go", value)
        state = await sidecar.client.finished("a")
    assert status_name(state.workflowStatus) == "COMPLETED", state.failureDetails
    for name in ("input", "output", "customStatus"):
        assert state.HasField(name) is (value is not None), name
        assert getattr(state, name).value == (value or "")


@pytest.mark.parity("sharp/18")
async def test_timer_at_the_end_of_time_survives_a_restart_to_the_nanosecond(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.event("go", FOREVER))

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        (timer,) = [
            event.timerCreated.fireAt
            for event in await sidecar.client.history("a")
            if event.HasField("timerCreated")
        ]
        assert timer == END_OF_TIME
        await sidecar.client.send("a", "go", "at last")
        assert await sidecar.client.output("a") == "at last"
        assert "timerFired" not in await sidecar.client.kinds("a")


@pytest.mark.parity("sharp/19")
async def test_fired_timer_says_which_and_when_and_is_never_early(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("one")
        yield ctx.sleep(0.1234567)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.output("a")
        events = await sidecar.client.history("a")
    created = next(event for event in events if event.HasField("timerCreated"))
    fired = next(event for event in events if event.HasField("timerFired"))
    assert fired.timerFired.timerId == created.eventId == 1
    assert fired.timerFired.fireAt == created.timerCreated.fireAt
    turn = events[kinds(events).index("timerFired") - 1]
    for event in (turn, fired):
        assert from_timestamp_ceil(event.timestamp) >= from_timestamp_ceil(fired.timerFired.fireAt)


@pytest.mark.parity("sharp/19")
async def test_no_timer_of_an_earlier_generation_fires(hub: Hub) -> None:
    def flow(ctx: Context):
        if ctx.input == "second":
            return (yield any_of(ctx.event("go"), ctx.sleep(0.6))).value
        timer = ctx.sleep(0.2)
        yield ctx.activity("one")
        assert not timer.done
        ctx.continue_as_new("second")
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.output("a")
        fired = [
            event for event in await sidecar.client.history("a") if event.HasField("timerFired")
        ]
        created = [
            event for event in await sidecar.client.history("a") if event.HasField("timerCreated")
        ]
    assert [one.timerFired.fireAt for one in fired] == [one.timerCreated.fireAt for one in created]


@pytest.mark.parametrize("first_id", [0, 1])
@pytest.mark.parity("sharp/20")
async def test_what_asks_carries_its_actions_id(hub: Hub, first_id: int) -> None:
    def flow(ctx: Context):
        yield all_of(ctx.activity("one"), ctx.sleep(0.01), ctx.child("Child"))

    flows = {"Flow": flow, "Child": lambda _: None}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, first_id=first_id):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.output("a")
        events = await sidecar.client.history("a")
    asked = [
        (event.WhichOneof("eventType"), event.eventId) for event in events if event.eventId != -1
    ]
    assert asked == [
        ("taskScheduled", first_id),
        ("timerCreated", first_id + 1),
        ("childWorkflowInstanceCreated", first_id + 2),
        ("executionCompleted", first_id + 3),
    ]


@pytest.mark.parity("sharp/21")
async def test_child_without_an_id_that_fails_without_details(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("one")
        yield ctx.child("Child")

    async def fail(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        failed = pb.CompleteWorkflowAction(workflowStatus=pb.ORCHESTRATION_STATUS_FAILED)
        return pb.WorkflowResponse(
            instanceId=request.instanceId,
            actions=[pb.WorkflowAction(id=0, completeWorkflow=failed)],
        )

    async with hub.sidecar() as sidecar:
        async with sidecar.worker({"Flow": flow}) as worker:
            plain = worker._run_turn

            async def choose(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
                if request.instanceId == "a:0001":
                    return await fail(request)
                worker.raw = None
                try:
                    return await plain(request)
                finally:
                    worker.raw = choose

            worker.raw = choose
            await sidecar.client.start("Flow", "a")
            state = await sidecar.client.finished("a")
        kind = (await sidecar.client.kinds("a"))[-2]
    assert status_name(state.workflowStatus) == "FAILED"
    assert kind == "childWorkflowInstanceFailed"


@pytest.mark.parity("sharp/22")
async def test_continue_as_new_drops_the_actions_before_it(hub: Hub) -> None:
    def flow(ctx: Context):
        if ctx.input == "last":
            return (yield ctx.event("go"))
        ctx.activity("dropped")
        ctx.child("Dropped", instance_id="dropped")
        ctx.continue_as_new("last")
        return None

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.status("a") == "RUNNING"
        await sidecar.client.send("a", "go")
        await sidecar.client.output("a")
        assert await sidecar.client.kinds("a") == [
            *BEGIN, "workflowStarted", "eventRaised", "executionCompleted"
        ]  # fmt: skip
        assert await sidecar.client.ids() == ["a"]
    assert worker.tasks == []
    assert len({request.executionId.value for request in worker.requests}) == 2


@pytest.mark.parity("sharp/23")
async def test_termination_wins_over_whatever_a_worker_answers(hub: Hub) -> None:
    async def stubborn(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        heard = "executionTerminated" in kinds(request.newEvents)
        action = pb.WorkflowAction(id=5)
        if request.instanceId == "loop" and heard:
            action.completeWorkflow.workflowStatus = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
        elif heard:
            action.createTimer.fireAt.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        else:
            return pb.WorkflowResponse(instanceId=request.instanceId)
        return pb.WorkflowResponse(instanceId=request.instanceId, actions=[action])

    async with hub.sidecar() as sidecar, sidecar.worker(raw=stubborn):
        for name in ("loop", "deaf"):
            await sidecar.client.start("Flow", name)
            await sidecar.client.terminate(name, "out")
            state = await sidecar.client.state(name)
            assert status_name(state.workflowStatus) == "TERMINATED"
            assert state.output.value == "out"


@pytest.mark.parity("sharp/33")
async def test_start_event_carries_the_applications_id(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting) as worker:
        await sidecar.client.start("Flow", "a")
    assert worker.requests[0].newEvents[1].router.sourceAppID == APP


@pytest.mark.parity("sharp/44")
async def test_turn_without_custom_status_resets_it(hub: Hub) -> None:
    def flow(ctx: Context):
        ctx.custom_status = "one"
        yield ctx.event("go")
        ctx.custom_status = None
        yield ctx.event("go")

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        assert (await sidecar.client.state("a")).customStatus.value == "one"
        await sidecar.client.send("a", "go")
        async with asyncio.timeout(10):
            while (await sidecar.client.state("a")).HasField("customStatus"):
                await asyncio.sleep(0.01)


@pytest.mark.parity("sharp/44")
async def test_continue_as_new_keeps_the_custom_status_of_its_turn(hub: Hub) -> None:
    async def only_the_first_turn(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        if request.newEvents[1].executionStarted.HasField("input"):
            return None
        again = pb.CompleteWorkflowAction(
            workflowStatus=pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW, result=text("again")
        )
        return pb.WorkflowResponse(
            instanceId=request.instanceId,
            customStatus=text("of the first"),
            actions=[pb.WorkflowAction(id=0, completeWorkflow=again)],
        )

    async with hub.sidecar() as sidecar, sidecar.worker(raw=only_the_first_turn):
        await sidecar.client.start("Flow", "a")
        state = await sidecar.client.state("a")
    assert (state.input.value, state.customStatus.value) == ("again", "of the first")

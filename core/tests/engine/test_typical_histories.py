"""The histories that applications rely on, event by event."""

from __future__ import annotations

from durahub.protocol import messages as pb
from durahub.testing import ManualClock

from . import making
from .hub import finished, history, running, start, store_of
from .making import APP
from .worker import Turn, fan_out, nothing_to_do, sequence, working

BEGIN = ["workflowStarted", "executionStarted"]


async def test_run_without_actions_has_three_events() -> None:
    async with running() as engine, working(engine, nothing_to_do):
        await start(engine, "a", value="")
        state = await finished(engine, "a")
        events = await history(engine, "a")
    assert making.kinds(events) == [*BEGIN, "executionCompleted"]
    assert [event.eventId for event in events] == [-1, -1, 99]
    assert events[1].router.sourceAppID == events[2].router.sourceAppID == APP
    assert not events[0].HasField("router")
    assert (state.output.value, state.HasField("input"), state.input.value) == ("done", True, "")


async def test_run_with_one_activity_has_six_events() -> None:
    async with running() as engine, working(engine, sequence(1)):
        await start(engine, "a")
        await finished(engine, "a")
        events = await history(engine, "a")
    assert making.kinds(events) == [
        *BEGIN,
        "taskScheduled",
        "workflowStarted",
        "taskCompleted",
        "executionCompleted",
    ]
    assert [event.eventId for event in events] == [-1, -1, 0, -1, -1, 1]
    assert {event.router.sourceAppID for event in events[1:3] + events[4:]} == {APP}


async def test_run_with_three_activities_has_twelve_events() -> None:
    async with running() as engine, working(engine, sequence(3)):
        await start(engine, "a")
        state = await finished(engine, "a")
        events = await history(engine, "a")
    step = ["taskScheduled", "workflowStarted", "taskCompleted"]
    assert making.kinds(events) == [*BEGIN, *step, *step, *step, "executionCompleted"]
    assert state.output.value == "0,1,2"


def with_child(turn: Turn) -> list[pb.WorkflowAction]:
    if turn.resolved:
        return [making.complete("over")]
    return [making.child(0)]


async def test_run_with_a_child_has_six_events_on_both_sides_together() -> None:
    flows = {"Flow": with_child, "Child": nothing_to_do}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        await finished(engine, "a")
        parent, child = await history(engine, "a"), await history(engine, "a:0000")
        seen = await finished(engine, "a:0000")
    assert making.kinds(parent) == [
        *BEGIN,
        "childWorkflowInstanceCreated",
        "workflowStarted",
        "childWorkflowInstanceCompleted",
        "executionCompleted",
    ]
    assert parent[4].childWorkflowInstanceCompleted.result.value == "done"
    assert making.kinds(child) == [*BEGIN, "executionCompleted"]
    assert (seen.parentInstanceId.value, seen.parentAppId.value) == ("a", APP)


def counting(turn: Turn) -> list[pb.WorkflowAction]:
    count = int(turn.input)
    if count == 3:
        return [making.complete(str(count))]
    return [making.schedule(7), making.continue_as_new(str(count + 1))]


async def test_run_that_continues_as_new_keeps_the_last_generation_only() -> None:
    async with running() as engine, working(engine, counting) as worker:
        await start(engine, "a", value="0")
        state = await finished(engine, "a")
        events = await history(engine, "a")
        executions = [request.executionId.value for request in worker.requests]
    assert making.kinds(events) == [*BEGIN, "executionCompleted"]
    assert state.output.value == "3"
    assert state.input.value == "3"
    assert len(set(executions)) == 4
    assert state.executionId.value == executions[-1]
    assert not worker.tasks


async def test_run_with_a_timer_has_six_events() -> None:
    clock = ManualClock()

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.resolved:
            return [making.complete()]
        return [making.sleep(1, clock.now() + making.SECOND)]

    async with running(clock=clock) as engine, working(engine, flow):
        await start(engine, "a")
        clock.advance(making.SECOND)
        state = await finished(engine, "a")
        events = await history(engine, "a")
    assert making.kinds(events) == [
        *BEGIN,
        "timerCreated",
        "workflowStarted",
        "timerFired",
        "executionCompleted",
    ]
    assert events[4].timerFired.fireAt == events[2].timerCreated.fireAt
    assert events[4].timerFired.timerId == 1
    assert not events[4].HasField("router")
    assert not state.HasField("output")


async def test_run_of_many_activities_leaves_nothing_behind_but_the_instance() -> None:
    async with running() as engine, working(engine, fan_out(10)):
        await start(engine, "a")
        await finished(engine, "a")
        store = store_of(engine)
        assert store.tasks == {}
        assert [len(row.inbox) + len(row.timers) for row in store.instances.values()] == [0]
        assert all(row.owner is None for row in store.instances.values())
        assert engine._dispatcher._by_name == {}
        assert engine._watchers._waiting == {}
        assert engine._residents._kept == {}

"""Reruns: what is done again, under which ids and with which input, and what is left as it was."""

from __future__ import annotations

import asyncio

import pytest
from durahub.errors import InstanceExistsError
from durahub.protocol import messages as pb

from . import making
from .hub import (
    finished,
    get,
    history,
    rerun,
    row,
    running,
    start,
    suspend,
    tell,
    terminate,
    until,
)
from .making import FOREVER, NOW, text
from .rerunning import check, done, scheduled
from .worker import Turn, fan_out, sequence, working


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("event_id", range(5))
async def test_rerun_of_a_sequence_does_exactly_what_is_not_before_the_target(
    event_id: int, *, stateful: bool
) -> None:
    async with running() as engine, working(engine, sequence(5), stateful=stateful) as worker:
        await start(engine, "old", value="in")
        before = (await finished(engine, "old"), await history(engine, "old"))
        assert await rerun(engine, "old", event_id, "new") == "new"
        events = await check(engine, "new", "0,1,2,3,4")
        assert done(worker, "new") == list(range(event_id, 5))
        assert (await finished(engine, "old"), await history(engine, "old")) == before
    step = ["taskScheduled", "workflowStarted", "taskCompleted"]
    kept = ["workflowStarted", "taskScheduled", "taskCompleted"]
    begin = ["workflowStarted", "executionStarted"]
    last = "executionCompleted"
    if event_id == 0:
        assert making.kinds(events) == [*begin, *step * 5, last]
    else:
        kinds = making.kinds(events)
        copied = 2 + 3 * event_id
        # Of the copied schedules each stands behind the opening of the turn that took its result.
        assert kinds[:copied] == [*begin, *kept * event_id]
        assert kinds[copied:] == [*step * (5 - event_id), last]


async def test_rerun_of_a_fan_out_does_all_again_that_was_open_at_the_target() -> None:
    async with running() as engine, working(engine, fan_out(4)) as worker:
        await start(engine, "old")
        await finished(engine, "old")
        await rerun(engine, "old", 1, "new")
        await check(engine, "new", "0,1,2,3")
        assert done(worker, "new") == [0, 1, 2, 3]


async def test_rerun_without_an_id_gets_one() -> None:
    async with running() as engine, working(engine, sequence(1)):
        await start(engine, "old")
        await finished(engine, "old")
        found = {await rerun(engine, "old", 0), await rerun(engine, "old", 0, "")}
        assert len(found) == 2
        for instance_id in found:
            await check(engine, instance_id, "0")


async def test_rerun_keeps_name_input_version_and_tags() -> None:
    request = pb.CreateInstanceRequest(
        instanceId="old", name="Flow", input=text("in"), version=text("v1"), tags={"a": "b"}
    )
    async with running() as engine, working(engine, sequence(1)):
        await engine.client.start(request)
        await finished(engine, "old")
        await rerun(engine, "old", 0, "new")
        events = await check(engine, "new", "0")
        old, new = (await get(engine, "old")).workflowState, await finished(engine, "new")
    assert (new.name, new.input.value, new.version.value) == ("Flow", "in", "v1")
    assert dict(new.tags) == {"a": "b"}
    assert new.executionId.value != old.executionId.value
    started = events[1].executionStarted.workflowInstance
    assert (started.instanceId, started.executionId) == ("old", old.executionId)


async def test_rerun_after_a_timer_fires_it_once_more() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        actions = [making.sleep(0, NOW)]
        if 0 in turn.resolved:
            actions.append(making.schedule(1, value="x"))
        if 1 in turn.resolved and turn.raised():
            actions.append(making.complete("over"))
        return actions

    async with running() as engine, working(engine, flow) as worker:
        await start(engine, "old")
        await tell(engine, "old", "go")
        await finished(engine, "old")
        await rerun(engine, "old", 1, "new")
        await until(lambda: not row(engine, "new").timers)
        await until(lambda: worker.tasks[-1].workflowInstance.instanceId == "new")
        await tell(engine, "new", "go")
        events = await check(engine, "new", "over")
        assert done(worker, "new") == [1]
    kinds = making.kinds(events)
    assert kinds.count("timerFired") == 2
    assert kinds.count("timerCreated") == 1
    first, second = (at for at, kind in enumerate(kinds) if kind == "timerFired")
    assert first < kinds.index("timerCreated") < second
    assert scheduled(events, 0).timerCreated.fireAt == making.sleep(0, NOW).createTimer.fireAt


async def test_rerun_from_a_timer_fires_it_again() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete("over")] if turn.resolved else [making.sleep(0, NOW)]

    async with running() as engine, working(engine, flow):
        await start(engine, "old")
        await finished(engine, "old")
        await rerun(engine, "old", 0, "new")
        events = await check(engine, "new", "over")
    assert scheduled(events, 0).timerCreated.rerunParentInstanceInfo.instanceID == "old"
    assert making.kinds(events).count("timerFired") == 1


async def test_rerun_of_a_failed_instance_goes_on_from_where_it_failed() -> None:
    is_mended = False

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if 1 in turn.resolved and not is_mended:
            return [making.complete(number=2, status=pb.ORCHESTRATION_STATUS_FAILED)]
        return list(sequence(3)(turn))

    async with running() as engine, working(engine, flow) as worker:
        await start(engine, "old")
        state = await finished(engine, "old")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
        is_mended = True
        await rerun(engine, "old", 1, "new")
        await check(engine, "new", "0,1,2")
        assert done(worker, "new") == [1, 2]


async def test_rerun_of_a_terminated_instance_waits_for_what_it_is_told() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        heard = turn.raised("go")
        actions = [making.schedule(0), making.sleep(1, FOREVER, "go")]
        return [*actions, making.complete(",".join(heard))] if len(heard) == 2 else actions

    async with running() as engine, working(engine, flow) as worker:
        await start(engine, "old")
        await tell(engine, "old", "go", "lost")
        await suspend(engine, "old")
        await terminate(engine, "old")
        await rerun(engine, "old", 1, "new")
        state = (await get(engine, "new")).workflowState
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_RUNNING
        await tell(engine, "new", "GO", "other")
        await tell(engine, "new", "go", "1")
        await tell(engine, "new", "go", "2")
        await check(engine, "new", "1,2")
        assert done(worker, "new") == [0]


async def test_rerun_keeps_events_that_were_raised_before_the_target() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.raised("go"):
            return [making.sleep(0, FOREVER, "go")]
        result = making.complete(turn.raised("go")[0])
        return [result] if 1 in turn.resolved else [making.schedule(1)]

    async with running() as engine, working(engine, flow):
        await start(engine, "old")
        await tell(engine, "old", "go", "kept")
        await finished(engine, "old")
        await rerun(engine, "old", 1, "new")
        await check(engine, "new", "kept")


async def test_rerun_ten_times_gives_ten_instances() -> None:
    async with running() as engine, working(engine, sequence(3)) as worker:
        await start(engine, "old")
        await finished(engine, "old")
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(rerun(engine, "old", 1, str(number)))
        for number in range(10):
            await check(engine, str(number), "0,1,2")
            assert done(worker, str(number)) == [1, 2]


async def test_rerun_ten_times_under_one_id_gives_one_instance() -> None:
    async with running() as engine, working(engine, sequence(3)) as worker:
        await start(engine, "old")
        await finished(engine, "old")
        calls = [rerun(engine, "old", 1, "new") for _ in range(10)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers.count("new") == 1
        assert sum(isinstance(answer, InstanceExistsError) for answer in answers) == 9
        await check(engine, "new", "0,1,2")
        assert done(worker, "new") == [1, 2]


async def test_rerun_of_a_rerun_goes_on_from_there() -> None:
    async with running() as engine, working(engine, sequence(4)) as worker:
        await start(engine, "1")
        await finished(engine, "1")
        await rerun(engine, "1", 2, "2")
        await check(engine, "2", "0,1,2,3")
        await rerun(engine, "2", 1, "3")
        await check(engine, "3", "0,1,2,3")
        await rerun(engine, "3", 3, "4")
        events = await check(engine, "4", "0,1,2,3")
        assert [done(worker, name) for name in "1234"] == [[0, 1, 2, 3], [2, 3], [1, 2, 3], [3]]
    parent = scheduled(events, 3).taskScheduled.rerunParentInstanceInfo
    assert parent.instanceID == "3"


async def test_rerun_of_a_later_generation_begins_with_its_history() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.resolved:
            return [making.schedule(0, value=turn.input)]
        if turn.input == "1":
            return [making.continue_as_new("2")]
        return [making.complete(turn.input)]

    async with running() as engine, working(engine, flow) as worker:
        await start(engine, "old", value="1")
        await check(engine, "old", "2")
        await rerun(engine, "old", 0, "new")
        await check(engine, "new", "2")
        assert [task.input.value for task in worker.tasks] == ["1", "2", "2"]


async def test_rerun_may_continue_as_new() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.resolved:
            return [making.schedule(0, value=turn.input)]
        data = turn.resolved[0].taskCompleted.result.value
        return [making.complete(data)] if data == "3" else [making.continue_as_new("3")]

    async with running() as engine, working(engine, flow):
        await start(engine, "old", value="3")
        await check(engine, "old", "3")
        await rerun(engine, "old", 0, "new", input=text("1"), overwriteInput=True)
        events = await check(engine, "new", "3")
    assert events[1].executionStarted.workflowInstance.instanceId == "new"

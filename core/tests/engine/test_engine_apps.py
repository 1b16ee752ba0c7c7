"""Several applications on one hub: routed work is told to whom it concerns, and read by nobody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.clock import SystemClock
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.testing import MemoryStore

from . import making
from .hub import FOR_EVER, WatchedBackend, finished, history, running, settled, start, tell, until
from .worker import Turn, Worker, nothing_to_do, sequence, waiting_for, working

OTHER = "other"
AT_ONCE_S = 2


def routed(*actions: pb.WorkflowAction, app: str = OTHER) -> list[pb.WorkflowAction]:
    for action in actions:
        action.router.targetAppID = app
    return list(actions)


def elsewhere(turn: Turn) -> list[pb.WorkflowAction]:
    """Return the result of an activity of the other application."""
    return [
        action if action.HasField("completeWorkflow") else routed(action)[0]
        for action in sequence(1)(turn)
    ]


async def test_result_of_an_activity_says_how_the_activity_was_routed() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as mine,
        running(WatchedBackend(store), app_id=OTHER) as other,
        working(mine, {"Flow": elsewhere, "Here": sequence(1)}),
        working(other, {}),
    ):
        for name in ("Flow", "Here"):
            await start(mine, name, name)
            await finished(mine, name)
        (away,) = [e.router for e in await history(mine, "Flow") if e.HasField("taskCompleted")]
        assert (away.sourceAppID, away.targetAppID) == (making.APP, OTHER)
        (here,) = [e.router for e in await history(mine, "Here") if e.HasField("taskCompleted")]
        assert here.sourceAppID == making.APP
        assert not here.HasField("targetAppID")


async def test_changes_that_no_call_waits_for_are_not_read() -> None:
    store = MemoryStore()
    bystander = WatchedBackend(store)
    async with (
        running(WatchedBackend(store)) as mine,
        running(bystander, app_id=OTHER, safety_poll=FOR_EVER),
        working(mine, nothing_to_do),
    ):
        for number in range(20):
            await start(mine, str(number))
        await settled()
        assert bystander.calls["get"] == 0


@pytest.mark.parametrize("how", ["client", "detached"])
async def test_start_that_another_application_schedules_happens_in_time(how: str) -> None:
    """By hint: nobody polls, and nothing else happens in the other application."""
    store = MemoryStore()
    start_at = SystemClock().now() + timedelta(seconds=0.4)

    def spawning(_: Turn) -> list[pb.WorkflowAction]:
        detached = making.detached(0, "late", "Late")
        detached.createDetachedWorkflow.scheduledStartTimestamp.CopyFrom(to_timestamp(start_at))
        return [*routed(detached), making.complete()]

    async with (
        running(WatchedBackend(store), safety_poll=FOR_EVER) as mine,
        running(WatchedBackend(store), app_id=OTHER, safety_poll=FOR_EVER) as other,
        working(mine, spawning),
        working(other, {"Late": nothing_to_do}),
    ):
        if how == "client":
            request = pb.CreateInstanceRequest(instanceId="late", name="Late")
            request.scheduledStartTimestamp.CopyFrom(to_timestamp(start_at))
            request.router.targetAppID = OTHER
            await mine.client.start(request)
        else:
            await start(mine, "a")
            await finished(mine, "a")
        async with asyncio.timeout(AT_ONCE_S):
            state = await finished(other, "late")
        assert state.startedAt.ToDatetime(start_at.tzinfo) >= start_at


async def answer(worker: Worker, item: pb.WorkItem, result: str, *, token: bool) -> None:
    request = item.activityRequest
    await worker.engine.complete_activity(
        pb.ActivityResponse(
            instanceId=request.workflowInstance.instanceId,
            taskId=request.taskId,
            result=making.text(result),
            completionToken=item.completionToken if token else "",
        )
    )


async def start_alike(engine: Engine, value: str) -> None:
    """Start an instance whose id and activity have the same names in every application."""
    await start(engine, "order-1", value=value)


def one_elsewhere(turn: Turn) -> list[pb.WorkflowAction]:
    if turn.resolved:
        return [making.complete(turn.resolved[0].taskCompleted.result.value)]
    return routed(making.schedule(0, value=turn.input))


@pytest.mark.parametrize("reverse", [False, True])
async def test_answers_without_tokens_reach_the_right_one_of_two_applications(
    *, reverse: bool
) -> None:
    """Both sent an activity of the same name; old SDKs name nothing but instance and task."""
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), app_id="one") as one,
        running(WatchedBackend(store), app_id="two") as two,
        running(WatchedBackend(store), app_id=OTHER) as other,
        working(one, one_elsewhere),
        working(two, one_elsewhere),
        working(other, {}, silent=True) as worker,
    ):
        for engine, value in [(one, "1"), (two, "2")][:: -1 if reverse else 1]:
            await start_alike(engine, value)
        await until(lambda: len(worker.items) == 1)
        await settled()
        for number in range(2):
            await until(lambda count=number: len(worker.items) > count)
            item = worker.items[number]
            await answer(worker, item, f"of {item.activityRequest.input.value}", token=False)
        assert (await finished(one, "order-1")).output.value == "of 1"
        assert (await finished(two, "order-1")).output.value == "of 2"


async def test_answers_with_tokens_may_come_in_any_order() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), app_id="one") as one,
        running(WatchedBackend(store), app_id="two") as two,
        running(WatchedBackend(store), app_id=OTHER) as other,
        working(one, one_elsewhere),
        working(two, one_elsewhere),
        working(other, {}, silent=True, stateful=True) as worker,
    ):
        await start_alike(one, "1")
        await start_alike(two, "2")
        await until(lambda: len(worker.items) == 2)
        for item in reversed(worker.items):
            await answer(worker, item, f"of {item.activityRequest.input.value}", token=True)
        assert (await finished(one, "order-1")).output.value == "of 1"
        assert (await finished(two, "order-1")).output.value == "of 2"


async def test_worker_that_has_returned_a_token_gets_equal_names_together() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), app_id="one") as one,
        running(WatchedBackend(store), app_id="two") as two,
        running(WatchedBackend(store), app_id=OTHER) as other,
        working(one, one_elsewhere),
        working(two, one_elsewhere),
        working(other, waiting_for(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        call = group.create_task(start(other, "own"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await call
        await start_alike(one, "1")
        await start_alike(two, "2")
        await until(lambda: len(worker.tasks) == 2)
        for item in worker.items[1:]:
            await answer(worker, item, "done", token=True)
        await finished(one, "order-1")
        await finished(two, "order-1")
        await tell(other, "own", "go")

"""Activities: each result once, acknowledged when durable, whatever the worker answers how often."""

from __future__ import annotations

import asyncio

import pytest
from durahub.backend import CommitActivity
from durahub.protocol import messages as pb
from durahub.types import InstanceKey

from . import making
from .hub import WatchedBackend, finished, history, running, settled, start, store_of, until
from .worker import Turn, Worker, echo, fan_out, results, sequence, working


def answer_to(item: pb.WorkItem, result: str, token: str | None = None) -> pb.ActivityResponse:
    request = item.activityRequest
    return pb.ActivityResponse(
        instanceId=request.workflowInstance.instanceId,
        taskId=request.taskId,
        result=making.text(result),
        completionToken=item.completionToken if token is None else token,
    )


async def test_run_in_sequence_and_in_parallel_gives_results_in_order() -> None:
    flows = {"Flow": sequence(5), "Wide": fan_out(20)}
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "a")
        await start(engine, "b", "Wide")
        assert (await finished(engine, "a")).output.value == "0,1,2,3,4"
        assert (await finished(engine, "b")).output.value == ",".join(map(str, range(20)))
        assert len(worker.tasks) == 25


async def test_run_with_a_thousand_activities_reads_nothing_back() -> None:
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, fan_out(1000)) as worker:
        await start(engine, "a")
        state = await finished(engine, "a")
        assert state.output.value == ",".join(map(str, range(1000)))
        assert len(worker.tasks) == 1000
        assert backend.calls["history"] == 0
        events = making.kinds(await history(engine, "a"))
        assert events.count("taskCompleted") == events.count("taskScheduled") == 1000
        assert len(backend.batches) < 100


async def test_complete_activity_returns_after_the_result_is_durable() -> None:
    backend = WatchedBackend()
    gate = asyncio.Event()

    async def hold(name: str) -> None:
        if name == "apply" and any(isinstance(op, CommitActivity) for op in backend.batches[-1]):
            await gate.wait()

    async with (
        running(backend) as engine,
        working(engine, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await until(lambda: len(worker.items) == 2)
        backend.before = hold
        first = group.create_task(worker.answer(worker.items[1]))
        again = group.create_task(engine.complete_activity(answer_to(worker.items[1], "late")))
        await until(lambda: any(isinstance(op, CommitActivity) for op in backend.batches[-1]))
        await settled()
        assert not first.done()
        assert not again.done()
        gate.set()
        await asyncio.gather(first, again)
        inbox = store_of(engine).instances[InstanceKey(making.APP, "a")].inbox
        assert len(inbox) == 1 or len(worker.items) == 3
        await until(lambda: len(worker.items) == 3)
        await worker.answer(worker.items[2])
        assert (await finished(engine, "a")).output.value == "0"


async def test_complete_activity_of_a_cancelled_call_leaves_the_other_waiting() -> None:
    async with running() as engine, working(engine, sequence(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        await until(lambda: len(worker.items) == 2)
        async with asyncio.TaskGroup() as group:
            one = group.create_task(worker.answer(worker.items[1]))
            two = group.create_task(worker.answer(worker.items[1]))
            await asyncio.sleep(0)
            one.cancel()
            await two
        await until(lambda: len(worker.items) == 3)


async def test_complete_activity_of_nothing_in_flight_returns() -> None:
    async with running() as engine, asyncio.timeout(10):
        await engine.complete_activity(pb.ActivityResponse(instanceId="a", taskId=1))
        await engine.complete_workflow(pb.WorkflowResponse(instanceId="a"))
        await engine.complete_workflow(
            pb.WorkflowResponse(instanceId="a", completionToken="of another life")
        )


async def test_complete_activity_of_an_unnamed_instance_warns_and_is_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running() as engine,
        working(engine, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await until(lambda: len(worker.tasks) == 1)
        unnamed = answer_to(worker.items[1], "whose?", token="")
        unnamed.instanceId = ""
        await engine.complete_activity(unnamed)
        (record,) = caplog.records
        assert (record.levelname, record.__dict__["task_id"]) == ("WARNING", unnamed.taskId)
        assert "names no instance" in record.getMessage()
        await settled()
        assert len(worker.requests) == 1
        await worker.answer(worker.items[1])
        await until(lambda: len(worker.requests) == 2)
        await worker.answer(worker.items[2])
        assert (await finished(engine, "a")).output.value == "0"


async def test_complete_activity_with_a_wrong_token_is_ignored_and_the_right_one_counts() -> None:
    async with running() as engine, working(engine, sequence(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0], token="stale")
            await settled()
            assert len(worker.items) == 1
            await worker.answer(worker.items[0])
        await until(lambda: len(worker.items) == 2)
        await engine.complete_activity(answer_to(worker.items[1], "wrong", "stale"))
        await engine.complete_activity(answer_to(worker.items[1], "right"))
        await until(lambda: len(worker.items) == 3)
        await worker.answer(worker.items[2])
        assert (await finished(engine, "a")).output.value == "right"


async def test_complete_without_a_token_counts_as_old_workers_need_it() -> None:
    async with running() as engine, working(engine, sequence(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0], token="")
        await until(lambda: len(worker.items) == 2)
        await worker.answer(worker.items[1], token="")
        await until(lambda: len(worker.items) == 3)
        await worker.answer(worker.items[2], token="")
        assert (await finished(engine, "a")).output.value == "0"


async def test_fail_of_an_activity_reaches_the_workflow_word_for_word() -> None:
    details = pb.TaskFailureDetails(errorType="Boom", errorMessage="", isNonRetriable=True)
    details.innerFailure.errorType = "Inner"

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.resolved:
            action = making.schedule(0)
            action.scheduleTask.taskExecutionId = "t-0"
            return [action]
        failed = turn.resolved[0].taskFailed
        assert failed.taskExecutionId == "t-0"
        ending = making.complete(status=pb.ORCHESTRATION_STATUS_FAILED)
        ending.completeWorkflow.failureDetails.CopyFrom(failed.failureDetails)
        return [ending]

    async with running() as engine, working(engine, flow, silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        await until(lambda: len(worker.items) == 2)
        failed = answer_to(worker.items[1], "")
        failed.ClearField("result")
        failed.failureDetails.CopyFrom(details)
        await engine.complete_activity(failed)
        await until(lambda: len(worker.items) == 3)
        await worker.answer(worker.items[2])
        state = await finished(engine, "a")
        assert state.failureDetails == details
        assert not state.HasField("output")


async def test_run_of_an_unawaited_activity_goes_on_after_the_end() -> None:
    gate = asyncio.Event()

    async def slow(request: pb.ActivityRequest) -> str | None:
        await gate.wait()
        return await echo(request)

    def flow(_: Turn) -> list[pb.WorkflowAction]:
        return [making.schedule(0), making.complete("over")]

    async with running() as engine, working(engine, flow, slow) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        await until(lambda: len(worker.tasks) == 1)
        gate.set()
        await until(lambda: not store_of(engine).tasks)
        assert len(await history(engine, "a")) == 4


async def test_run_again_with_a_late_result_of_the_last_run_takes_its_own() -> None:
    """Both generations have a task 0 in flight at once; tokens tell them apart."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input == "first":
            return [making.schedule(0, value="old"), making.complete()]
        if turn.resolved:
            return [making.complete(",".join(results(turn)))]
        return [making.schedule(0, value="new")]

    async with running() as engine, working(engine, flow, silent=True) as worker:

        async def begin(value: str, expected: int) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(start(engine, "a", value=value))
                await until(lambda: len(worker.requests) == expected)
                await answer_last_turn(worker)

        await begin("first", 1)
        await until(lambda: len(worker.tasks) == 1)
        await begin("second", 2)
        await until(lambda: len(worker.tasks) == 2)
        old, new = (item for item in worker.items if item.HasField("activityRequest"))
        await engine.complete_activity(answer_to(old, "old"))
        await settled()
        assert len(worker.requests) == 2
        await engine.complete_activity(answer_to(new, "new"))
        await until(lambda: len(worker.requests) == 3)
        await answer_last_turn(worker)
        assert (await finished(engine, "a")).output.value == "new"


async def answer_last_turn(worker: Worker) -> None:
    turns = [item for item in worker.items if item.HasField("workflowRequest")]
    await worker.answer(turns[-1])

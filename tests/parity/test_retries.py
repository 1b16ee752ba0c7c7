"""What a workflow's SDK tries again: activities and children that have failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from dapr.ext.workflow._durabletask.task import RetryPolicy, when_all
from durahub.protocol import messages as pb

from tests.parity.flows import Call, Context, TaskFailed
from tests.parity.hub import Hub
from tests.parity.python_sdk import replayed_by_sdk

BEGIN = ["workflowStarted", "executionStarted"]
PAUSE = timedelta(milliseconds=20)


def retried(attempts: int) -> RetryPolicy:
    return RetryPolicy(first_retry_interval=PAUSE, max_number_of_attempts=attempts)


class Flaky:
    """An activity that fails its first attempts.

    Attributes:
        failures: How many, by input.
        attempts: How many there were, by input.
    """

    def __init__(self, failures: dict[str, int]) -> None:
        self.failures = failures
        self.attempts: Counter[str] = Counter()

    async def __call__(self, request: pb.ActivityRequest) -> str:
        key = request.input.value
        self.attempts[key] += 1
        if self.attempts[key] <= self.failures.get(key, 0):
            raise ValueError(f"attempt {self.attempts[key]} of {key} fails")
        return key


def with_retries(ctx: Any, attempts: int):
    return (yield ctx.call_activity("work", input="x", retry_policy=retried(attempts)))


@pytest.mark.parity("retries/default", "taskexecutionid/single")
async def test_activity_is_tried_again_after_timers(hub: Hub) -> None:
    flaky = Flaky({'"x"': 2})
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, flaky, raw=replayed_by_sdk({"Flow": with_retries})) as worker,
    ):
        await sidecar.client.start("Flow", "a", "3")
        assert await sidecar.client.output("a") == '"x"'
        events = await sidecar.client.history("a")
    attempt = ["taskScheduled", "workflowStarted", "taskFailed"]
    pause = ["timerCreated", "workflowStarted", "timerFired"]
    assert [event.WhichOneof("eventType") for event in events] == [
        *BEGIN,
        *attempt,
        *pause,
        *attempt,
        *pause,
        *["taskScheduled", "workflowStarted", "taskCompleted"],
        "executionCompleted",
    ]
    (execution_id,) = {task.taskExecutionId for task in worker.tasks}
    assert execution_id
    timers = [event.timerCreated for event in events if event.HasField("timerCreated")]
    assert [timer.activityRetry.taskExecutionId for timer in timers] == [execution_id] * 2
    named = [
        getattr(event, kind).taskExecutionId
        for event in events
        for kind in ("taskScheduled", "taskFailed", "taskCompleted")
        if event.HasField(kind)
    ]
    assert named == [execution_id] * 6
    assert [task.taskId for task in worker.tasks] == [1, 3, 5]


@pytest.mark.parity("retries/default")
async def test_activity_that_fails_every_attempt_fails_the_workflow(hub: Hub) -> None:
    flaky = Flaky({'"x"': 9})
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, flaky, raw=replayed_by_sdk({"Flow": with_retries})) as worker,
    ):
        await sidecar.client.start("Flow", "a", "3")
        state = await sidecar.client.finished("a")
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_FAILED
    assert 'attempt 3 of "x" fails' in state.failureDetails.errorMessage
    assert len(worker.tasks) == 3


@pytest.mark.parity("taskexecutionid/parallel")
async def test_parallel_calls_keep_their_task_execution_ids(hub: Hub) -> None:
    def flow(ctx: Any, _: Any):
        calls = [ctx.call_activity("work", input=one, retry_policy=retried(3)) for one in "abc"]
        return (yield when_all(calls))

    flaky = Flaky({'"a"': 1, '"b"': 2})
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, flaky, raw=replayed_by_sdk({"Flow": flow})) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == '["a", "b", "c"]'
    names = {(task.input.value, task.taskExecutionId) for task in worker.tasks}
    assert len({execution_id for _, execution_id in names}) == len(names) == 3
    assert len(worker.tasks) == 6


# Children of an SDK that gives every attempt an id of its own


def failing_until(ctx: Context):
    """Fail unless the activity succeeds."""
    return (yield ctx.activity("work", ctx.input))


def attempted(ctx: Context, value: str, first_id: str, attempts: int) -> Generator[Call, Any, Any]:
    """Run a child, and in case of failure others that point to it, each under its own default id."""
    call = ctx.child("Child", value, instance_id=first_id)
    for attempt in range(attempts):
        try:
            return (yield call)
        except TaskFailed:
            if attempt + 1 == attempts:
                raise
            origin = pb.TimerOriginChildWorkflowRetry(instanceId=first_id)
            yield ctx.sleep(PAUSE.total_seconds(), childWorkflowRetry=origin)
            first = pb.RetryParentInstanceInfo(instanceID=first_id)
            call = ctx.child("Child", value, retryParentInstanceInfo=first)
    return None


def chain_of(events: list[pb.HistoryEvent]) -> list[tuple[str, str]]:
    """Return the children in a history, and what each points to."""
    created = [
        event.childWorkflowInstanceCreated
        for event in events
        if event.HasField("childWorkflowInstanceCreated")
    ]
    return [(one.instanceId, one.retryParentInstanceInfo.instanceID) for one in created]


def retry_timers(events: list[pb.HistoryEvent]) -> list[str]:
    """Return for which children there were pauses."""
    return [
        event.timerCreated.childWorkflowRetry.instanceId
        for event in events
        if event.timerCreated.HasField("childWorkflowRetry")
    ]


@pytest.mark.parity("retries/childworkflow")
async def test_child_is_tried_again_under_another_id(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield from attempted(ctx, "x", "a:0000", 3))

    flows = {"Flow": flow, "Child": failing_until}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, Flaky({"x": 1})):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "x"
        events = await sidecar.client.history("a")
        assert chain_of(events) == [("a:0000", ""), ("a:0002", "a:0000")]
        assert retry_timers(events) == ["a:0000"]
        assert await sidecar.client.status("a:0000") == "FAILED"
        assert await sidecar.client.output("a:0002") == "x"


@pytest.mark.parity("retries/childworkflowdistinct")
async def test_many_attempts_have_distinct_ids(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield from attempted(ctx, "x", "first", 5))

    flows = {"Flow": flow, "Child": failing_until}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, Flaky({"x": 4})):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "x"
        events = await sidecar.client.history("a")
        chain = chain_of(events)
        later = ["a:0002", "a:0004", "a:0006", "a:0008"]
        assert chain == [("first", ""), *((one, "first") for one in later)]
        assert retry_timers(events) == ["first"] * 4
        statuses = [await sidecar.client.status(instance_id) for instance_id, _ in chain]
        assert statuses == ["FAILED"] * 4 + ["COMPLETED"]
        messages = [
            event.childWorkflowInstanceFailed.failureDetails.errorMessage
            for event in events
            if event.HasField("childWorkflowInstanceFailed")
        ]
        assert messages == [f"attempt {number} of x fails" for number in range(1, 5)]


@pytest.mark.parity("retries/childworkflowsequential")
async def test_children_in_sequence_are_each_tried_again(hub: Hub) -> None:
    def flow(ctx: Context):
        one = yield from attempted(ctx, "x", "one", 3)
        two = yield from attempted(ctx, "y", "two", 3)
        return one + two

    flows = {"Flow": flow, "Child": failing_until}
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(flows, Flaky({"x": 1, "y": 2})) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "xy"
        events = await sidecar.client.history("a")
    assert [first for _, first in chain_of(events)] == ["", "one", "", "two", "two"]
    assert retry_timers(events) == ["one", "two", "two"]
    assert [task.input.value for task in worker.tasks] == list("xxyyy")


# Children of the Python SDK


def parallel_children(ctx: Any, names: str):
    calls = [
        ctx.call_sub_orchestrator("Child", input=one, retry_policy=retried(3)) for one in names
    ]
    return (yield when_all(calls))


def child_of_sdk(ctx: Any, name: str):
    return (yield ctx.call_activity("work", input=name))


SDK_FLOWS = replayed_by_sdk({"Flow": parallel_children, "Child": child_of_sdk})


@pytest.mark.parity("retries/childworkflow-sameid")
async def test_child_is_tried_again_under_the_same_id(hub: Hub) -> None:
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, Flaky({'"x"': 2}), raw=SDK_FLOWS),
    ):
        await sidecar.client.start("Flow", "a", '"x"')
        assert await sidecar.client.output("a") == '["x"]'
        events = await sidecar.client.history("a")
        assert await sidecar.client.ids() == ["a", "a:0001"]
        assert await sidecar.client.status("a:0001") == "COMPLETED"
        assert len(await sidecar.client.history("a:0001")) == 6
    assert chain_of(events) == [("a:0001", "")] * 3
    assert retry_timers(events) == ["a:0001"] * 2


@pytest.mark.parity("retries/childworkflowparallel")
async def test_parallel_children_are_tried_again_independently(hub: Hub) -> None:
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, Flaky({'"x"': 2, '"y"': 2}), raw=SDK_FLOWS),
    ):
        await sidecar.client.start("Flow", "a", '"xy"')
        assert await sidecar.client.output("a") == '["x", "y"]'
        events = await sidecar.client.history("a")
    assert Counter(retry_timers(events)) == {"a:0001": 2, "a:0002": 2}
    assert Counter(instance_id for instance_id, _ in chain_of(events)) == {
        "a:0001": 3,
        "a:0002": 3,
    }


@pytest.mark.parity("retries/childworkflowparallelmixed")
async def test_only_children_that_fail_are_tried_again(hub: Hub) -> None:
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(None, Flaky({'"y"': 1}), raw=SDK_FLOWS) as worker,
    ):
        await sidecar.client.start("Flow", "a", '"xyz"')
        assert await sidecar.client.output("a") == '["x", "y", "z"]'
        events = await sidecar.client.history("a")
    assert retry_timers(events) == ["a:0002"]
    assert Counter(task.input.value for task in worker.tasks) == {'"x"': 1, '"y"': 2, '"z"': 1}

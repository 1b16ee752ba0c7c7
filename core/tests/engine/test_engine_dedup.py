"""Resolutions planted straight into the store: repeated, late, early, and of nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from durahub.backend import Deliver, Delivered, Message, Session
from durahub.engine import Engine
from durahub.engine.draft import batch_of
from durahub.engine.state import resolved_wait
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.types import AppId, ExecutionId, InstanceKey, SessionId

from . import making
from .hub import (
    WatchedBackend,
    finished,
    history,
    row,
    running,
    start,
    store_of,
    tell,
    until,
)
from .making import APP
from .worker import Turn, Worker, Workflow, nothing_to_do, working

Resolution = Callable[[int], pb.HistoryEvent]

DAY = timedelta(days=1)
FAILED = pb.TaskFailureDetails(errorType="Planted")


def task_completed(number: int) -> pb.HistoryEvent:
    return making.task_completed(number, "planted")


def task_failed(number: int) -> pb.HistoryEvent:
    body = pb.TaskFailedEvent(taskScheduledId=number, failureDetails=FAILED)
    return making.event("taskFailed", body)


def child_completed(number: int) -> pb.HistoryEvent:
    result = making.text("planted")
    body = pb.ChildWorkflowInstanceCompletedEvent(taskScheduledId=number, result=result)
    return making.event("childWorkflowInstanceCompleted", body)


def child_failed(number: int) -> pb.HistoryEvent:
    body = pb.ChildWorkflowInstanceFailedEvent(taskScheduledId=number, failureDetails=FAILED)
    return making.event("childWorkflowInstanceFailed", body)


CALLS: list[tuple[Callable[[], pb.WorkflowAction], Resolution]] = [
    (lambda: making.schedule(1), task_completed),
    (lambda: making.schedule(1), task_failed),
    (lambda: making.child(1, "kid", "Kid"), child_completed),
    (lambda: making.child(1, "kid", "Kid"), child_failed),
    (lambda: making.sleep(1, making.NOW), making.timer_fired),
]


async def plant(
    engine: Engine,
    instance_id: str,
    *events: pb.HistoryEvent,
    execution_id: ExecutionId | None = None,
) -> None:
    """Deliver events to the present generation of an instance, from a session that is no sidecar."""
    backend = WatchedBackend(store_of(engine))
    backend._clock = engine._clock
    session = Session(
        session_id=SessionId(f"planter-{len(store_of(engine).sessions)}"),
        app_id=AppId("planter"),
        time_to_live=DAY,
        holder="test",
    )
    await backend.register(session)
    wanted = execution_id or row(engine, instance_id).record.execution_id
    deliveries = [
        Deliver(
            key=InstanceKey(APP, instance_id),
            messages=(Message(payload=batch_of(event), execution_id=wanted),),
        )
        for event in events
    ]
    applied = await backend.apply(session.session_id, deliveries)
    assert all(isinstance(result, Delivered) for result in applied.results)
    await backend.unregister(session.session_id)


async def inbox_empty(engine: Engine, instance_id: str) -> None:
    found = row(engine, instance_id)
    await until(lambda: not found.inbox and found.owner is None)


def calling(action: Callable[[], pb.WorkflowAction]) -> Workflow:
    """Return a workflow that makes one call, waits for an event, and completes with the call's outcome."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.resolved and turn.raised("go"):
            return [making.complete(outcome(turn.resolved[1]))]
        return [action()]

    return flow


def outcome(event: pb.HistoryEvent) -> str:
    kind = event.WhichOneof("eventType")
    assert kind is not None
    body = getattr(event, kind)
    if hasattr(body, "failureDetails"):
        return body.failureDetails.errorType
    return body.result.value if hasattr(body, "result") else "fired"


PLANTED = {
    "taskCompleted": "planted",
    "taskFailed": "Planted",
    "childWorkflowInstanceCompleted": "planted",
    "childWorkflowInstanceFailed": "Planted",
    "timerFired": "fired",
}


@asynccontextmanager
async def sidecar(store: MemoryStore, flow: Workflow) -> AsyncIterator[tuple[Engine, Worker]]:
    flows = {"Flow": flow, "Kid": nothing_to_do}
    async with (
        running(WatchedBackend(store)) as engine,
        working(engine, flows) as worker,
    ):
        yield engine, worker


def body_runs(worker: Worker) -> int:
    """Return how often what the workflow calls was run."""
    kids = [request for request in worker.requests if request.instanceId == "kid"]
    return len(worker.tasks) + len(kids)


@pytest.mark.parametrize(("action", "resolution"), CALLS)
async def test_resolution_planted_again_after_a_restart_is_ignored(
    action: Callable[[], pb.WorkflowAction], resolution: Resolution
) -> None:
    store = MemoryStore()
    async with sidecar(store, calling(action)) as (engine, worker):
        await start(engine, "a")
        found = row(engine, "a")
        await until(lambda: found.record.history_length == 5 and found.owner is None)
        runs = body_runs(worker)
    async with sidecar(store, calling(action)) as (engine, worker):
        await plant(engine, "a", resolution(1), resolution(1))
        await inbox_empty(engine, "a")
        await tell(engine, "a", "go")
        state = await finished(engine, "a")
        events = await history(engine, "a")
        assert [resolved_wait(event) is not None for event in events].count(True) == 1
        assert len(events) == 8
        assert state.output.value not in {"planted", "Planted"}
        assert body_runs(worker) == 0
        assert runs == (0 if resolution is making.timer_fired else 1)


async def test_activity_that_is_resolved_is_not_run_again_by_a_later_sidecar() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        calls = [making.schedule(1), making.schedule(2)]
        return [making.complete()] if turn.raised("go") else calls

    store = MemoryStore()
    async with sidecar(store, flow) as (engine, worker):
        await start(engine, "a")
        await until(lambda: row(engine, "a").record.history_length >= 6)
        await inbox_empty(engine, "a")
        assert sorted(task.taskId for task in worker.tasks) == [1, 2]
    async with sidecar(store, flow) as (engine, worker):
        await plant(engine, "a", task_completed(1))
        await tell(engine, "a", "go")
        await finished(engine, "a")
        assert worker.tasks == []


async def test_each_generation_runs_its_activity_once_whatever_is_planted() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.resolved:
            return [making.schedule(1, value=turn.input)]
        if not turn.raised(turn.input):
            return []
        number = int(turn.input)
        return [making.complete() if number == 3 else making.continue_as_new(str(number + 1))]

    async with sidecar(MemoryStore(), flow) as (engine, worker):
        await start(engine, "a", value="1")
        earlier: list[ExecutionId] = []
        for number in (1, 2, 3):
            await until(lambda number=number: len(worker.tasks) == number)
            await until(lambda: row(engine, "a").record.history_length == 5)
            for execution_id in earlier:
                await plant(engine, "a", task_completed(1), execution_id=execution_id)
            await plant(engine, "a", task_completed(1))
            earlier.append(row(engine, "a").record.execution_id)
            if number < 3:
                # Still of this generation when it is delivered, and of an earlier one when it is seen.
                await plant(engine, "a", making.raised(str(number)), task_completed(1))
        await tell(engine, "a", "3")
        await finished(engine, "a")
        assert [task.input.value for task in worker.tasks] == ["1", "2", "3"]
        assert making.kinds(await history(engine, "a")).count("taskCompleted") == 1


@asynccontextmanager
async def created() -> AsyncIterator[Engine]:
    """Run an engine with an instance `a` that no worker has seen yet."""
    async with running() as engine, asyncio.TaskGroup() as group:
        group.create_task(start(engine, "a"))
        await until(lambda: InstanceKey(APP, "a") in store_of(engine).instances)
        yield engine


@pytest.mark.parametrize(("action", "resolution"), CALLS)
async def test_early_resolution_resolves_the_call_and_nothing_runs(
    action: Callable[[], pb.WorkflowAction], resolution: Resolution
) -> None:
    flows = {"Flow": calling(action), "Kid": nothing_to_do}
    kind = resolution(1).WhichOneof("eventType") or ""
    async with created() as engine:
        await plant(engine, "a", resolution(1))
        async with working(engine, flows) as worker:
            await until(lambda: row(engine, "a").record.history_length == 5)
            await tell(engine, "a", "go")
            assert (await finished(engine, "a")).output.value == PLANTED[kind]
            kinds = making.kinds(await history(engine, "a"))
            assert kinds[2] == action_kind(action())
            assert kinds.index(kind) == 4
            assert len(kinds) == 8
            assert body_runs(worker) == 0
            assert store_of(engine).tasks == {}
            assert set(store_of(engine).instances) == {InstanceKey(APP, "a")}


def action_kind(action: pb.WorkflowAction) -> str:
    """Return the event that an action of the scheduling kind becomes."""
    return {
        "scheduleTask": "taskScheduled",
        "createTimer": "timerCreated",
        "createChildWorkflow": "childWorkflowInstanceCreated",
    }[action.WhichOneof("workflowActionType") or ""]


async def test_early_resolution_of_what_is_scheduled_a_turn_later_is_an_orphan() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        done = len(turn.resolved)
        if done == 2:
            return [making.complete("|".join(outcome(turn.resolved[n]) for n in (1, 2)))]
        return [making.schedule(1), making.schedule(2, value="run")][: done + 1]

    async with created() as engine:
        await plant(engine, "a", task_completed(2), task_completed(1))
        async with working(engine, flow) as worker:
            assert (await finished(engine, "a")).output.value == "planted|run"
            assert [task.taskId for task in worker.tasks] == [2]


@pytest.mark.parametrize("resolution", [resolution for _, resolution in CALLS])
async def test_orphan_is_dropped_and_not_kept(resolution: Resolution) -> None:
    flow = calling(lambda: making.schedule(1))
    async with created() as engine:
        await plant(engine, "a", resolution(77))
        async with working(engine, flow) as worker:
            await until(lambda: row(engine, "a").record.history_length == 5)
            await plant(engine, "a", resolution(78))
            await inbox_empty(engine, "a")
            await tell(engine, "a", "go")
            await finished(engine, "a")
            assert len(await history(engine, "a")) == 8
            assert len(worker.tasks) == 1


async def test_early_resolution_outlives_a_stall() -> None:
    async with created() as engine:
        await plant(engine, "a", task_completed(1))
        async with working(engine, lambda _: [making.lack_version()]):
            await until(lambda: row(engine, "a").record.parked_reason is not None)
        async with working(engine, calling(lambda: making.schedule(1))) as worker:
            await until(lambda: row(engine, "a").record.parked_reason is None)
            await tell(engine, "a", "go")
            assert (await finished(engine, "a")).output.value == "planted"
            assert worker.tasks == []


async def test_history_with_a_completion_before_its_schedule_replays() -> None:
    store = MemoryStore()
    flow = calling(lambda: making.schedule(1))
    async with sidecar(store, flow) as (engine, _):
        await start(engine, "a")
        found = row(engine, "a")
        await until(lambda: found.record.history_length == 5 and found.owner is None)
        kinds = making.kinds(map(pb.HistoryEvent.FromString, found.history))
        assert (kinds[2], kinds[4]) == ("taskScheduled", "taskCompleted")
        found.history[2], found.history[4] = found.history[4], found.history[2]
    async with sidecar(store, flow) as (engine, worker):
        await tell(engine, "a", "go")
        assert (await finished(engine, "a")).HasField("output")
        assert worker.tasks == []

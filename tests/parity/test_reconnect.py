"""Workers that leave with work, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S, Client, Refused
from tests.parity.flows import Context, decide
from tests.parity.holding import Held
from tests.parity.hub import Hub, Sidecar
from tests.parity.worker import RawWorkflow, Worker


def flow(ctx: Context):
    first = yield ctx.activity("work", "1")
    second = yield ctx.event("go")
    third = yield ctx.activity("work", "3")
    return f"{first}{second}{third}"


WHOLE = [
    "workflowStarted",
    "executionStarted",
    "taskScheduled",
    "workflowStarted",
    "taskCompleted",
    "workflowStarted",
    "eventRaised",
    "taskScheduled",
    "workflowStarted",
    "taskCompleted",
    "executionCompleted",
]


def silent_from(turn: int) -> RawWorkflow:
    """Return what answers the turns of `flow` before a number, counted from 1, and no others."""

    async def raw(request: pb.WorkflowRequest) -> pb.WorkflowResponse | None:
        opened = sum(event.HasField("workflowStarted") for event in request.pastEvents)
        if opened + 1 >= turn:
            return None
        return decide(request, request.pastEvents, {"Flow": flow})

    return raw


@pytest.mark.parity("reconnect/executor", "reconnect/deactivate-raiseevent")
async def test_event_waits_for_the_worker(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow):
            await sidecar.client.start("Flow", "a")
            await sidecar.client.until_event("a", "taskCompleted")
        await sidecar.client.send("a", "go", "2")
        assert "eventRaised" not in await sidecar.client.kinds("a")
        async with sidecar.worker(flow):
            assert await sidecar.client.output("a") == "123"
            assert await sidecar.client.kinds("a") == WHOLE


@pytest.mark.parity("reconnect/workflow")
@pytest.mark.parametrize("stateful", [False, True])
async def test_worker_connects_anew_for_every_turn(hub: Hub, *, stateful: bool) -> None:
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow, stateful=stateful):
            await sidecar.client.start("Flow", "a")
        async with sidecar.worker(flow, stateful=stateful):
            await sidecar.client.until_event("a", "taskCompleted")
        async with sidecar.worker(flow, stateful=stateful):
            await sidecar.client.send("a", "go", "2")
            await sidecar.client.until_event("a", "eventRaised")
        async with sidecar.worker(flow, stateful=stateful):
            assert await sidecar.client.output("a") == "123"
            assert await sidecar.client.kinds("a") == WHOLE


@pytest.mark.parity("reconnect/waitfor")
async def test_wait_goes_on_while_workers_leave(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, asyncio.TaskGroup() as group:
        async with sidecar.worker(flow):
            async with sidecar.worker(flow):
                await sidecar.client.start("Flow", "a")
                waiting = group.create_task(sidecar.client.output("a"))
            await sidecar.client.until_event("a", "taskCompleted")
        assert not waiting.done()
        async with sidecar.worker(flow):
            await sidecar.client.send("a", "go", "2")
            assert await waiting == "123"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("reconnect/midcall")
async def test_wait_goes_on_at_another_sidecar(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, hub.sidecar() as other, other.worker(flow):
        await other.client.start("Flow", "a")
        await other.client.until_event("a", "taskCompleted")
        async with sidecar._connect() as channel, asyncio.TaskGroup() as group:
            lost = group.create_task(refusal(Client(channel).finished("a")))
            waiting = group.create_task(other.client.output("a"))
            await asyncio.sleep(0.05)
            await sidecar.kill()
            assert await lost == "UNAVAILABLE"
            again = group.create_task(other.client.output("a"))
            await other.client.send("a", "go", "2")
        assert (waiting.result(), again.result()) == ("123", "123")


async def refusal(call: Awaitable[object]) -> str:
    """Return the code of a call that is refused."""
    with pytest.raises(Refused) as refused:
        await call
    return refused.value.code


def phases(section: str, **turns: int) -> pytest.MarkDecorator:
    """Run a test once for each turn with which a worker leaves, counted from 1."""
    return pytest.mark.parametrize(
        "turn",
        [
            pytest.param(turn, id=line, marks=pytest.mark.parity(f"reconnect/{section}-{line}"))
            for line, turn in turns.items()
        ],
    )


async def reach(sidecar: Sidecar, worker: Worker, turn: int, starting: asyncio.Task[str]) -> None:
    """Bring the workflow to where a worker has, and keeps, one of its turns."""
    if turn > 1:
        await starting
    if turn > 2:
        await sidecar.client.until_event("a", "taskCompleted")
        await sidecar.client.send("a", "go", "2")
    await until(lambda: len(worker.requests) == turn, ANSWER_S)


async def complete(sidecar: Sidecar, turn: int) -> None:
    """Bring it to its end, which must be as if nobody had left."""
    if turn <= 2:
        await sidecar.client.until_event("a", "taskCompleted")
        await sidecar.client.send("a", "go", "2")
    assert await sidecar.client.output("a") == "123"
    assert await sidecar.client.kinds("a") == WHOLE


@phases("deactivate", orchestrator=1, raiseevent=3, completion=4)
async def test_next_worker_takes_over_from_the_last(hub: Hub, turn: int) -> None:
    async with hub.sidecar() as sidecar, asyncio.TaskGroup() as group:
        async with sidecar.worker(raw=silent_from(turn)) as worker:
            starting = group.create_task(sidecar.client.start("Flow", "a"))
            await reach(sidecar, worker, turn, starting)
        assert starting.done() == (turn > 1)
        async with sidecar.worker(flow):
            await starting
            await complete(sidecar, turn)


@phases("reuse", startretry=1, midretry=2, raiseevent=3, completionretry=4)
async def test_worker_beside_it_takes_over(hub: Hub, turn: int) -> None:
    async with hub.sidecar() as sidecar, asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        async with sidecar.worker(raw=silent_from(turn)) as leaving:
            starting = group.create_task(sidecar.client.start("Flow", "a"))
            await reach(sidecar, leaving, turn, starting)
            staying = await stack.enter_async_context(sidecar.worker(flow))
        await starting
        await complete(sidecar, turn)
        assert staying.requests[0].pastEvents == leaving.requests[-1].pastEvents
        assert staying.requests[0].newEvents == leaving.requests[-1].newEvents


@pytest.mark.parity("reconnect/deactivate-activity")
async def test_activity_of_the_last_worker_is_run_again(hub: Hub) -> None:
    held = Held()
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(flow, held):
            await sidecar.client.start("Flow", "a")
            await held.until_begun()
        assert await sidecar.client.status("a") == "RUNNING"
        async with sidecar.worker(flow) as worker:
            await complete(sidecar, 1)
            assert [task.input.value for task in worker.tasks] == ["1", "3"]


@pytest.mark.needs("multi_process")
@pytest.mark.parity("reconnect/deactivate-crossactivity")
async def test_activity_of_another_applications_last_worker_is_run_again(hub: Hub) -> None:
    def calling(ctx: Context):
        return (yield ctx.activity("work", "x", app="other"))

    held = Held()
    async with (
        hub.sidecar() as sidecar,
        hub.sidecar("other") as other,
        sidecar.worker(calling),
    ):
        async with other.worker(activities=held):
            await sidecar.client.start("Flow", "a")
            await held.until_begun()
        assert await sidecar.client.status("a") == "RUNNING"
        async with other.worker() as worker:
            assert await sidecar.client.output("a") == "x"
            assert worker.task_names() == ["work"]
        assert (await sidecar.client.kinds("a")).count("taskCompleted") == 1

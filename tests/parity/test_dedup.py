"""Resolutions that arrive a second time, before and after a restart."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from durahub.protocol import messages as pb

from core.tests.engine import making
from tests.parity.flows import Context, TaskFailed, Workflow
from tests.parity.holding import Held
from tests.parity.hub import Hub
from tests.parity.store import plant

RESOLUTIONS = {
    "taskCompleted",
    "taskFailed",
    "childWorkflowInstanceCompleted",
    "childWorkflowInstanceFailed",
    "timerFired",
}


def activity(ctx: Context):
    try:
        first = yield ctx.activity("work", "x")
    except TaskFailed as error:
        first = f"failed: {error}"
    return f"{first}, {(yield ctx.event('go'))}"


def parent(ctx: Context):
    try:
        first = yield ctx.child("Child", "x")
    except TaskFailed as error:
        first = f"failed: {error}"
    return f"{first}, {(yield ctx.event('go'))}"


def timer(ctx: Context):
    yield ctx.sleep(0.05)
    return f"woken, {(yield ctx.event('go'))}"


@dataclass
class Deed:
    """What a workflow waits for, done once, well or badly."""

    times: int = 0
    fails: bool = False

    async def work(self, request: pb.ActivityRequest) -> str | None:
        self.times += 1
        if self.fails:
            raise ValueError("broken")
        return request.input.value

    def child(self, ctx: Context):
        result = yield ctx.activity("work", ctx.input)
        return result


@pytest.mark.parametrize(
    ("flow", "kind", "first"),
    [
        pytest.param(
            activity, "taskCompleted", "x", marks=pytest.mark.parity("dedup/taskcompleted")
        ),
        pytest.param(
            activity, "taskFailed", "failed: broken", marks=pytest.mark.parity("dedup/taskfailed")
        ),
        pytest.param(
            parent,
            "childWorkflowInstanceCompleted",
            "x",
            marks=pytest.mark.parity("dedup/childcompleted"),
        ),
        pytest.param(
            parent,
            "childWorkflowInstanceFailed",
            "failed: broken",
            marks=pytest.mark.parity("dedup/childfailed"),
        ),
        pytest.param(timer, "timerFired", "woken", marks=pytest.mark.parity("dedup/timerfired")),
    ],
)
async def test_second_resolution_is_ignored(
    hub: Hub, flow: Workflow, kind: str, first: str
) -> None:
    deed = Deed(fails=kind.endswith("Failed"))
    flows: dict[str, Workflow] = {"Flow": flow, "Child": deed.child}
    async with hub.sidecar() as sidecar, sidecar.worker(flows, deed.work):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_event("a", kind)
        (resolution,) = [
            e for e in await sidecar.client.history("a") if e.WhichOneof("eventType") == kind
        ]
        await plant(sidecar, "a", resolution)
    async with hub.sidecar() as sidecar, sidecar.worker(flows, deed.work):
        await plant(sidecar, "a", resolution)
        await plant(sidecar, "a", other(resolution))
        await sidecar.client.send("a", "go", "once")
        assert await sidecar.client.output("a") == f"{first}, once"
        kinds = await sidecar.client.kinds("a")
        assert [found for found in kinds if found in RESOLUTIONS] == [kind]
    assert deed.times == (0 if flow is timer else 1)


def other(resolution: pb.HistoryEvent) -> pb.HistoryEvent:
    """Return a resolution of the same thing with another outcome."""
    kind = resolution.WhichOneof("eventType") or ""
    if kind == "timerFired":
        return resolution
    made = making.task_failed(0) if "task" in kind else making.child_failed(0)
    if kind.endswith("Failed"):
        made = making.task_completed(0, "y") if "task" in kind else making.child_completed(0)
    return made


@pytest.mark.parity("dedup/skipresolved")
async def test_restart_runs_again_only_what_has_no_result(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.activity("first", "1")
        return first + (yield ctx.activity("second", "2"))

    held = Held()
    async with hub.sidecar() as sidecar, sidecar.worker(flow, {"second": held}) as worker:
        await sidecar.client.start("Flow", "a")
        await held.until_begun()
        assert worker.task_names() == ["first", "second"]
    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        assert await sidecar.client.output("a") == "12"
        assert worker.task_names() == ["second"]


@pytest.mark.parity("dedup/continueasnew")
async def test_activity_of_each_generation_runs_once(hub: Hub) -> None:
    def flow(ctx: Context):
        result = yield ctx.activity("work", ctx.input)
        return result if ctx.input == "5" else ctx.continue_as_new(f"{int(result) + 1}")

    async def work(request: pb.ActivityRequest) -> str | None:
        # What the generation before was told arrives once more.
        runs.append((await sidecar.client.state("a")).executionId.value)
        number = int(request.input.value)
        if number > 1:
            late = making.task_completed(request.taskId, str(number - 1))
            await plant(sidecar, "a", late, run=runs[-2])
        return request.input.value

    runs: list[str] = []
    async with hub.sidecar() as sidecar, sidecar.worker(flow, work) as worker:
        await sidecar.client.start("Flow", "a", "1")
        assert await sidecar.client.output("a") == "5"
        assert [task.input.value for task in worker.tasks] == ["1", "2", "3", "4", "5"]

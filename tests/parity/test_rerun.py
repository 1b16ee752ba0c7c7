"""Workflows that are started over from an event: what is done again."""

from __future__ import annotations

import asyncio

import pytest
from durahub.protocol import messages as pb

from tests.parity.flows import Context
from tests.parity.hub import Hub
from tests.parity.reruns import ended, heard, parallel, ran, reran_from, sequence

STEP = ["taskScheduled", "workflowStarted", "taskCompleted"]
TAKEN_OVER = ["workflowStarted", "taskScheduled", "taskCompleted"]
START = ["workflowStarted", "executionStarted"]


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(kept, id=line, marks=pytest.mark.parity(f"rerun/basic-{line}"))
        for kept, line in enumerate(("one", "two", "three", "four", "five"))
    ],
)
@pytest.mark.parametrize("first_id", [0, 1])
async def test_only_what_is_not_before_the_target_is_run_again(
    hub: Hub, kept: int, first_id: int
) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(sequence, first_id=first_id) as worker:
        await ended(sidecar, value="x")
        before = (await sidecar.client.state("old"), await sidecar.client.history("old"))
        assert await sidecar.client.rerun("old", first_id + kept, "new") == "new"
        assert await sidecar.client.output("new") == "x0,x1,x2,x3,x4"
        assert ran(worker, "new") == ["x0", "x1", "x2", "x3", "x4"][kept:]
        steps = [*TAKEN_OVER * kept, *STEP * (5 - kept)]
        assert await sidecar.client.kinds("new") == [*START, *steps, "executionCompleted"]
        after = (await sidecar.client.state("old"), await sidecar.client.history("old"))
        assert after == before


@pytest.mark.parity("rerun/fanout")
async def test_all_parallel_activities_without_a_result_are_run_again(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(parallel) as worker:
        await ended(sidecar)
        await sidecar.client.rerun("old", 2, "new")
        assert await sidecar.client.output("new") == "0,1,2,3,4"
        assert sorted(ran(worker, "new")) == ["0", "1", "2", "3", "4"]
        kinds = await sidecar.client.kinds("new")
        assert kinds.count("taskScheduled") == kinds.count("taskCompleted") == 5


@pytest.mark.parity("rerun/multirerun")
async def test_ten_reruns_at_once_are_ten_instances(hub: Hub) -> None:
    names = [f"new-{number}" for number in range(10)]
    async with hub.sidecar() as sidecar, sidecar.worker(sequence) as worker:
        await ended(sidecar, value="x")
        await asyncio.gather(*(sidecar.client.rerun("old", 3, name) for name in names))
        for name in names:
            assert await sidecar.client.output(name) == "x0,x1,x2,x3,x4"
            assert ran(worker, name) == ["x3", "x4"]
        assert await sidecar.client.rerun("old", 4) not in {"old", *names}


@pytest.mark.parity("rerun/failed")
async def test_failed_workflow_goes_on_from_where_it_failed(hub: Hub) -> None:
    is_mended = False

    async def work(request: pb.ActivityRequest) -> str | None:
        if request.input.value == "x3" and not is_mended:
            raise ValueError("broken")
        return request.input.value

    async with hub.sidecar() as sidecar, sidecar.worker(sequence, work) as worker:
        await sidecar.client.start("Flow", "old", "x")
        await sidecar.client.finished("old")
        assert await sidecar.client.status("old") == "FAILED"
        is_mended = True
        await sidecar.client.rerun("old", 3, "new")
        assert await sidecar.client.output("new") == "x0,x1,x2,x3,x4"
        assert ran(worker, "new") == ["x3", "x4"]


@pytest.mark.parity("rerun/terminated")
async def test_terminated_workflow_can_be_rerun(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(heard):
        await sidecar.client.start("Flow", "old")
        await sidecar.client.send("old", "first", "1")
        await sidecar.client.until_event("old", "timerCreated", 2)
        await sidecar.client.terminate("old")
        await sidecar.client.rerun("old", 1, "new")
        assert await sidecar.client.status("new") == "RUNNING"
        await sidecar.client.send("new", "second", "2")
        assert await sidecar.client.output("new") == "1 2"
        assert await sidecar.client.status("old") == "TERMINATED"


@pytest.mark.parity("rerun/parentid-activity")
async def test_target_activity_names_the_source(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(sequence):
        await ended(sidecar, value="x")
        await sidecar.client.rerun("old", 3, "new")
        await sidecar.client.output("new")
        assert reran_from(await sidecar.client.history("new")) == {3: "old"}
        assert reran_from(await sidecar.client.history("old")) == {}


@pytest.mark.parity("rerun/parentid-timer")
async def test_target_timer_names_the_source(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.01)
        yield ctx.sleep(0.02)

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await ended(sidecar)
        await sidecar.client.rerun("old", 1, "new")
        await sidecar.client.output("new")
        assert reran_from(await sidecar.client.history("new")) == {1: "old"}

"""One workflow, one activity, one child."""

from __future__ import annotations

import pytest

from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub


def one_activity(ctx: Context):
    return (yield ctx.activity("greet", ctx.input))


@pytest.mark.parity("top/activity")
async def test_activity_runs_and_its_result_is_the_workflows(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(one_activity) as worker:
        await sidecar.client.start("Flow", "a", "hello")
        assert await sidecar.client.output("a") == "hello"
        assert worker.task_names() == ["greet"]


def fan(ctx: Context):
    results = yield all_of(*[ctx.activity("work", str(number)) for number in range(30)])
    return ",".join(results)


@pytest.mark.parity("top/fanout")
async def test_parallel_activities_all_deliver(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(fan) as worker:
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == ",".join(map(str, range(30)))
    assert len(worker.tasks) == 30


@pytest.mark.parity("top/restart")
async def test_running_workflow_finishes_after_a_restart(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.sleep(0.3)
        yield ctx.event("go")
        return "woken"

    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.start("Flow", "a")
        await sidecar.kill()
    async with hub.sidecar() as sidecar, sidecar.worker(flow):
        await sidecar.client.send("a", "go")
        assert await sidecar.client.output("a") == "woken"


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/activity-callactivity")
async def test_activity_of_another_app(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.activity("greet", "x", app="other"))

    async with (
        hub.sidecar() as sidecar,
        hub.sidecar("other") as other,
        sidecar.worker(flow) as worker,
        other.worker() as helper,
    ):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "x"
    assert (worker.task_names(), helper.task_names()) == ([], ["greet"])

"""Bugs that others shipped: crashes, outages, reconnects."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
from durahub.backend import Backend
from durahub.errors import BackendUnavailableError
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from core.tests.engine.making import child_completed, task_completed
from tests.parity.client import Refused, status_name
from tests.parity.disturbed import DisturbedBackend, nothing
from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub, Sidecar
from tests.parity.planting import deliver
from tests.parity.worker import Activity


def waiting(ctx: Context):
    return (yield ctx.event("go"))


def everything(ctx: Context):
    one = yield ctx.activity("one", "1")
    yield ctx.sleep(0.02)
    child = yield ctx.child("Child", one)
    both = yield all_of(ctx.activity("two", child), ctx.activity("three", "3"))
    if ctx.input == "first":
        ctx.continue_as_new("again")
    return ",".join(both)


FLOWS = {"Flow": everything, "Child": lambda ctx: ctx.input}


class Crash:
    """Ends a sidecar's engine at the call of a number, before or after the store has taken it."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.happened = asyncio.Event()
        self._numbers = itertools.count(1)
        self._number = number
        self._after = after

    def wrap(self, backend: Backend) -> DisturbedBackend:
        disturbed = DisturbedBackend(backend)
        if self._after:
            disturbed.after = self._step
        else:
            disturbed.before = self._step
        return disturbed

    async def _step(self, name: str) -> None:
        if name in ("apply", "claim_instances", "claim_activities") and (
            next(self._numbers) >= self._number
        ):
            self.happened.set()
            await asyncio.Event().wait()


async def _run_into(sidecar: Sidecar, crash: Crash) -> bool:
    """Run the workflow until the crash is due or it has ended; return whether the start was answered."""
    answered = False

    async def run() -> None:
        nonlocal answered
        await sidecar.client.start("Flow", "a", "first")
        answered = True
        await sidecar.client.finished("a")

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(run()), group.create_task(crash.happened.wait())]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:
            call.cancel()
    return answered


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 24, 3))
@pytest.mark.parity("field/01", "field/06")
async def test_crash_at_any_call_loses_nothing(hub: Hub, number: int, after: bool) -> None:  # noqa: FBT001
    crash = Crash(number, after=after)
    short = timedelta(milliseconds=500)
    async with (
        hub.sidecar(wrap=crash.wrap, session_time_to_live=short) as sidecar,
        sidecar.worker(FLOWS),
    ):
        answered = await _run_into(sidecar, crash)
        await sidecar.kill()
    async with hub.sidecar() as sidecar, sidecar.worker(FLOWS):
        if not (await sidecar.client.get("a")).exists:
            assert not answered
            await sidecar.client.start("Flow", "a", "first")
        assert await sidecar.client.output("a") == "1,3"
        kinds = await sidecar.client.kinds("a")
    assert kinds.count("taskCompleted") == kinds.count("taskScheduled") == 3
    assert kinds.count("timerFired") == kinds.count("childWorkflowInstanceCompleted") == 1


@pytest.mark.parity("field/03")
async def test_completion_delivered_again_and_again_counts_once(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.activity("one", "right")
        told = yield ctx.event("go")
        second = yield ctx.activity("two", told)
        return f"{first},{second}"

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a")
        await until(lambda: len(worker.requests) == 2)
        for _ in range(20):
            await deliver(sidecar, "a", task_completed(0, "wrong"))
        await sidecar.client.send("a", "go", "on")
        assert await sidecar.client.output("a") == "right,on"
        assert (await sidecar.client.kinds("a")).count("taskCompleted") == 2
    assert worker.task_names() == ["one", "two"]


@pytest.mark.parity("field/04")
async def test_reconnecting_workers_never_run_one_activity_twice_at_a_time(hub: Hub) -> None:
    running: dict[int, int] = {}
    gone: set[int] = set()
    twice: list[int] = []

    def slow_of(worker: int) -> Activity:
        async def slow(request: pb.ActivityRequest) -> str:
            if running.get(request.taskId, worker) not in {worker, *gone}:
                twice.append(request.taskId)
            running[request.taskId] = worker
            await asyncio.sleep(0.03)
            del running[request.taskId]
            return "done"

        return slow

    def flow(ctx: Context):
        found = yield all_of(*[ctx.activity("slow") for _ in range(40)])
        return str(len(found))

    async with hub.sidecar(max_concurrent_activities=10) as sidecar:
        async with sidecar.worker(flow, slow_of(0)):
            await sidecar.client.start("Flow", "a")
            for number in range(1, 7):
                async with sidecar.worker(flow, slow_of(number)):
                    await asyncio.sleep(0.02)
                    gone.add(number)
            assert await sidecar.client.output("a") == "40"
    assert twice == []


@pytest.mark.parity("field/07")
async def test_store_that_goes_away_makes_the_sidecar_unready_for_as_long(hub: Hub) -> None:
    disturbed: list[DisturbedBackend] = []

    def wrap(backend: Backend) -> Backend:
        disturbed.append(DisturbedBackend(backend))
        return disturbed[0]

    async def refuse(_: str) -> None:
        raise BackendUnavailableError("the store went away")

    async with hub.sidecar(wrap=wrap) as sidecar, sidecar.worker(waiting):
        await sidecar.client.start("Flow", "a")
        disturbed[0].before = refuse
        with pytest.raises(Refused, match="UNAVAILABLE: the store went away"):
            await sidecar.client.send("a", "go")
        await until(lambda: not sidecar.engine.is_ready)
        disturbed[0].before = nothing
        await until(lambda: sidecar.engine.is_ready)
        await sidecar.client.send("a", "go", "through")
        assert await sidecar.client.output("a") == "through"


@pytest.mark.parity("field/13")
async def test_purge_works_whatever_there_is(hub: Hub) -> None:
    def status(ctx: Context):
        ctx.custom_status = "here"
        yield ctx.activity("one")

    flows = {"Nothing": lambda _: None, "Status": status}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        for name in flows:
            await sidecar.client.start(name, name)
            await sidecar.client.finished(name)
            assert await sidecar.client.purge(name) == 1
            with pytest.raises(Refused, match="no such instance exists"):
                await sidecar.client.purge(name)
        assert await sidecar.client.ids() == []


@pytest.mark.parity("field/16")
async def test_open_streams_do_not_hold_up_the_stop(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(waiting), sidecar.worker(waiting):
        await sidecar.client.start("Flow", "a")
        async with asyncio.timeout(5):
            await sidecar.stop()


@pytest.mark.parity("field/17")
async def test_child_of_an_earlier_generation_resolves_nothing_of_the_present(hub: Hub) -> None:
    def flow(ctx: Context):
        generation = int(ctx.input or 0)
        child = ctx.child("Child", instance_id=f"child-{generation}")
        if generation == 0:
            yield ctx.event("go")
            ctx.continue_as_new("1")
            return None
        return (yield child)

    async with hub.sidecar() as sidecar, sidecar.worker({"Flow": flow, "Child": waiting}):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.send("a", "go")
        await sidecar.client.until_status("child-1", "RUNNING")
        await sidecar.client.send("child-0", "go", "stale")
        assert await sidecar.client.output("child-0") == "stale"
        await deliver(sidecar, "a", child_completed(0), execution_id="of long ago")
        await sidecar.client.send("child-1", "go", "fresh")
        assert await sidecar.client.output("a") == "fresh"


@pytest.mark.parity("field/22")
async def test_reading_while_it_works_never_fails_and_is_never_torn(hub: Hub) -> None:
    def flow(ctx: Context):
        for number in range(40):
            ctx.custom_status = str(number)
            yield ctx.activity("one", str(number))
        return "39"

    async with hub.sidecar() as sidecar, sidecar.worker(flow), asyncio.TaskGroup() as group:
        await sidecar.client.start("Flow", "a")
        ended = group.create_task(sidecar.client.finished("a"))
        seen = []
        while not ended.done():
            state = await sidecar.client.state("a")
            events = await sidecar.client.history("a")
            assert [event.HasField("workflowStarted") for event in events[:2]] == [True, False]
            seen.append(int(state.customStatus.value))
            done = status_name(state.workflowStatus) == "COMPLETED"
            assert (state.output.value == "39") is done
    assert len(seen) > 5
    assert seen == sorted(seen)


@pytest.mark.parity("field/24")
async def test_result_for_a_purged_instance_is_dropped_once(hub: Hub) -> None:
    release = asyncio.Event()

    async def slow(_: pb.ActivityRequest) -> str:
        await release.wait()
        return "late"

    def flow(ctx: Context):
        return (yield ctx.activity("slow"))

    disturbed: list[DisturbedBackend] = []

    def wrap(backend: Backend) -> Backend:
        disturbed.append(DisturbedBackend(backend))
        return disturbed[0]

    async with hub.sidecar(wrap=wrap, safety_poll=timedelta(minutes=1)) as sidecar:
        async with sidecar.worker(flow, slow) as worker:
            await sidecar.client.start("Flow", "a")
            await until(lambda: worker.active == 1)
            assert await sidecar.client.purge("a", force=True) == 1
            release.set()
            await until(lambda: worker.active == 0)
            await sidecar.client.hello()
            before = disturbed[0].calls["apply"]
            await asyncio.sleep(0.3)
            assert disturbed[0].calls["apply"] <= before + 1
            assert not (await sidecar.client.get("a")).exists
            assert len(worker.tasks) == 1

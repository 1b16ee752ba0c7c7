"""Trace contexts: where they go along with the work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from durahub.protocol import messages as pb

from tests.parity.flows import Context, all_of
from tests.parity.hub import Hub
from tests.parity.worker import Worker

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def context(flags: str = "01") -> pb.TraceContext:
    made = pb.TraceContext(traceParent=f"00-{TRACE_ID}-00f067aa0ba902b7-{flags}")
    made.traceState.value = "vendor=1"
    return made


def trace_id(carrier: pb.ExecutionStartedEvent | pb.ActivityRequest) -> str:
    """Return the trace that something belongs to; empty if to none."""
    if not carrier.HasField("parentTraceContext"):
        return ""
    version, trace, span, flags = carrier.parentTraceContext.traceParent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    return trace


def starts_at(*workers: Worker) -> list[pb.ExecutionStartedEvent]:
    """Return how the workers' workflows, generation by generation, were started."""
    return [
        event.executionStarted
        for worker in workers
        for request in worker.requests
        for event in request.newEvents
        if event.HasField("executionStarted")
    ]


def tasks_at(*workers: Worker) -> Sequence[pb.ActivityRequest]:
    return [task for worker in workers for task in worker.tasks]


def two_activities(ctx: Context):
    yield all_of(ctx.activity("one"), ctx.activity("two"))


@pytest.mark.parity("tracing/base")
async def test_trace_of_a_start_reaches_the_workflow_and_its_activities(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(two_activities) as worker:
        await sidecar.client.start("Flow", "a", parentTraceContext=context())
        await sidecar.client.finished("a")
        events = await sidecar.client.history("a")
    (start,) = starts_at(worker)
    assert start.parentTraceContext == context()
    assert [trace_id(task) for task in tasks_at(worker)] == [TRACE_ID] * 2
    assert [task.parentTraceContext.traceState.value for task in worker.tasks] == ["vendor=1"] * 2
    scheduled = [event.taskScheduled for event in events if event.HasField("taskScheduled")]
    assert [trace_id(one) for one in scheduled] == [TRACE_ID] * 2


@pytest.mark.parity("tracing/root")
async def test_workflow_without_a_trace_has_none(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(two_activities) as worker:
        await sidecar.client.start("Flow", "a")
        await sidecar.client.finished("a")
    assert [trace_id(one) for one in (*starts_at(worker), *tasks_at(worker))] == [""] * 3


@pytest.mark.parity("tracing/childwf")
@pytest.mark.parametrize("traced", [True, False])
async def test_child_belongs_to_the_trace_of_its_parent(hub: Hub, *, traced: bool) -> None:
    def parent(ctx: Context):
        yield ctx.activity("before")
        yield ctx.child("Child")

    async with (
        hub.sidecar() as sidecar,
        sidecar.worker({"Flow": parent, "Child": two_activities}) as worker,
    ):
        fields = {"parentTraceContext": context()} if traced else {}
        await sidecar.client.start("Flow", "a", **fields)
        await sidecar.client.finished("a")
        created = (await sidecar.client.history("a"))[5].childWorkflowInstanceCreated
    expected = TRACE_ID if traced else ""
    carriers = [*starts_at(worker), *tasks_at(worker), created]
    assert len(carriers) == 2 + 3 + 1
    assert {trace_id(one) for one in carriers} == {expected}


@pytest.mark.parity("tracing/continueasnew")
async def test_every_generation_is_a_trace_that_its_activities_share(hub: Hub) -> None:
    def flow(ctx: Context):
        yield all_of(ctx.activity("one", ctx.input), ctx.activity("two", ctx.input))
        if ctx.input != "3":
            ctx.continue_as_new(str(int(ctx.input) + 1))

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a", "1", parentTraceContext=context())
        await sidecar.client.finished("a")
    traces = {start.input.value: trace_id(start) for start in starts_at(worker)}
    assert list(traces) == ["1", "2", "3"]
    assert traces["1"] == TRACE_ID
    assert len(set(traces.values()) - {""}) == 3
    assert Counter((task.input.value, trace_id(task)) for task in worker.tasks) == dict.fromkeys(
        traces.items(), 2
    )


@pytest.mark.parity("tracing/unsampled")
async def test_trace_that_is_not_recorded_stays_so(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.activity("work")
        if ctx.input != "last":
            ctx.continue_as_new("last")

    async with hub.sidecar() as sidecar, sidecar.worker(flow) as worker:
        await sidecar.client.start("Flow", "a", parentTraceContext=context(flags="00"))
        await sidecar.client.finished("a")
    carriers = [*starts_at(worker), *tasks_at(worker)]
    assert [one.parentTraceContext.traceParent[-3:] for one in carriers] == ["-00"] * 4


@pytest.mark.needs("multi_process")
@pytest.mark.parity("tracing/remote")
async def test_activities_at_several_sidecars_share_the_trace(hub: Hub) -> None:
    pair = asyncio.Barrier(2)

    async def work(_: pb.ActivityRequest) -> str | None:
        await pair.wait()
        return None

    def flow(ctx: Context):
        yield all_of(*[ctx.activity("work") for _ in range(10)])

    async with (
        hub.sidecar(max_concurrent_activities=1) as one,
        hub.sidecar(max_concurrent_activities=1) as two,
        one.worker(flow, work) as first,
        two.worker(flow, work) as second,
    ):
        await one.client.start("Flow", "a", parentTraceContext=context())
        await one.client.finished("a")
    assert [trace_id(task) for task in tasks_at(first, second)] == [TRACE_ID] * 10
    assert len(first.tasks) == len(second.tasks) == 5

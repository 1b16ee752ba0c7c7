"""Two writers at one instance: the turn that was computed from what is outdated changes nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from durahub.backend import Deliver, ParkInstance, Released
from durahub.protocol import messages as pb
from durahub.types import AppId, InstanceKey

from core.tests.engine import making
from tests.parity.flows import EPOCH, Context, decide
from tests.parity.hub import Hub, Sidecar
from tests.parity.worker import RawWorkflow


async def interfere(sidecar: Sidecar, instance_id: str) -> None:
    """Write to an instance whose turn is with a worker, so that the turn has to be done again."""
    assert sidecar.engine._session is not None
    key = InstanceKey(AppId(sidecar.app), instance_id)
    park = ParkInstance(key=key, reason="the test", updated_at=datetime.now(UTC))
    applied = await sidecar.backend.apply(sidecar.engine._session.session_id, [park])
    assert applied.results == (Released(),)
    await sidecar.engine._lane.write(Deliver(key=key, messages=(), expedite=True))


@pytest.mark.parity("chaos/etagattached")
async def test_outdated_turn_changes_nothing(hub: Hub) -> None:
    asked: asyncio.Queue[int] = asyncio.Queue()
    may_answer = [asyncio.Event(), asyncio.Event()]

    async def raw(_: pb.WorkflowRequest) -> pb.WorkflowResponse:
        number = len(worker.requests) - 1
        asked.put_nowait(number)
        await may_answer[number].wait()
        answer = making.response(making.complete(["outdated", "fresh"][number]))
        answer.instanceId = "a"
        return answer

    async with hub.sidecar() as sidecar, sidecar.worker(raw=raw, stateful=True) as worker:
        await sidecar.client.start("Flow", "a", at=EPOCH)
        assert await asked.get() == 0
        await interfere(sidecar, "a")
        assert await asked.get() == 1
        may_answer[0].set()
        await asyncio.sleep(0.1)
        assert await sidecar.client.status("a") == "STALLED"
        may_answer[1].set()
        assert await sidecar.client.output("a") == "fresh"
        assert (await sidecar.client.kinds("a")).count("executionStarted") == 1


@pytest.mark.parity("chaos/etagconflict")
async def test_turn_after_a_conflict_is_computed_again(hub: Hub) -> None:
    def flow(ctx: Context):
        first = yield ctx.activity("first")
        second = yield ctx.activity("second", first)
        return second

    interfered = asyncio.Event()

    def interfering(sidecar: Sidecar) -> RawWorkflow:
        async def raw(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
            if request.pastEvents and not interfered.is_set():
                interfered.set()
                await interfere(sidecar, "a")
            return decide(request, request.pastEvents, {"Flow": flow})

        return raw

    async def work(request: pb.ActivityRequest) -> str | None:
        return request.input.value + request.name

    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(activities=work, raw=interfering(sidecar)) as worker,
    ):
        await sidecar.client.start("Flow", "a")
        assert await sidecar.client.output("a") == "firstsecond"
        kinds = await sidecar.client.kinds("a")
    step = ["taskScheduled", "workflowStarted", "taskCompleted"]
    assert kinds == ["workflowStarted", "executionStarted", *step * 2, "executionCompleted"]
    assert worker.task_names() == ["first", "second"]
    assert len(worker.requests) == 4

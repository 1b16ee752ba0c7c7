"""Resolutions that arrive before the code has scheduled what they resolve."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from durahub.backend import CreateInstance, InstanceCreated, Message
from durahub.protocol import messages as pb
from durahub.protocol.frames import fork_bytes
from durahub.types import AppId, ExecutionId, InstanceKey

from core.tests.engine import making
from tests.parity.flows import EPOCH, Context, Workflow, text
from tests.parity.hub import Hub, Sidecar
from tests.parity.store import plant
from tests.parity.test_dedup import RESOLUTIONS, activity, parent

FAILURE = pb.TaskFailureDetails(errorType="Planted", errorMessage="planted")


def task_failed() -> pb.HistoryEvent:
    return making.event("taskFailed", pb.TaskFailedEvent(taskScheduledId=0, failureDetails=FAILURE))


def child_completed() -> pb.HistoryEvent:
    body = pb.ChildWorkflowInstanceCompletedEvent(taskScheduledId=0, result=text("planted"))
    return making.event("childWorkflowInstanceCompleted", body)


def kind_of(event: pb.HistoryEvent) -> str:
    return event.WhichOneof("eventType") or ""


def hour(ctx: Context):
    yield ctx.sleep(3600)
    return f"woken, {(yield ctx.event('go'))}"


async def plant_before_the_first_turn(sidecar: Sidecar, *events: pb.HistoryEvent) -> None:
    """Start instance `a`, for which there is no worker yet, and put events into its inbox."""
    await sidecar.client.start("Flow", "a", at=EPOCH)
    run = (await sidecar.client.state("a")).executionId.value
    for event in events:
        await plant(sidecar, "a", event, run=run)


@pytest.mark.parametrize(
    ("flow", "early", "first"),
    [
        pytest.param(
            activity,
            making.task_completed(0, "planted"),
            "planted",
            id="completion",
            marks=pytest.mark.parity("dedup/early-completion"),
        ),
        pytest.param(
            activity,
            task_failed(),
            "failed: planted",
            id="failure",
            marks=pytest.mark.parity("dedup/early-failure"),
        ),
        pytest.param(
            parent,
            child_completed(),
            "planted",
            id="child",
            marks=pytest.mark.parity("dedup/early-child"),
        ),
        pytest.param(
            hour,
            making.timer_fired(0),
            "woken",
            id="timer",
            marks=pytest.mark.parity("dedup/early-timer"),
        ),
    ],
)
async def test_early_resolution_counts(
    hub: Hub, flow: Workflow, early: pb.HistoryEvent, first: str
) -> None:
    async with hub.sidecar() as sidecar:
        await plant_before_the_first_turn(sidecar, early)
        async with sidecar.worker({"Flow": flow}) as worker:
            await sidecar.client.until_event("a", kind_of(early))
            await sidecar.client.send("a", "go", "once")
            assert await sidecar.client.output("a") == f"{first}, once"
            kinds = await sidecar.client.kinds("a")
        assert sum(kind in RESOLUTIONS for kind in kinds) == 1
        assert (worker.tasks, await sidecar.client.ids()) == ([], ["a"])


@pytest.mark.parity("dedup/early-orphan")
@pytest.mark.parametrize(
    "orphan",
    [
        making.task_completed(77, "x"),
        making.task_failed(77),
        making.child_completed(77),
        making.child_failed(77),
        making.timer_fired(77),
    ],
    ids=kind_of,
)
async def test_resolution_of_nothing_leaves_no_trace(hub: Hub, orphan: pb.HistoryEvent) -> None:
    async with hub.sidecar() as sidecar:
        await plant_before_the_first_turn(sidecar, orphan)
        async with sidecar.worker(activity) as worker:
            await sidecar.client.until_event("a", "taskCompleted")
            run = (await sidecar.client.state("a")).executionId.value
            await plant(sidecar, "a", orphan, run=run)
            await sidecar.client.send("a", "go", "once")
            assert await sidecar.client.output("a") == "x, once"
            kinds = await sidecar.client.kinds("a")
        assert [kind for kind in kinds if kind in RESOLUTIONS] == ["taskCompleted"]
        assert worker.task_names() == ["work"]


async def plant_history(sidecar: Sidecar, instance_id: str, history: list[pb.HistoryEvent]) -> None:
    """Create an instance that begins with a history."""
    now = datetime.now(UTC)
    payload = fork_bytes(event.SerializeToString() for event in history)
    creation = CreateInstance(
        key=InstanceKey(AppId(sidecar.app), instance_id),
        name="Flow",
        execution_id=ExecutionId(uuid4().hex),
        created_at=now,
        start=Message(payload=payload),
    )
    result = await sidecar.engine._lane.write(creation)
    assert isinstance(result, InstanceCreated)


@pytest.mark.parity("dedup/stalledrecovery")
@pytest.mark.parametrize(
    ("flow", "kind"),
    [(activity, "taskCompleted"), (parent, "childWorkflowInstanceCompleted")],
)
async def test_history_with_a_result_before_its_schedule_is_replayed(
    hub: Hub, flow: Workflow, kind: str
) -> None:
    def child(ctx: Context):
        return ctx.input

    flows: dict[str, Workflow] = {"Flow": flow, "Child": child}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        await sidecar.client.start("Flow", "model")
        await sidecar.client.until_event("model", kind)
        opening, start, schedule, turn, result = await sidecar.client.history("model")
        before = await sidecar.client.ids()
        await plant_history(sidecar, "a", [opening, start, turn, result, schedule])
    async with hub.sidecar() as sidecar, sidecar.worker(flows) as worker:
        await sidecar.client.send("a", "go", "once")
        assert await sidecar.client.output("a") == "x, once"
        kinds = await sidecar.client.kinds("a")
        assert kinds.index(kind) < kinds.index(kind_of(schedule))
        assert worker.tasks == []
        assert await sidecar.client.ids() == [*before, "a"]

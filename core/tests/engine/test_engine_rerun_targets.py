"""Reruns from activities and children: their inputs and their ids."""

from __future__ import annotations

import pytest
from durahub.protocol import messages as pb
from durahub.types import InstanceKey

from . import making
from .hub import (
    finished,
    get,
    history,
    rerun,
    running,
    start,
    store_of,
    tell,
    terminate,
    until,
)
from .making import APP, text
from .rerunning import check, scheduled
from .worker import Turn, nothing_to_do, waiting_for, working


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "old"),
        ({"input": text("new")}, "old"),
        ({"input": text("new"), "overwriteInput": True}, "new"),
        ({"input": text(""), "overwriteInput": True}, ""),
        ({"overwriteInput": True}, None),
    ],
)
@pytest.mark.parametrize("event_id", [0, 1])
async def test_rerun_hands_the_input_to_the_target(
    fields: dict[str, object], expected: str | None, event_id: int
) -> None:
    """The target is an activity, or a child."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        child = making.child(1)
        child.createChildWorkflow.input.value = "old"
        known = [making.schedule(0, value="old"), child]
        return known if len(turn.resolved) < 2 else [making.complete("over")]

    flows = {"Flow": flow, "Child": nothing_to_do}
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "old")
        await finished(engine, "old")
        await rerun(engine, "old", event_id, "new", **fields)
        await check(engine, "new", "over")
        child = (await get(engine, "new:0001")).workflowState
        given = [child, worker.tasks[-1]][1 - event_id]
        assert (given.input.value if given.HasField("input") else None) == expected


def with_child(turn: Turn) -> list[pb.WorkflowAction]:
    if 0 in turn.resolved:
        kind = turn.resolved[0].WhichOneof("eventType") or ""
        failure = turn.resolved[0].childWorkflowInstanceFailed.failureDetails.errorType
        return [making.complete(failure or kind)]
    return [making.child(0, "kid")]


CHILD_DONE = "childWorkflowInstanceCompleted"


@pytest.mark.parametrize(
    ("fields", "child_id"), [({}, "new:0000"), ({"newChildWorkflowInstanceID": "mine"}, "mine")]
)
async def test_rerun_from_a_child_starts_another_one(fields: dict[str, str], child_id: str) -> None:
    flows = {"Flow": with_child, "Child": nothing_to_do}
    async with running() as engine, working(engine, flows):
        await start(engine, "old")
        await finished(engine, "old")
        before = (await get(engine, "kid"), await history(engine, "kid"))
        await rerun(engine, "old", 0, "new", **fields)
        events = await check(engine, "new", CHILD_DONE)
        child = (await get(engine, child_id)).workflowState
        assert child.workflowStatus == pb.ORCHESTRATION_STATUS_COMPLETED
        assert child.parentInstanceId.value == "new"
        assert (await get(engine, "kid"), await history(engine, "kid")) == before
    assert scheduled(events, 0).childWorkflowInstanceCreated.instanceId == child_id


async def test_rerun_with_an_open_child_starts_it_under_an_id_of_its_own() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == 2:
            return [making.complete("over")]
        return [making.child(10, "kid"), making.schedule(11)]

    flows = {"Flow": flow, "Child": waiting_for(1)}
    async with running() as engine, working(engine, flows):
        await start(engine, "old")
        await until(lambda: InstanceKey(APP, "kid") in store_of(engine).instances)
        await terminate(engine, "old")
        await rerun(engine, "old", 11, "new")
        await tell(engine, "new:000a", "go")
        await check(engine, "new", "over")
        await tell(engine, "kid", "go")


async def test_rerun_tells_the_parent_that_a_childs_id_is_occupied() -> None:
    flows = {"Flow": with_child, "Child": nothing_to_do, "Other": waiting_for(1)}
    async with running() as engine, working(engine, flows):
        await start(engine, "taken", "Other")
        await start(engine, "old")
        await finished(engine, "old")
        await rerun(engine, "old", 0, "new", newChildWorkflowInstanceID="taken")
        await check(engine, "new", "WorkflowInstanceAlreadyExists")
        await rerun(engine, "old", 0, "itself", newChildWorkflowInstanceID="itself")
        await check(engine, "itself", "WorkflowInstanceAlreadyExists")

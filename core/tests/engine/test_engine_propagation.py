"""History that activities and children are given: in every attempt and turn, and in a later sidecar."""

from __future__ import annotations

import asyncio

import pytest
from durahub.engine import Engine
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.types import AppId

from . import making
from .hub import (
    WatchedBackend,
    finished,
    get,
    history,
    rerun,
    row,
    running,
    start,
    status,
    store_of,
    tell,
    until,
)
from .making import APP
from .propagating import LINEAGE, OWN, events, ids, sharing
from .worker import Turn, Worker, Workflow, nothing_to_do, waiting_for, working

FAR = AppId("warehouse")


def calling(*actions: pb.WorkflowAction) -> Workflow:
    """Return a workflow that does one thing after the other."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        done = len(turn.resolved)
        return [making.complete("done")] if done == len(actions) else [actions[done]]

    return flow


def turns_of(worker: Worker, instance_id: str) -> list[pb.WorkflowRequest]:
    return [request for request in worker.requests if request.instanceId == instance_id]


def given_to(worker: Worker, instance_id: str) -> pb.PropagatedHistory:
    """Return what an instance was given, which is the same in every turn."""
    turns = turns_of(worker, instance_id)
    assert all(turn.HasField("propagatedHistory") for turn in turns)
    assert all(turn.propagatedHistory == turns[0].propagatedHistory for turn in turns)
    return turns[0].propagatedHistory


async def begins(engine: Engine, instance_id: str, part: list[pb.HistoryEvent]) -> None:
    """Check that a part of a history is how it begins, event by event."""
    assert (await history(engine, instance_id))[: len(part)] == part


def routed(action: pb.WorkflowAction, app_id: str = FAR) -> pb.WorkflowAction:
    action.router.targetAppID = app_id
    return action


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("cache", [0, 2**20])
async def test_child_is_given_its_parents_history_in_every_turn(
    stateful: bool,  # noqa: FBT001
    cache: int,
) -> None:
    parent = calling(making.schedule(0), sharing(making.child(1, "kid", "Kid"), OWN))
    flows = {"Flow": parent, "Kid": waiting_for(3)}
    async with (
        running(cached_history_bytes=cache) as engine,
        working(engine, flows, stateful=stateful) as worker,
    ):
        await start(engine, "a")
        await until(lambda: len(turns_of(worker, "kid")) == 1)
        for number in range(3):
            await tell(engine, "kid", "go", str(number))
        await finished(engine, "a")
        given = given_to(worker, "kid")
        await begins(engine, "a", events(given))
        assert making.kinds(events(given)) == [
            *("workflowStarted", "executionStarted", "taskScheduled"),
            *("workflowStarted", "taskCompleted", "childWorkflowInstanceCreated"),
        ]
        raw = await engine.client.history(pb.GetInstanceHistoryRequest(instanceId="kid"))
        assert given.chunks[0].rawEvents[-1] not in raw
        assert not any(turn.HasField("propagatedHistory") for turn in turns_of(worker, "a"))


async def test_child_is_given_the_same_by_a_later_sidecar() -> None:
    flows = {
        "Flow": calling(sharing(making.child(1, "kid", "Kid"), OWN)),
        "Kid": waiting_for(2),
    }
    store = MemoryStore()
    given = []
    for number in range(3):
        async with running(WatchedBackend(store)) as engine, working(engine, flows) as worker:
            if number == 0:
                await start(engine, "a")
            else:
                await tell(engine, "kid", "go", str(number))
            await until(lambda worker=worker: bool(turns_of(worker, "kid")))
            given.append(given_to(worker, "kid"))
            if number == 2:
                await finished(engine, "a")
    assert given[0] == given[1] == given[2]
    assert ids(given[0]) == ["a"]


async def test_each_attempt_of_an_activity_is_given_the_history_so_far() -> None:
    attempts = 3

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        failed = len(turn.resolved)
        if failed == attempts:
            return [making.complete("done")]
        return [sharing(making.schedule(failed), OWN)]

    async with running() as engine, working(engine, flow) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        assert len(worker.tasks) == attempts
        for number, task in enumerate(worker.tasks):
            part = events(task.propagatedHistory)
            await begins(engine, "a", part)
            assert making.kinds(part).count("taskCompleted") == number


async def test_activity_that_is_claimed_by_a_later_sidecar_is_given_the_same() -> None:
    store = MemoryStore()
    flow = calling(sharing(making.schedule(0), OWN))
    async with (
        running(WatchedBackend(store)) as engine,
        working(engine, flow, silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await until(lambda: len(worker.tasks) == 1)
        first = worker.tasks[0]
    async with running(WatchedBackend(store)) as engine, working(engine, flow) as worker:
        await finished(engine, "a")
        assert worker.tasks == [first]
        assert ids(first.propagatedHistory) == ["a"]


async def test_lineage_of_three_workflows_ends_where_one_draws_the_line() -> None:
    flows = {
        "Flow": calling(sharing(making.child(0, "b", "B"), OWN)),
        "B": calling(
            sharing(making.schedule(0), LINEAGE),
            sharing(making.child(1, "c", "C"), LINEAGE),
            sharing(making.child(2, "d", "D"), OWN),
            making.child(3, "e", "C"),
        ),
        "C": calling(sharing(making.schedule(0), LINEAGE)),
        "D": calling(sharing(making.schedule(0), LINEAGE)),
    }
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        assert ids(given_to(worker, "b")) == ["a"]
        assert ids(given_to(worker, "c")) == ["a", "b"]
        assert ids(given_to(worker, "d")) == ["b"]
        assert not turns_of(worker, "e")[0].HasField("propagatedHistory")
        tasks = {
            task.workflowInstance.instanceId: ids(task.propagatedHistory) for task in worker.tasks
        }
        assert tasks == {"b": ["a", "b"], "c": ["a", "b", "c"], "d": ["b", "d"], "e": ["e"]}
        for name, place in (("a", 0), ("b", 1)):
            await begins(engine, name, events(given_to(worker, "c"), place))


async def test_lineage_crosses_applications_and_says_whose_part_is_whose() -> None:
    store = MemoryStore()
    near_flows = {"Flow": calling(routed(sharing(making.child(0, "b", "B"), LINEAGE)))}
    far_flows = {
        "B": calling(
            routed(sharing(making.schedule(0), LINEAGE), APP), sharing(making.schedule(1), OWN)
        )
    }
    async with (
        running(WatchedBackend(store)) as near,
        running(WatchedBackend(store), app_id=FAR) as far,
        working(near, near_flows) as here,
        working(far, far_flows) as there,
    ):
        await start(near, "a")
        await finished(near, "a")
        parts = [
            (part.appId, part.instanceId, part.workflowName)
            for part in here.tasks[0].propagatedHistory.chunks
        ]
        assert parts == [(APP, "a", "Flow"), (FAR, "b", "B")]
        assert ids(given_to(there, "b")) == ["a"]
        assert [part.appId for part in there.tasks[0].propagatedHistory.chunks] == [FAR]


async def test_generations_of_a_child_are_given_those_before_them() -> None:
    def loop(turn: Turn) -> list[pb.WorkflowAction]:
        if not turn.resolved:
            return [sharing(making.schedule(0), LINEAGE)]
        if turn.input == "xx":
            return [making.complete("done")]
        return [making.continue_as_new(turn.input + "x")]

    flows = {"Flow": calling(sharing(making.child(0, "kid", "Kid"), LINEAGE)), "Kid": loop}
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        assert [ids(task.propagatedHistory) for task in worker.tasks] == [
            ["a", "kid"],
            ["a", "kid", "kid"],
            ["a", "kid", "kid", "kid"],
        ]
        kinds = making.kinds(events(worker.tasks[2].propagatedHistory, 1))
        assert kinds[-2:] == ["workflowStarted", "taskCompleted"]


async def test_rerun_hands_on_what_the_first_run_did() -> None:
    flows = {
        "Flow": calling(
            making.schedule(0),
            sharing(making.child(1, "", "Kid"), OWN),
            sharing(making.schedule(2), LINEAGE),
        ),
        "Kid": nothing_to_do,
    }
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "old")
        await finished(engine, "old")
        await rerun(engine, "old", 1, "new")
        await finished(engine, "new")
        given = given_to(worker, "new:0001")
        assert ids(given) == ["new"]
        await begins(engine, "new", events(given))
        assert [ids(task.propagatedHistory) for task in worker.tasks[1:]] == [["old"], ["new"]]


async def test_new_run_of_an_id_is_given_nothing_of_the_old_one() -> None:
    flows = {
        "Flow": calling(sharing(making.child(0, "kid", "Kid"), OWN)),
        "Kid": nothing_to_do,
    }
    async with running() as engine, working(engine, flows) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        await start(engine, "kid", "Kid")
        await finished(engine, "kid")
        first, second = turns_of(worker, "kid")
        assert first.HasField("propagatedHistory")
        assert not second.HasField("propagatedHistory")
        await start(engine, "b")
        await finished(engine, "b")
        assert ids(turns_of(worker, "kid")[2].propagatedHistory) == ["b"]


async def test_history_that_was_given_counts_for_the_payload_limit() -> None:
    def parent(_: Turn) -> list[pb.WorkflowAction]:
        return [sharing(making.child(0, "kid", "Kid"), OWN)]

    flows = {"Flow": parent, "Kid": nothing_to_do, "Good": nothing_to_do}
    async with running(max_message_bytes=10_000) as engine, working(engine, flows) as worker:
        await start(engine, "a", value="x" * 9_300)
        await until(lambda: row(engine, "kid").record.parked_reason is not None)
        state = (await get(engine, "kid")).workflowState
        assert "exceeds 95% of max gRPC body size 10000 bytes" in state.failureDetails.errorMessage
        await start(engine, "good", "Good")
        assert await status(engine, "good") == "COMPLETED"
        assert turns_of(worker, "kid") == []


async def test_activity_that_was_given_too_much_parks_its_workflow() -> None:
    def flow(_: Turn) -> list[pb.WorkflowAction]:
        return [sharing(making.schedule(0), OWN)]

    async with running(max_message_bytes=10_000) as engine, working(engine, flow) as worker:
        await start(engine, "a", value="x" * 9_350)
        assert await status(engine, "a") == "STALLED"
        reason = row(engine, "a").record.parked_reason
        assert reason is not None
        assert reason.startswith("activity 'charge::0' payload ")
        assert worker.tasks == []
        assert store_of(engine).tasks == {}

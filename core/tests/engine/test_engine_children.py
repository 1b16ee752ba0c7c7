"""Children: linked, answered exactly once, reached by termination and purge, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest
from durahub.errors import InstanceNotCompletedError
from durahub.protocol import messages as pb

from . import making
from .hub import (
    FOR_EVER,
    finished,
    get,
    history,
    purge,
    row,
    running,
    settled,
    start,
    status,
    tell,
    terminate,
    until,
)
from .worker import Turn, Worker, Workflow, nothing_to_do, waiting_for, working

OCCUPIED = "an active workflow with ID '{}' already exists"


def parent_of(*children: tuple[str, str]) -> Workflow:
    """Return a workflow that runs children and completes with what became of each."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == len(children):
            fates = [fate(event) for _, event in sorted(turn.resolved.items())]
            return [making.complete("|".join(fates), number=len(children))]
        return [
            making.child(number, instance_id, name)
            for number, (instance_id, name) in enumerate(children)
        ]

    return flow


def fate(event: pb.HistoryEvent) -> str:
    if event.HasField("childWorkflowInstanceCompleted"):
        return event.childWorkflowInstanceCompleted.result.value
    return event.childWorkflowInstanceFailed.failureDetails.errorMessage


async def test_run_of_many_children_gives_each_result_to_its_place() -> None:
    def double(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete(turn.id)]

    names = [(f"kid-{number}", "Kid") for number in range(100)]
    flows = {"Flow": parent_of(*names), "Kid": double}
    async with running(safety_poll=FOR_EVER) as engine, working(engine, flows):
        await start(engine, "a")
        state = await finished(engine, "a")
        assert state.output.value == "|".join(name for name, _ in names)


async def test_run_with_occupied_ids_fails_those_children_and_no_other() -> None:
    flows = {
        "Flow": parent_of(("taken", "Kid"), ("twin", "Kid"), ("twin", "Kid"), ("a", "Kid")),
        "Kid": nothing_to_do,
        "Busy": waiting_for(1),
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "taken", "Busy")
        await start(engine, "a")
        state = await finished(engine, "a")
        expected = [OCCUPIED.format("taken"), "done", OCCUPIED.format("twin"), OCCUPIED.format("a")]
        assert state.output.value == "|".join(expected)
        assert await status(engine, "taken") == "RUNNING"
        events = await history(engine, "a")
        failed = [
            e.childWorkflowInstanceFailed
            for e in events
            if e.HasField("childWorkflowInstanceFailed")
        ]
        assert {one.failureDetails.errorType for one in failed} == {"WorkflowInstanceAlreadyExists"}
        assert not any(one.failureDetails.isNonRetriable for one in failed)


async def test_run_with_the_id_of_an_ended_instance_replaces_it() -> None:
    flows = {"Flow": parent_of(("old", "Kid")), "Kid": nothing_to_do}
    async with running() as engine, working(engine, flows):
        await start(engine, "old", "Kid")
        await start(engine, "a")
        assert (await finished(engine, "a")).output.value == "done"
        assert row(engine, "old").record.generation == 2
        assert (await get(engine, "old")).workflowState.parentInstanceId.value == "a"


async def test_run_with_the_id_of_an_ended_instance_above_a_live_one_fails_the_child() -> None:
    flows = {
        "Flow": parent_of(("old", "Kid")),
        "Old": lambda _: [making.child(0, "leaf", "Busy"), making.complete()],
        "Kid": nothing_to_do,
        "Busy": waiting_for(1),
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "old", "Old")
        await start(engine, "a")
        assert (await finished(engine, "a")).output.value == OCCUPIED.format("old")


async def test_run_of_a_chain_a_hundred_deep_completes() -> None:
    def deeper(turn: Turn) -> list[pb.WorkflowAction]:
        depth = int(turn.id)
        if depth == 100 or turn.resolved:
            return [making.complete(str(depth), number=9)]
        return [making.child(1, str(depth + 1), "Flow")]

    async with running(safety_poll=FOR_EVER) as engine, working(engine, deeper):
        await start(engine, "0")
        await finished(engine, "0")
        assert await purge(engine, "0", recursive=True) == 101


async def test_run_of_a_cycle_fails_where_it_closes() -> None:
    flows = {"Flow": parent_of(("b", "Back")), "Back": parent_of(("a", "Flow"))}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        assert (await finished(engine, "a")).output.value == OCCUPIED.format("a")
        async with asyncio.timeout(10):
            assert await purge(engine, "a", recursive=True) == 2


async def test_run_of_a_child_over_generations_still_answers_its_parent() -> None:
    def looping(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input == "xxx":
            return [making.complete("at last")]
        return [making.continue_as_new(f"{turn.input}x")]

    flows = {"Flow": parent_of(("kid", "Kid")), "Kid": looping}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        assert (await finished(engine, "a")).output.value == "at last"


async def test_run_of_a_child_of_an_earlier_generation_leaves_the_next_alone() -> None:
    """Both generations wait under id 0; the first one's child answers later."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input != "next":
            go = making.continue_as_new("next")
            return [go] if turn.raised("go") else [making.child(0, "old", "Kid")]
        if turn.resolved:
            return [making.complete(fate(turn.resolved[0]))]
        return [making.child(0, "new", "Kid")]

    def kid(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete(turn.id)] if turn.raised() else []

    async with running() as engine, working(engine, {"Flow": flow, "Kid": kid}):
        await start(engine, "a")
        await tell(engine, "a", "go")
        await until(lambda: row(engine, "a").record.history_length == 3)
        await tell(engine, "old", "end")
        await finished(engine, "old")
        await settled()
        assert await status(engine, "a") == "RUNNING"
        await tell(engine, "new", "end")
        assert (await finished(engine, "a")).output.value == "new"


def family(turn: Turn) -> list[pb.WorkflowAction]:
    """a -> b -> c; all wait."""
    if turn.id == "c":
        return []
    return [making.child(0, {"a": "b", "b": "c"}[turn.id], "Flow")]


async def test_terminate_recursively_ends_the_whole_family() -> None:
    async with running() as engine, working(engine, family):
        await start(engine, "a")
        await until(lambda: len(engine._backend._store.instances) == 3)
        await terminate(engine, "a", "bye", recursive=True)
        for name in "abc":
            state = await finished(engine, name)
            assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
            assert state.output.value == "bye"


async def test_terminate_of_the_root_alone_leaves_the_family_running() -> None:
    async with running() as engine, working(engine, family):
        await start(engine, "a")
        await until(lambda: len(engine._backend._store.instances) == 3)
        await terminate(engine, "a")
        await settled()
        assert [await status(engine, name) for name in "bc"] == ["RUNNING", "RUNNING"]
        await terminate(engine, "a", recursive=True)
        for name in "bc":
            await finished(engine, name)


async def test_terminate_of_a_child_fails_it_in_its_parent_without_details() -> None:
    flows = {"Flow": parent_of(("kid", "Busy")), "Busy": waiting_for(1)}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        await until(lambda: len(engine._backend._store.instances) == 2)
        await terminate(engine, "kid", "bye")
        assert (await finished(engine, "a")).output.value == ""


async def test_terminate_recursively_reaches_below_a_child_that_has_ended() -> None:
    flows: dict[str, Workflow] = {
        "Flow": lambda _: [making.child(0, "mid", "Mid")],
        "Mid": lambda _: [making.child(0, "leaf", "Busy"), making.complete()],
        "Busy": waiting_for(1),
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        await until(lambda: len(engine._backend._store.instances) == 3)
        await finished(engine, "mid")
        await terminate(engine, "a", recursive=True)
        state = await finished(engine, "leaf")
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED


@pytest.mark.parametrize("ended", [False, True])
async def test_terminate_recursively_spares_a_stranger_under_a_childs_id(*, ended: bool) -> None:
    flows = {
        "Flow": lambda turn: (
            [making.child(0, "taken", "Kid"), *([making.complete()] if ended else [])]
            if not turn.resolved
            else []
        ),
        "Busy": waiting_for(1),
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "taken", "Busy")
        await start(engine, "a")
        await settled()
        await terminate(engine, "a", recursive=True)
        await asyncio.sleep(0.02)
        assert await status(engine, "taken") == "RUNNING"


async def answer_last(worker: Worker, *actions: pb.WorkflowAction) -> None:
    item = worker.items[-1]
    answer = pb.WorkflowResponse(instanceId=item.workflowRequest.instanceId, actions=actions)
    answer.completionToken = item.completionToken
    await worker.engine.complete_workflow(answer)


async def test_terminate_recursively_spares_a_stranger_whose_id_the_last_turn_wants() -> None:
    flows = {"Busy": waiting_for(1)}
    async with running(worker_grace=FOR_EVER) as engine, asyncio.TaskGroup() as group:
        async with working(engine, flows):
            await start(engine, "taken", "Busy")
        async with working(engine, flows, silent=True) as worker:
            call = group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await answer_last(worker)
            await call
            ending = group.create_task(terminate(engine, "a", "bye", recursive=True))
            await until(lambda: len(worker.items) == 2)
            ended = making.complete("bye", status=pb.ORCHESTRATION_STATUS_TERMINATED)
            wanted = making.child(0, "taken", "Busy"), making.child(1, "mine", "Busy")
            await answer_last(worker, *wanted, ended)
            await ending
        async with working(engine, flows):
            assert (await finished(engine, "mine")).output.value == "bye"
            await settled()
            assert await status(engine, "taken") == "RUNNING"


async def test_purge_recursively_spares_a_stranger_under_a_childs_id() -> None:
    flows = {
        "Flow": parent_of(("taken", "Kid"), ("kid", "Kid")),
        "Busy": waiting_for(1),
        "Kid": nothing_to_do,
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "taken", "Busy")
        await start(engine, "a")
        await finished(engine, "a")
        await tell(engine, "taken", "go", "mine")
        await finished(engine, "taken")
        assert await purge(engine, "a", recursive=True) == 2
        assert (await get(engine, "taken")).workflowState.output.value == "mine"


async def test_purge_recursively_of_its_own_parent_ends() -> None:
    flows = {"Flow": parent_of(("a", "Kid"))}
    async with running() as engine, working(engine, flows), asyncio.timeout(10):
        await start(engine, "a")
        await finished(engine, "a")
        await terminate(engine, "a", recursive=True)
        assert await purge(engine, "a", recursive=True) == 1


async def test_purge_recursively_removes_leaves_first_and_counts_all() -> None:
    async with running() as engine, working(engine, family):
        await start(engine, "a")
        await until(lambda: len(engine._backend._store.instances) == 3)
        with pytest.raises(InstanceNotCompletedError):
            await purge(engine, "a", recursive=True)
        await terminate(engine, "a")
        with pytest.raises(InstanceNotCompletedError):
            await purge(engine, "a", recursive=True)
        assert (await get(engine, "a")).exists
        assert await purge(engine, "a", recursive=True, force=True) == 3
        assert engine._backend._store.instances == {}


async def test_detach_of_a_workflow_runs_it_without_a_parent() -> None:
    flows = {
        "Flow": lambda _: [
            making.detached(0, "free", "Kid"),
            making.detached(1, "a", "Kid"),
            making.complete(),
        ],
        "Kid": nothing_to_do,
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        state = await finished(engine, "free")
        assert not state.HasField("parentInstanceId")
        kinds = making.kinds(await history(engine, "a"))
        assert kinds.count("detachedWorkflowInstanceCreated") == 2


async def test_send_event_between_instances_delivers_all_of_a_turn() -> None:
    flows = {
        "Flow": lambda _: [
            *(making.send(number, "b", "go", str(number)) for number in range(5)),
            making.complete(),
        ],
        "Sink": waiting_for(10),
    }
    async with running() as engine, working(engine, flows):
        await start(engine, "b", "Sink")
        await start(engine, "a")
        await start(engine, "c")
        state = await finished(engine, "b")
        assert sorted(state.output.value.split(",")) == sorted("0123401234")

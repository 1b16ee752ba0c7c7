"""Instances that can't go on: parked with a reason, alone, and back when somebody can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from durahub.backend import Message, StoredMessage
from durahub.engine import Engine
from durahub.errors import InstanceStalledError
from durahub.protocol import messages as pb
from durahub.testing.memory_rows import InstanceRow

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
    store_of,
    tell,
    terminate,
    until,
)
from .worker import Turn, fan_out, nothing_to_do, sequence, waiting_for, working

Damage = Callable[[InstanceRow], None]


async def parked(engine: Engine, instance_id: str) -> str:
    await until(lambda: row(engine, instance_id).record.parked_reason is not None)
    state = (await get(engine, instance_id)).workflowState
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_STALLED
    return state.failureDetails.errorMessage


def truncate_history(found: InstanceRow) -> None:
    found.history[1] = found.history[1][:-3]


def lose_a_row(found: InstanceRow) -> None:
    del found.history[0]


def lose_the_start(found: InstanceRow) -> None:
    found.history[1] = found.history[0]


def garble_the_inbox(found: InstanceRow) -> None:
    for number in found.inbox:
        found.inbox[number] = StoredMessage(
            message_id=number, message=Message(payload=b"\x0a\x02\xff\xff"), accepted_at=making.NOW
        )


def cut_the_inbox(found: InstanceRow) -> None:
    for number, stored in found.inbox.items():
        payload = stored.message.payload[:-1]
        found.inbox[number] = replace(stored, message=Message(payload=payload))


@pytest.mark.parametrize(
    "damage", [truncate_history, lose_a_row, lose_the_start, garble_the_inbox, cut_the_inbox]
)
async def test_corrupt_rows_park_their_instance_and_no_other(damage: Damage) -> None:
    async with running(cached_history_bytes=0, safety_poll=FOR_EVER) as engine:
        async with working(engine, waiting_for(1)):
            await start(engine, "bad")
            await start(engine, "good")
        await tell(engine, "bad", "go")
        damage(row(engine, "bad"))
        async with working(engine, waiting_for(1)):
            reason = await parked(engine, "bad")
            assert "Error: " in reason
            await tell(engine, "good", "go", "fine")
            assert (await finished(engine, "good")).output.value == "fine"
            revision = row(engine, "bad").record.revision
            await settled()
            assert row(engine, "bad").record.revision == revision
            assert row(engine, "bad").owner is None
        assert await purge(engine, "bad", force=True, recursive=True) == 1


@pytest.mark.parametrize("damage", [truncate_history, lose_a_row])
async def test_corrupt_descendant_holds_up_nobody_above_it(damage: Damage) -> None:
    def parent(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.complete("over")] if turn.raised() else [making.child(0, "kid", "Kid")]

    flows = {"Flow": parent, "Kid": nothing_to_do}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        await finished(engine, "kid")
        damage(row(engine, "kid"))
        await start(engine, "b")
        async with asyncio.timeout(10):
            await terminate(engine, "a", recursive=True)
        await tell(engine, "b", "go")
        assert (await finished(engine, "b")).output.value == "over"


async def test_corrupt_activity_fails_alone_and_the_engine_lives() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.resolved:
            return [making.complete(turn.resolved[0].taskFailed.failureDetails.errorType)]
        return [making.schedule(0)]

    async with running() as engine:
        async with working(engine, flow, silent=True) as worker, asyncio.TaskGroup() as group:
            group.create_task(start(engine, "bad"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
            await until(lambda: len(worker.tasks) == 1)
        await until(lambda: all(task.owner is None for task in store_of(engine).tasks.values()))
        for task in store_of(engine).tasks.values():
            task.task = replace(task.task, payload=b"\xff\xff")
        async with working(engine, {"Flow": flow, "Good": fan_out(3)}):
            await start(engine, "good", "Good")
            await finished(engine, "good")
            assert (await finished(engine, "bad")).output.value


@pytest.mark.parametrize(
    "actions",
    [
        [pb.WorkflowAction(id=1)],
        [making.complete(status=pb.ORCHESTRATION_STATUS_RUNNING)],
        [making.detached(1, "")],
        [making.schedule(1), making.schedule(1)],
    ],
)
async def test_senseless_answer_parks_and_applies_nothing(
    actions: list[pb.WorkflowAction],
) -> None:
    async with running(safety_poll=FOR_EVER) as engine:
        async with working(engine, lambda _: pb.WorkflowResponse(actions=actions)) as worker:
            await start(engine, "a")
            assert (await parked(engine, "a")).startswith("InvalidResponseError: ")
            assert await history(engine, "a") == []
            await settled()
            assert len(worker.requests) == 1
        async with working(engine, nothing_to_do):
            assert (await finished(engine, "a")).output.value == "done"


async def test_too_large_a_turn_parks_with_daprs_words_and_the_stream_lives() -> None:
    async with (
        running(max_message_bytes=10_000) as engine,
        working(engine, waiting_for(1)) as worker,
    ):
        await start(engine, "bad")
        await start(engine, "good")
        await tell(engine, "bad", "go", "x" * 9_600)
        reason = await parked(engine, "bad")
        size = int(reason.split()[3])
        assert 9_600 < size < 10_500
        assert reason == (
            f"Workflow payload size {size} bytes exceeds 95% of max gRPC body size 10000 bytes; "
            "increase daprd --max-body-size and restart to resume"
        )
        await tell(engine, "good", "go")
        await finished(engine, "good")
        assert len(worker.requests) == 3


@pytest.mark.parametrize("extra", [0, 1])
async def test_turn_at_the_very_limit_is_sent_and_one_byte_more_is_not(extra: int) -> None:
    async with running() as engine, working(engine, nothing_to_do) as worker:
        await start(engine, "a", value="x" * 5000)
        size = sum(len(event.SerializeToString()) for event in worker.requests[0].newEvents)
    limit = size * 100 // 95 + 1
    async with running(max_message_bytes=limit) as engine, working(engine, nothing_to_do):
        room = int(limit * 0.95) - size
        await start(engine, "a", value="x" * (5000 + room + extra))
        assert await status(engine, "a") == ("STALLED" if extra else "COMPLETED")


async def test_too_large_an_activity_parks_with_daprs_words() -> None:
    def flow(_: Turn) -> list[pb.WorkflowAction]:
        return [making.schedule(3, "charge", "x" * 9_600)]

    async with running(max_message_bytes=10_000) as engine, working(engine, flow) as worker:
        await start(engine, "a")
        reason = await parked(engine, "a")
        assert reason.startswith("activity 'charge::3' payload ")
        assert reason.endswith(
            " bytes exceeds 95% of max gRPC body size 10000 bytes; increase daprd --max-body-size "
            "and restart to resume: activity payload exceeds max gRPC body size"
        )
        assert worker.tasks == []
        assert making.kinds(await history(engine, "a")) == ["executionStalled"]


async def test_lack_of_the_version_parks_until_a_worker_with_it_connects() -> None:
    def old(_: Turn) -> list[pb.WorkflowAction]:
        return [making.schedule(8), making.lack_version()]

    def named(turn: Turn) -> pb.WorkflowResponse:
        answer = making.response(*sequence(2)(turn))
        answer.version.name = "v1"
        return answer

    async with running(safety_poll=FOR_EVER) as engine:
        async with working(engine, named, silent=True) as worker:
            async with asyncio.TaskGroup() as group:
                group.create_task(start(engine, "a"))
                await until(lambda: len(worker.items) == 1)
                await worker.answer(worker.items[0])
            await until(lambda: len(worker.items) == 2)
            await worker.answer(worker.items[1])
        async with working(engine, old) as worker:
            assert await parked(engine, "a") == "Version not available: v1"
            await settled()
            assert len(worker.requests) == 1
            assert store_of(engine).tasks == {}
        async with working(engine, old):
            await until(lambda: row(engine, "a").record.parked_reason is not None)
        async with working(engine, named):
            assert (await finished(engine, "a")).output.value == "0,1"
            kinds = making.kinds(await history(engine, "a"))
            assert kinds.count("executionStalled") == 1
            assert len(kinds) == 10


async def test_lack_of_the_version_in_a_rolling_upgrade_goes_to_the_worker_that_came() -> None:
    """The new worker connected while the old one was still thinking; no other will come."""
    async with (
        running(safety_poll=FOR_EVER) as engine,
        working(engine, nothing_to_do, silent=True) as old,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(old.items) == 1)
        async with working(engine, nothing_to_do):
            await lack_version(engine, "a")
            await settled()
            old.leave()
            await until(lambda: row(engine, "a").record.status.is_terminal)


async def test_lack_of_the_version_with_both_workers_staying_finds_the_right_one() -> None:
    async with (
        running(safety_poll=FOR_EVER) as engine,
        working(engine, lambda _: [making.lack_version()], silent=True) as old,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(old.items) == 1)
        async with working(engine, nothing_to_do):
            await settled()
            old.silent = False
            await old.answer(old.items[0])
            await asyncio.sleep(0.1)
            assert len(old.items) < 20
            assert await status(engine, "a") == "COMPLETED"


async def test_terminate_that_waits_when_the_instance_parks_is_told() -> None:
    async with running(safety_poll=FOR_EVER) as engine:
        async with working(engine, waiting_for(1)):
            await start(engine, "a")
        async with (
            working(engine, nothing_to_do, silent=True) as worker,
            asyncio.TaskGroup() as group,
        ):
            ending = group.create_task(refused(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await lack_version(engine, "a")
            _, waiting = await asyncio.wait([ending], timeout=0.5)
            ending.cancel()
            assert not waiting


async def refused(engine: Engine, instance_id: str) -> None:
    with pytest.raises(InstanceStalledError):
        await terminate(engine, instance_id)


async def lack_version(engine: Engine, instance_id: str) -> None:
    answer = making.response(making.lack_version())
    answer.instanceId = instance_id
    await engine.complete_workflow(answer)

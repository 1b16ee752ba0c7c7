"""Starting instances: when the call returns, what it leaves, and when an id may be used again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from durahub.backend import CreateInstance
from durahub.errors import InstanceExistsError, InstanceNotFoundError, InvalidRequestError
from durahub.protocol import messages as pb
from durahub.testing import ManualClock

from . import making
from .hub import (
    WatchedBackend,
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
from .making import SECOND
from .worker import Turn, nothing_to_do, waiting_for, working


async def test_start_without_a_worker_blocks_until_the_first_turn_is_durable() -> None:
    backend = WatchedBackend()
    gate = asyncio.Event()

    async def hold_the_turn(name: str) -> None:
        if name == "apply" and any(hasattr(op, "revision") for op in backend.batches[-1]):
            await gate.wait()

    async with running(backend) as engine, asyncio.TaskGroup() as group:
        call = group.create_task(start(engine, "a"))
        await until(lambda: len(backend.store.instances) == 1)
        await settled()
        assert not call.done()
        assert await status(engine, "a") == "PENDING"
        backend.before = hold_the_turn
        async with working(engine, nothing_to_do) as worker:
            await until(lambda: len(worker.requests) == 1)
            await settled()
            assert not call.done()
            gate.set()
            assert await call == "a"
            assert await status(engine, "a") == "COMPLETED"


async def test_start_without_an_id_makes_one() -> None:
    async with running() as engine, working(engine, nothing_to_do):
        names = {await start(engine, "") for _ in range(3)}
        assert len(names) == 3
        assert all([(await get(engine, name)).exists for name in names])


async def test_start_of_any_text_keeps_absent_and_empty_apart() -> None:
    def flow(turn: Turn) -> pb.WorkflowResponse:
        seen = turn.start.input.value if turn.start.HasField("input") else None
        return making.response(making.complete(seen), customStatus=making.text(seen))

    async with running() as engine, working(engine, flow):
        for name, value in (("none", None), ("empty", ""), ("nul", "\x00"), ("a|b@c/ß", "x")):
            await start(engine, name, value=value)
            state = await finished(engine, name)
            for text in (state.input, state.output, state.customStatus):
                assert text.value == (value or "")
            for field in ("input", "output", "customStatus"):
                assert state.HasField(field) == (value is not None)


async def test_start_with_a_time_returns_at_once_and_is_never_early() -> None:
    clock = ManualClock()
    async with running(clock=clock) as engine, working(engine, waiting_for(2)) as worker:
        await start(engine, "a", at=clock.now() + 10 * SECOND)
        await tell(engine, "a", "go", "1")
        await tell(engine, "a", "go", "2")
        clock.advance(10 * SECOND - timedelta(microseconds=1))
        await asyncio.sleep(0.1)
        assert (worker.requests, await status(engine, "a")) == ([], "PENDING")
        clock.advance(timedelta(microseconds=1))
        state = await finished(engine, "a")
        assert state.output.value == "1,2"
        assert state.startedAt.ToDatetime(clock.now().tzinfo) == clock.now()
        events = await history(engine, "a")
        assert making.kinds(events)[:3] == ["workflowStarted", "executionStarted", "eventRaised"]


async def test_start_with_a_time_in_the_past_begins_now() -> None:
    async with running() as engine, working(engine, nothing_to_do):
        await start(engine, "a", at=making.NOW)
        assert (await finished(engine, "a")).output.value == "done"


async def test_start_with_a_time_by_the_real_clock_wakes_without_polling() -> None:
    async with (
        running(safety_poll=timedelta(hours=1)) as engine,
        working(engine, nothing_to_do),
    ):
        at = engine._clock.now() + timedelta(seconds=0.15)
        await start(engine, "a", at=at)
        await finished(engine, "a")
        assert at <= engine._clock.now() < at + timedelta(seconds=1)


async def test_terminate_before_the_start_time_ends_it_without_a_worker() -> None:
    clock = ManualClock()
    async with running(clock=clock) as engine:
        await start(engine, "a", at=clock.now() + 10 * SECOND)
        await tell(engine, "a", "go")
        await terminate(engine, "a", "bye")
        state = (await get(engine, "a")).workflowState
        assert state.workflowStatus == pb.ORCHESTRATION_STATUS_TERMINATED
        assert state.output.value == "bye"


async def test_start_of_a_hundred_at_once_shares_commits() -> None:
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, nothing_to_do):
        backend.batches.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(start(engine, str(number)))
        assert len(backend.batches) <= 10
        created = [
            op for batch in backend.batches for op in batch if isinstance(op, CreateInstance)
        ]
        assert len(created) == 100
        assert backend.calls["history"] == 0


async def test_start_of_one_id_by_many_at_once_lets_exactly_one_win() -> None:
    async with running() as engine, working(engine, waiting_for(1)):
        calls = [start(engine, "a") for _ in range(100)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes.count("a") == 1
        losers = [outcome for outcome in outcomes if outcome != "a"]
        assert {str(loser) for loser in losers} == {"an active workflow with ID 'a' already exists"}
        assert all(isinstance(loser, InstanceExistsError) for loser in losers)


async def test_start_again_after_the_end_begins_a_new_generation() -> None:
    async with running() as engine, working(engine, nothing_to_do) as worker:
        await start(engine, "a", value="1")
        await start(engine, "a", value="2")
        state = await finished(engine, "a")
        assert state.input.value == "2"
        assert row(engine, "a").record.generation == 2
        executions = {request.executionId.value for request in worker.requests}
        assert len(executions) == 2
        assert len(await history(engine, "a")) == 3


async def test_start_again_with_unique_ids_is_refused_even_after_the_end() -> None:
    async with running() as engine, working(engine, nothing_to_do):
        await start(engine, "a", unique=True)
        with pytest.raises(InstanceExistsError, match="enforces instance ID uniqueness"):
            await start(engine, "a", unique=True)
        await purge(engine, "a")
        await start(engine, "a", unique=True)


def parent_of_two(_: Turn) -> list[pb.WorkflowAction]:
    return [making.child(1, "mid", "Mid"), making.complete()]


def parent_of_one(_: Turn) -> list[pb.WorkflowAction]:
    return [making.child(1, "leaf", "Leaf"), making.complete()]


async def test_start_again_above_a_live_descendant_is_refused_with_the_path() -> None:
    flows = {"Flow": parent_of_two, "Mid": parent_of_one, "Leaf": waiting_for(1)}
    async with running() as engine, working(engine, flows):
        await start(engine, "a")
        await finished(engine, "mid")
        with pytest.raises(InstanceExistsError) as refusal:
            await start(engine, "a")
        assert str(refusal.value) == (
            "cannot recreate workflow with ID 'a': child workflow 'mid': child workflow 'leaf': "
            "orchestration has not yet completed"
        )
        await tell(engine, "leaf", "go")
        await finished(engine, "leaf")
        await start(engine, "a")


async def test_start_after_a_cancelled_start_finds_the_instance() -> None:
    async with running() as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await start(engine, "a")
        assert engine._watchers._waiting == {}
        async with working(engine, nothing_to_do):
            await finished(engine, "a")


async def test_get_and_wait_of_what_is_not_there_say_so() -> None:
    async with running() as engine:
        assert not (await get(engine, "a")).exists
        with pytest.raises(InstanceNotFoundError, match="no such instance exists"):
            await finished(engine, "a")
        with pytest.raises(InstanceNotFoundError):
            await engine.client.wait_for_start(pb.GetInstanceRequest(instanceId="a"))
        with pytest.raises(InstanceNotFoundError):
            await history(engine, "a")
        assert engine._watchers._waiting == {}


async def test_wait_when_cancelled_ends_alone_and_leaves_nothing_behind() -> None:
    async with running() as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(finished(engine, "a"))
            second = group.create_task(finished(engine, "a"))
            await settled()
            first.cancel()
            await settled()
            assert not second.done()
            await tell(engine, "a", "go", "1")
            assert (await second).output.value == "1"
        assert engine._watchers._waiting == {}


async def test_list_pages_through_all_instances_in_order_of_creation() -> None:
    async with running() as engine, working(engine, nothing_to_do):
        for number in range(7):
            await start(engine, f"{number}%_")
        found: list[str] = []
        token = None
        for _ in range(4):
            page = await engine.client.list_ids(
                pb.ListInstanceIDsRequest(pageSize=2, continuationToken=token)
            )
            found += page.instanceIds
            token = page.continuationToken
            assert page.HasField("continuationToken") == (len(found) < 7)
        assert found == [f"{number}%_" for number in range(7)]


async def test_list_with_a_token_of_somebody_else_is_refused() -> None:
    async with running() as engine:
        with pytest.raises(InvalidRequestError, match="the continuation token is not valid"):
            await engine.client.list_ids(pb.ListInstanceIDsRequest(continuationToken="nonsense"))


async def test_router_with_a_namespace_and_no_application_is_refused() -> None:
    request = pb.CreateInstanceRequest(instanceId="a", name="Flow")
    request.router.targetAppNamespace = "other"
    async with running() as engine:
        with pytest.raises(InvalidRequestError, match="requires a target app ID"):
            await engine.client.start(request)


async def test_start_at_no_time_at_all_is_refused() -> None:
    request = pb.CreateInstanceRequest(instanceId="a", name="Flow")
    request.scheduledStartTimestamp.nanos = -5
    async with running() as engine:
        with pytest.raises(InvalidRequestError, match="-5 nanoseconds is not a time"):
            await engine.client.start(request)

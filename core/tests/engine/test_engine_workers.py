"""Workers that come and go, answer late or not at all, and never get more than allowed."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import timedelta

import pytest
from durahub.engine.dispatch import Dispatcher
from durahub.engine.streams import OUTBOX_ITEMS, ItemName, WorkerStream
from durahub.errors import ShuttingDownError, StreamEndedError
from durahub.protocol import messages as pb

from . import making
from .hub import (
    FOR_EVER,
    finished,
    history,
    row,
    running,
    settled,
    start,
    store_of,
    tell,
    terminate,
    until,
)
from .worker import Turn, echo, fan_out, nothing_to_do, sequence, waiting_for, working


async def test_disconnect_of_a_worker_gives_its_turn_to_another_at_once() -> None:
    async with (
        running(worker_grace=FOR_EVER, safety_poll=FOR_EVER) as engine,
        asyncio.TaskGroup() as group,
    ):
        async with working(engine, nothing_to_do, silent=True) as first:
            call = group.create_task(start(engine, "a"))
            await until(lambda: len(first.items) == 1)
            async with working(engine, nothing_to_do, silent=True) as second:
                await settled()
                assert second.items == []
                first_stream = engine._dispatcher._streams[1]
                assert len(first_stream.in_flight) == 1
        async with working(engine, nothing_to_do) as third:
            await call
            assert len(third.items) == 1
            assert third.items[0].completionToken != first.items[0].completionToken


async def test_disconnect_while_another_worker_is_there_moves_everything_over() -> None:
    async with running(worker_grace=FOR_EVER, safety_poll=FOR_EVER) as engine:
        async with working(engine, fan_out(6), silent=True) as first, asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(first.items) == 1)
            await first.answer(first.items[0])
            await until(lambda: len(first.tasks) == 6)
            second_context = working(engine, fan_out(6))
            second = await second_context.__aenter__()
        try:
            state = await finished(engine, "a")
            assert state.output.value == "0,1,2,3,4,5"
            assert len(second.tasks) == 6
        finally:
            await second_context.__aexit__(None, None, None)


async def test_answer_of_a_worker_that_was_replaced_is_ignored() -> None:
    async with running(worker_grace=FOR_EVER) as engine, asyncio.TaskGroup() as group:
        call = group.create_task(start(engine, "a"))
        async with working(engine, nothing_to_do, silent=True) as first:
            await until(lambda: len(first.items) == 1)
        async with working(engine, nothing_to_do, silent=True) as second:
            await until(lambda: len(second.items) == 1)
            stale = making.response(making.complete("stale"))
            stale.instanceId, stale.completionToken = "a", first.items[0].completionToken
            await engine.complete_workflow(stale)
            await settled()
            assert not call.done()
            await second.answer(second.items[0])
            await call
        assert (await finished(engine, "a")).output.value == "done"


async def test_reconnect_many_times_leaks_nothing() -> None:
    async with running() as engine:
        for _ in range(50):
            async with working(engine, nothing_to_do):
                pass
        assert engine.connected_workers == 0
        async with working(engine, nothing_to_do):
            await start(engine, "a")
        assert engine._dispatcher._by_name == {}
        assert not engine._dispatcher._pending


async def test_claim_without_a_worker_is_given_back_after_the_grace() -> None:
    async with running(safety_poll=FOR_EVER) as engine, asyncio.TaskGroup() as group:
        async with working(engine, nothing_to_do, silent=True) as worker:
            call = group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            assert row(engine, "a").owner is not None
        await until(lambda: row(engine, "a").owner is None)
        async with working(engine, nothing_to_do):
            await call


async def test_limits_bound_what_is_dispatched_and_starve_nobody() -> None:
    async def slow(request: pb.ActivityRequest) -> str | None:
        await asyncio.sleep(0.001)
        return await echo(request)

    async with (
        running(
            max_concurrent_workflows=2, max_concurrent_activities=3, safety_poll=FOR_EVER
        ) as engine,
        working(engine, fan_out(4), slow, stateful=True) as worker,
    ):
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(start(engine, str(number)))
        for number in range(50):
            assert (await finished(engine, str(number))).output.value == "0,1,2,3"
        assert (worker.most_turns, worker.most_activities) == (2, 3)
        assert len(worker.tasks) == 200


@pytest.mark.parametrize("limit", [1, 7])
async def test_limits_with_work_left_by_a_busy_time_find_it_without_polling(limit: int) -> None:
    """What waits was created while nobody was there; nothing but a free place can wake it."""
    async with running(
        max_concurrent_workflows=limit, max_concurrent_activities=limit, safety_poll=FOR_EVER
    ) as engine:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(start(engine, str(number)))
            await until(lambda: len(store_of(engine).instances) == 40)
            context = working(engine, sequence(2))
            await context.__aenter__()
        for number in range(40):
            await finished(engine, str(number))
        await context.__aexit__(None, None, None)


async def test_limits_hold_for_what_was_claimed_in_a_hurry_without_a_worker() -> None:
    async with running(
        max_concurrent_workflows=1, worker_grace=FOR_EVER, safety_poll=FOR_EVER
    ) as engine:
        names = [str(number) for number in range(20)]
        async with working(engine, waiting_for(1)):
            for name in names:
                await start(engine, name)
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(terminate(engine, name))
            await asyncio.sleep(0.02)
            context = working(engine, waiting_for(1))
            worker = await context.__aenter__()
        await context.__aexit__(None, None, None)
        assert worker.most_turns == 1


async def test_limits_with_an_endless_loop_leave_room_for_others() -> None:
    flows = {"Loop": lambda _: [making.continue_as_new()], "Flow": sequence(2)}
    async with (
        running(
            max_concurrent_workflows=1, max_concurrent_activities=1, safety_poll=FOR_EVER
        ) as engine,
        working(engine, flows),
    ):
        await start(engine, "loop", "Loop")
        for number in range(5):
            await start(engine, str(number))
            await finished(engine, str(number))
        await terminate(engine, "loop")


async def test_stream_with_a_limit_gets_no_item_before_it_answers_another() -> None:
    limit = 10
    async with (
        running(safety_poll=FOR_EVER) as engine,
        working(engine, fan_out(25), silent=True, items_limit=limit) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        for answered in range(25):
            expected = min(25, answered + limit)
            await until(lambda expected=expected: len(worker.tasks) == expected)
            await settled()
            assert len(worker.tasks) == expected
            await worker.answer(worker.items[1 + answered])


async def test_stream_without_a_limit_gets_turns_however_many_activities_it_has() -> None:
    async with (
        running(safety_poll=FOR_EVER) as engine,
        working(engine, fan_out(150), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await until(lambda: len(worker.tasks) == 150)
        group.create_task(start(engine, "b"))
        await until(lambda: len(worker.requests) == 2)
        await worker.answer(worker.items[-1])


async def test_turns_of_one_instance_stay_with_one_stateful_worker() -> None:
    async with (
        running() as engine,
        working(engine, sequence(6), stateful=True) as one,
        working(engine, sequence(6), stateful=True) as two,
    ):
        for number in range(8):
            await start(engine, str(number))
            await finished(engine, str(number))
        mine = {request.instanceId for request in one.requests}
        theirs = {request.instanceId for request in two.requests}
        assert not mine & theirs
        assert len(mine | theirs) == 8


async def test_take_by_a_slow_reader_keeps_items_until_it_leaves() -> None:
    async with running(worker_grace=FOR_EVER, safety_poll=FOR_EVER) as engine:
        stream = engine.work_items(pb.GetWorkItemsRequest())
        async with asyncio.TaskGroup() as group:
            first_item = group.create_task(anext(stream))
            await until(lambda: engine.connected_workers == 1)
            calls = [group.create_task(start(engine, str(number))) for number in range(5)]
            await first_item
            await settled()
            await stream.aclose()
            assert engine.connected_workers == 0
            async with working(engine, nothing_to_do) as worker:
                await asyncio.gather(*calls)
            assert len(worker.items) == 5


async def test_connect_after_closing_is_refused_and_open_streams_end() -> None:
    async with running() as engine, working(engine, waiting_for(1)) as worker:
        await start(engine, "a")
        await engine.close_streams()
        with pytest.raises(ShuttingDownError):
            await anext(engine.work_items(pb.GetWorkItemsRequest()))
        await until(lambda: engine.connected_workers == 0)
        await tell(engine, "a", "go")
        await settled()
        assert len(worker.requests) == 1
        assert row(engine, "a").owner is None


# The dispatcher alone


def item_frame(_: WorkerStream, token: str) -> bytes:
    return pb.WorkItem(completionToken=token).SerializeToString()


async def test_ask_that_was_cancelled_while_waiting_is_never_dispatched() -> None:
    dispatcher = Dispatcher(grace_s=60, ping_s=60, on_room=lambda: None)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(dispatcher.ask(ItemName("ghost", 1), item_frame))
        await settled()
        asking.cancel()
        await settled()
        stream = dispatcher.serve(stateful_history=False)
        taking = group.create_task(anext(stream))
        await settled()
        assert not taking.done()
        (open_stream,) = dispatcher._streams.values()
        assert open_stream.in_flight == set()
        taking.cancel()
    assert not dispatcher._pending


async def test_ask_that_was_answered_without_a_token_while_waiting_is_never_dispatched() -> None:
    dispatcher = Dispatcher(grace_s=60, ping_s=60, on_room=lambda: None)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(dispatcher.ask(ItemName("ghost", None), item_frame))
        await settled()
        await dispatcher.complete(ItemName("ghost", None), "", pb.WorkflowResponse())
        await asking
        taking = group.create_task(anext(dispatcher.serve(stateful_history=False)))
        await settled()
        assert not taking.done()
        taking.cancel()


async def test_ask_without_any_worker_gives_up_after_the_grace_and_not_before() -> None:
    async with (
        running(worker_grace=timedelta(seconds=0.5), safety_poll=FOR_EVER) as engine,
        asyncio.TaskGroup() as group,
    ):
        async with working(engine, sequence(1), silent=True) as worker:
            call = group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
        await asyncio.sleep(0.02)
        assert row(engine, "a").owner is not None
        await until(lambda: row(engine, "a").owner is None)
        async with working(engine, sequence(1)):
            await call
            await finished(engine, "a")
        assert len(await history(engine, "a")) == 6


async def test_worker_that_takes_nothing_leaves_the_work_to_others() -> None:
    async with running() as engine:
        lazy = engine.work_items(pb.GetWorkItemsRequest())
        async with aclosing(lazy), asyncio.TaskGroup() as group:
            first = group.create_task(anext(lazy))
            calls = [group.create_task(start(engine, f"a{number}")) for number in range(200)]
            await first
            async with working(engine, nothing_to_do):
                await until(lambda: sum(call.done() for call in calls) >= 200 - OUTBOX_ITEMS - 1)
                assert sum(call.done() for call in calls) < 200
                await lazy.aclose()
                await asyncio.wait(calls)


async def test_payloads_in_flight_are_bounded_by_their_size() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == 20:
            return [making.complete()]
        return [making.schedule(number, value="x" * 10_000) for number in range(20)]

    async with (
        running(in_flight_bytes=30_000, safety_poll=FOR_EVER) as engine,
        asyncio.TaskGroup() as group,
    ):
        async with working(engine, flow, silent=True) as worker:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
            await until(lambda: len(worker.tasks) == 20)
            group.create_task(start(engine, "b"))
            await settled()
            assert len(worker.items) == 21
            for item in worker.items[1:]:
                await worker.answer(item)
            await until(lambda: len(worker.items) > 21)
        async with working(engine, flow):
            await finished(engine, "a")
            await finished(engine, "b")
        assert engine._workbench._bytes == 0


async def test_pause_of_the_process_gives_unanswered_work_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers that were sent meanwhile are lost, and the streams that brought the work live on."""
    monkeypatch.setattr("durahub.engine.pauses.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("durahub.engine.pauses.LONGEST_UNNOTICED_S", 0.2)
    async with running() as engine:
        lost = engine.work_items(pb.GetWorkItemsRequest())
        async with asyncio.TaskGroup() as group:
            call = group.create_task(start(engine, "a"))
            await anext(lost)
            time.sleep(0.4)  # noqa: ASYNC251, TID251 -- the pause
            with pytest.raises(StreamEndedError, match="did not run for"):
                await anext(lost)
            async with working(engine, nothing_to_do):
                await call

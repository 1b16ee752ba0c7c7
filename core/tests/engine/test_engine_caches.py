"""What is kept to be fast: histories at workers and in memory. Correct without, bounded with."""

from __future__ import annotations

import asyncio

from durahub.backend import Deliver, ParkInstance
from durahub.engine.residents import Resident, Residents
from durahub.engine.state import fold
from durahub.protocol import messages as pb
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus

from . import making
from .hub import (
    FOR_EVER,
    WatchedBackend,
    finished,
    history,
    purge,
    row,
    running,
    settled,
    start,
    store_of,
    tell,
    until,
)
from .making import APP, KEY, NOW
from .worker import Turn, fan_out, sequence, waiting_for, working


async def test_stateful_worker_gets_deltas_from_the_third_turn_on() -> None:
    async with running() as engine, working(engine, sequence(5), stateful=True) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        events = await history(engine, "a")
        counts = [request.cachedHistory.eventCount for request in worker.requests]
        assert counts == [0, 0, 3, 6, 9, 12]
        for request, count in zip(worker.requests, counts, strict=True):
            assert request.HasField("cachedHistory") == bool(count)
            assert list(request.pastEvents) == events[count : count + len(request.pastEvents)]
            assert request.newEvents[0].HasField("workflowStarted")
        lengths = [
            count + len(r.pastEvents) for r, count in zip(worker.requests, counts, strict=True)
        ]
        assert lengths == [0, 3, 6, 9, 12, 15]


async def test_plain_worker_always_gets_everything() -> None:
    async with running() as engine, working(engine, sequence(3)) as worker:
        await start(engine, "a")
        await finished(engine, "a")
        assert [len(request.pastEvents) for request in worker.requests] == [0, 3, 6, 9]
        assert not any(request.HasField("cachedHistory") for request in worker.requests)


def endless(turn: Turn) -> list[pb.WorkflowAction]:
    """Three activities, then anew, three generations long."""
    done = len(turn.resolved)
    if done < 3:
        return [making.schedule(done)]
    if turn.input == "3":
        return [making.complete("over", number=3)]
    return [making.continue_as_new(str(int(turn.input) + 1))]


async def test_stateful_worker_starts_over_with_every_generation_and_connection() -> None:
    """The worker itself checks that each delta continues what it was sent of that execution."""
    async with running() as engine:
        async with working(engine, endless, stateful=True) as worker:
            await start(engine, "a", value="1")
            await finished(engine, "a")
            fresh = [request for request in worker.requests if not request.pastEvents]
            assert len(fresh) == len({request.executionId.value for request in fresh}) == 3
            assert not any(request.HasField("cachedHistory") for request in fresh)
            assert any(request.HasField("cachedHistory") for request in worker.requests)
        async with working(engine, waiting_for(5), stateful=True) as worker:
            await start(engine, "b")
            for count in (1, 2):
                await tell(engine, "b", "go", str(count))
                await until(lambda count=count: row(engine, "b").record.revision == 1 + count)
        async with working(engine, waiting_for(5), stateful=True) as worker:
            for data in "345":
                await tell(engine, "b", "go", data)
                await settled()
            state = await finished(engine, "b")
            assert state.output.value == "1,2,3,4,5"
            assert not worker.requests[0].HasField("cachedHistory")


async def test_history_while_a_turn_is_in_flight_is_what_was_sent() -> None:
    async with (
        running() as engine,
        working(engine, sequence(2), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(engine, "a"))
        for number in range(4):
            await until(lambda count=number + 1: len(worker.items) == count)
            if worker.items[-1].HasField("workflowRequest"):
                sent = list(worker.items[-1].workflowRequest.pastEvents)
                assert await history(engine, "a") == sent
            await worker.answer(worker.items[-1])


async def test_watermarks_of_ended_instances_are_forgotten() -> None:
    async with running() as engine, working(engine, sequence(2), stateful=True):
        for number in range(20):
            await start(engine, str(number))
            await finished(engine, str(number))
        await settled()
        (stream,) = engine._dispatcher._streams.values()
        assert stream.watermarks == {}


async def test_residents_stay_within_their_bound_and_everything_still_works() -> None:
    limit_bytes = 3000
    backend = WatchedBackend()
    async with (
        running(backend, cached_history_bytes=limit_bytes) as engine,
        working(engine, waiting_for(3)),
    ):
        for number in range(30):
            await start(engine, str(number), value="x" * 100)
        for data in "123":
            for number in range(30):
                await tell(engine, str(number), "go", data)
            kept = engine._residents
            await settled()
            assert kept._size_bytes <= limit_bytes
            assert kept._size_bytes == sum(one.size_bytes for one in kept._kept.values())
        for number in range(30):
            assert (await finished(engine, str(number))).output.value == "1,2,3"
        assert kept._kept == {}
        assert kept._size_bytes == 0
        assert backend.calls["history"] > 0


async def test_residents_without_room_read_every_time() -> None:
    backend = WatchedBackend()
    async with running(backend, cached_history_bytes=0) as engine, working(engine, sequence(4)):
        await start(engine, "a")
        await finished(engine, "a")
        assert backend.calls["history"] == 4


async def test_residents_with_room_never_read() -> None:
    backend = WatchedBackend()
    flows = {"Flow": sequence(4), "Wide": fan_out(50)}
    async with running(backend) as engine, working(engine, flows):
        await start(engine, "a")
        await start(engine, "b", "Wide")
        await finished(engine, "a")
        await finished(engine, "b")
        assert backend.calls["history"] == 0


async def test_take_after_a_purge_and_a_new_start_never_gives_the_old_history() -> None:
    """The new run reached the same revision elsewhere."""
    backend = WatchedBackend()
    async with running(backend) as engine, working(engine, waiting_for(2)):
        await start(engine, KEY.instance_id)
        stored = row(engine, KEY.instance_id)
        old = making.raws([making.opened(), making.started("old")])
        residents = Residents(backend, 10_000)
        other = ExecutionId("an older run")
        residents.put(KEY, Resident(other, stored.record.revision, fold(old), old, 9))
        claimed = stored.claimed(NOW)
        taken = await residents.take(claimed)
        assert taken.history == stored.history
        assert taken.execution_id == claimed.record.execution_id


async def test_take_of_a_replaced_instance_in_two_engines_runs_the_new_one() -> None:
    store = WatchedBackend().store
    async with (
        running(WatchedBackend(store)) as one,
        running(WatchedBackend(store)) as two,
    ):
        async with working(one, waiting_for(1)):
            await start(one, "a", value="old")
        await purge(one, "a", force=True)
        async with working(two, waiting_for(1)):
            await start(two, "a", value="new")
        assert row(one, "a").record.revision == 1
        async with working(one, waiting_for(1)) as worker:
            await tell(one, "a", "go", "x")
            await finished(one, "a")
            (request,) = worker.requests
            assert request.pastEvents[1].executionStarted.input.value == "new"
        assert store_of(one).instances[making.InstanceKey(APP, "a")].record.status is (
            RuntimeStatus.COMPLETED
        )


async def test_describe_of_a_resident_run_and_a_read_one_is_the_same() -> None:
    """With and without memory, the worker is sent the same bytes."""
    sent = []
    for limit_bytes in (0, 1_000_000):
        async with (
            running(cached_history_bytes=limit_bytes) as engine,
            working(engine, sequence(3)) as worker,
        ):
            await start(engine, "a")
            await finished(engine, "a")
            sent.append([making.kinds(request.pastEvents) for request in worker.requests])
    assert sent[0] == sent[1]


async def test_turn_whose_instance_changes_while_its_history_is_read_is_no_damage() -> None:
    backend = WatchedBackend()

    async def interfere(name: str) -> None:
        if name != "history" or backend.calls["history"] > 1:
            return
        assert engine._session is not None
        key = InstanceKey(APP, "a")
        park = ParkInstance(key=key, reason="the test", updated_at=NOW)
        await backend.apply(engine._session.session_id, [park])
        await engine._lane.write(Deliver(key=key, messages=(), expedite=True))
        await until(lambda: backend.calls["history"] > 1)

    async with (
        running(backend, cached_history_bytes=0, safety_poll=FOR_EVER) as engine,
        working(engine, waiting_for(1)),
    ):
        await start(engine, "a")
        backend.before = interfere
        await tell(engine, "a", "go", "x")
        assert (await finished(engine, "a")).output.value == "x"
        assert row(engine, "a").record.parked_reason is None

"""Workers that keep histories: what they are sent, and what they ask for again."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, MutableMapping

import pytest
from durahub.protocol import messages as pb

from core.tests.engine.hub import until
from tests.parity.client import ANSWER_S
from tests.parity.flows import Context
from tests.parity.hub import Hub, Sidecar
from tests.parity.worker import Worker

STEPS = 12


def in_steps(ctx: Context):
    done = ""
    for number in range(STEPS):
        done += yield ctx.activity("work", f"{ctx.id}{number} ")
    return done


def outcome(instance_id: str) -> str:
    return "".join(f"{instance_id}{number} " for number in range(STEPS))


def shape(events: list[pb.HistoryEvent]) -> list[bytes]:
    """Return events without what differs from run to run: times and execution ids."""
    shaped = []
    for event in events:
        copy = pb.HistoryEvent.FromString(event.SerializeToString())
        copy.ClearField("timestamp")
        if copy.HasField("executionStarted"):
            copy.executionStarted.workflowInstance.ClearField("executionId")
        shaped.append(copy.SerializeToString(deterministic=True))
    return shaped


def deltas(worker: Worker, instance_id: str = "a") -> list[bool]:
    """Return for every turn of an instance whether the worker was sent a part only."""
    return [
        request.HasField("cachedHistory")
        for request in worker.requests
        if request.instanceId == instance_id
    ]


async def run(sidecar: Sidecar, instance_id: str = "a") -> list[pb.HistoryEvent]:
    await sidecar.client.start("Flow", instance_id)
    assert await sidecar.client.output(instance_id) == outcome(instance_id)
    return await sidecar.client.history(instance_id)


@pytest.mark.parity("statefulhistory/baseline", "statefulhistory/disabled")
async def test_history_is_the_same_whether_the_worker_keeps_it_or_not(hub: Hub) -> None:
    histories = []
    async with hub.sidecar() as sidecar:
        for stateful in (True, False):
            async with sidecar.worker(in_steps, stateful=stateful) as worker:
                histories.append(shape(await run(sidecar)))
                assert any(deltas(worker)) == stateful
            if not stateful:
                sent = [len(request.pastEvents) for request in worker.requests]
                assert sent == [0, *range(3, 3 * STEPS + 1, 3)]
    assert histories[0] == histories[1]


@pytest.mark.parity("statefulhistory/happypath")
async def test_most_turns_bring_only_what_is_new(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(in_steps, stateful=True) as worker:
        events = await run(sidecar)
    assert deltas(worker) == [False, False, *[True] * (STEPS - 1)]
    for request in worker.requests[2:]:
        known = request.cachedHistory.eventCount
        assert list(request.pastEvents) == events[known : known + 3]


@pytest.mark.parity("statefulhistory/largehistory")
async def test_long_history_is_sent_whole_twice_at_most(hub: Hub) -> None:
    def waiting(ctx: Context):
        size = 0
        for _ in range(100):
            data = yield ctx.event("go")
            size += len(data)
        return str(size)

    async with hub.sidecar() as sidecar, sidecar.worker(waiting, stateful=True) as worker:
        await sidecar.client.start("Flow", "a")
        for number in range(1, 101):
            await sidecar.client.send("a", "go", "x" * 1000)
            await sidecar.client.until_event("a", "eventRaised", number)
        assert await sidecar.client.output("a") == "100000"
    assert len(deltas(worker)) == 101
    assert deltas(worker).count(False) <= 2
    assert sum(request.ByteSize() for request in worker.requests) < 5 * 100 * 1000


def six_events(ctx: Context):
    for _ in range(6):
        yield ctx.event("go")


@pytest.mark.parity("statefulhistory/reconnect")
async def test_worker_that_connects_again_is_sent_everything_once(hub: Hub) -> None:
    async with hub.sidecar() as sidecar:
        async with sidecar.worker(six_events, stateful=True) as worker:
            await sidecar.client.start("Flow", "a")
            await send_one_by_one(sidecar, range(1, 4))
        assert deltas(worker) == [False, False, True, True]
        async with sidecar.worker(six_events, stateful=True) as worker:
            await send_one_by_one(sidecar, range(4, 7))
            await sidecar.client.finished("a")
        assert deltas(worker) == [False, True, True]
        assert [len(request.pastEvents) for request in worker.requests] == [8, 2, 2]


async def send_one_by_one(sidecar: Sidecar, numbers: range) -> None:
    for number in numbers:
        await sidecar.client.send("a", "go")
        await sidecar.client.until_event("a", "eventRaised", number)


@pytest.mark.parity("statefulhistory/clientchurn")
async def test_workflows_finish_although_workers_come_and_go(hub: Hub) -> None:
    ids = [f"w{number}" for number in range(4)]
    async with hub.sidecar() as sidecar, asyncio.TaskGroup() as group:
        runs = [group.create_task(run(sidecar, instance_id)) for instance_id in ids]
        workers = 0
        while not all(one.done() for one in runs):
            workers += 1
            async with sidecar.worker(in_steps, stateful=True) as worker:
                await until(
                    lambda worker=worker: len(worker.items) >= 15 or all(r.done() for r in runs),
                    ANSWER_S,
                )
    assert workers > 2
    assert [len(one.result()) for one in runs] == [3 + 3 * STEPS] * len(ids)


@pytest.mark.parity("statefulhistory/multipleclients")
async def test_each_workflow_stays_with_one_worker(hub: Hub) -> None:
    ids = [f"w{number}" for number in range(10)]
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(in_steps, stateful=True) as one,
        sidecar.worker(in_steps, stateful=True) as two,
    ):
        async with asyncio.TaskGroup() as group:
            for instance_id in ids:
                group.create_task(run(sidecar, instance_id))
        for instance_id in ids:
            seen = [deltas(worker, instance_id) for worker in (one, two)]
            assert sorted(map(len, seen)) == [0, STEPS + 1]
            assert [False, False, *[True] * (STEPS - 1)] in seen


@pytest.mark.needs("multi_process")
@pytest.mark.parity("statefulhistory/multipledaprds")
async def test_workers_at_several_sidecars_never_miss_anything(hub: Hub) -> None:
    ids = [f"w{number}" for number in range(6)]
    async with (
        hub.sidecar() as one,
        hub.sidecar() as two,
        one.worker(in_steps, stateful=True) as first,
        two.worker(in_steps, stateful=True) as second,
    ):
        async with asyncio.TaskGroup() as group:
            for number, instance_id in enumerate(ids):
                group.create_task(run((one, two)[number % 2], instance_id))
        turns = Counter(
            request.instanceId for worker in (first, second) for request in worker.requests
        )
    assert turns == dict.fromkeys(ids, STEPS + 1)


class ForgetfulCache(MutableMapping[str, list[pb.HistoryEvent]]):
    """A worker's memory with bounds.

    Attributes:
        most_events: Of one history; a longer one is not kept.
        most_instances: The least recently kept goes first.
        most_reads: How often a history may be read before it is too old.
        misses: How often a history was asked for in vain.
    """

    def __init__(
        self, *, most_events: int = 1000, most_instances: int = 1000, most_reads: int = 1000
    ) -> None:
        self.most_events = most_events
        self.most_instances = most_instances
        self.most_reads = most_reads
        self.misses = 0
        self._kept: dict[str, list[pb.HistoryEvent]] = {}
        self._reads: dict[str, int] = defaultdict(int)

    def __getitem__(self, key: str) -> list[pb.HistoryEvent]:
        self._reads[key] += 1
        if self._reads[key] % self.most_reads == 0:
            self._kept.pop(key, None)
        if key not in self._kept:
            self.misses += 1
        return self._kept[key]

    def __setitem__(self, key: str, events: list[pb.HistoryEvent]) -> None:
        self._kept.pop(key, None)
        if len(events) <= self.most_events:
            self._kept[key] = events
        while len(self._kept) > self.most_instances:
            del self._kept[next(iter(self._kept))]

    def __delitem__(self, key: str) -> None:
        del self._kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({"most_events": 10}, marks=pytest.mark.parity("statefulhistory/bytelimit")),
        pytest.param(
            {"most_instances": 1}, marks=pytest.mark.parity("statefulhistory/maxinstances")
        ),
        pytest.param({"most_reads": 4}, marks=pytest.mark.parity("statefulhistory/ttl")),
    ],
)
async def test_worker_that_dropped_a_history_asks_for_it(hub: Hub, bounds: dict[str, int]) -> None:
    cache = ForgetfulCache(**bounds)
    async with (
        hub.sidecar() as sidecar,
        sidecar.worker(in_steps, stateful=True, cache=cache),
        asyncio.TaskGroup() as group,
    ):
        for instance_id in ("a", "b", "c"):
            group.create_task(run(sidecar, instance_id))
    assert cache.misses > 0

"""A store that fails at every step, before or after its effect. Everything finishes, once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from durahub.backend import CommitTurn, Deliver
from durahub.engine import Engine
from durahub.errors import (
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
)
from durahub.protocol import messages as pb

from . import making
from .faults import READS, STEPS, failing, insist, no_long_waits
from .hub import (
    FOR_EVER,
    WatchedBackend,
    finished,
    history,
    jitter,
    row,
    running,
    settled,
    start,
    status,
    store_of,
    suspend,
    tell,
    terminate,
    until,
)
from .worker import Turn, fan_out, nothing_to_do, sequence, waiting_for, working


async def check(engine: Engine, names: list[str], output: str, tasks: int) -> None:
    for name in names:
        await until(lambda name=name: row(engine, name).record.status.is_terminal)
        assert row(engine, name).payloads.output == output
        events = [pb.HistoryEvent.FromString(raw) for raw in row(engine, name).history]
        counted = Counter(
            event.taskCompleted.taskScheduledId
            for event in events
            if event.HasField("taskCompleted")
        )
        assert counted == dict.fromkeys(range(tasks), 1)
        kinds = making.kinds(events)
        assert kinds.count("executionStarted") == kinds.count("executionCompleted") == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for moments only."""
    no_long_waits(monkeypatch)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("when", ["before", "after", "both"])
async def test_run_with_writes_failing_at_random_finishes_once(seed: int, when: str) -> None:
    source = random.Random(f"{seed} {when}")
    backend = WatchedBackend()
    step = failing(source, STEPS, 0.25)
    backend.before = step if when in {"before", "both"} else jitter(source)
    backend.after = step if when in {"after", "both"} else jitter(source)
    names = [str(number) for number in range(12)]
    flows = {"Flow": fan_out(4), "Line": sequence(4)}
    async with running(backend) as engine, working(engine, flows, stateful=seed % 2 == 0):
        async with asyncio.TaskGroup() as group:
            for place, name in enumerate(names):
                group.create_task(start(engine, name, ("Flow", "Line")[place % 2]))
        await check(engine, names, "0,1,2,3", 4)
        backend.before = backend.after = jitter(source)
        await until(lambda: all(one.owner is None for one in store_of(engine).instances.values()))
        assert store_of(engine).tasks == {}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(4))
async def test_run_with_reads_failing_too_finishes_once(seed: int) -> None:
    source = random.Random(seed)
    backend = WatchedBackend()
    backend.before = failing(source, STEPS + READS, 0.2)
    backend.after = failing(source, STEPS + READS, 0.2)
    names = [str(number) for number in range(8)]
    async with (
        running(backend, cached_history_bytes=0) as engine,
        working(engine, fan_out(3)),
    ):
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(insist(lambda name=name: start(engine, name)))
        await check(engine, names, "0,1,2", 3)
        backend.before = backend.after = jitter(source)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(4))
async def test_events_with_answers_lost_arrive_once_and_in_order(seed: int) -> None:
    source = random.Random(seed)
    backend = WatchedBackend()
    backend.after = failing(source, ("apply",), 0.4)
    async with running(backend) as engine, working(engine, waiting_for(40)):
        await start(engine, "a")
        for number in range(40):
            await tell(engine, "a", "go", str(number))
        await check(engine, ["a"], ",".join(map(str, range(40))), 0)


class Once:
    """A step that fails the first time that a condition holds."""

    def __init__(self, condition: Callable[[str], bool], error: Exception) -> None:
        self.condition = condition
        self.error = error
        self.happened = False

    async def __call__(self, name: str) -> None:
        if not self.happened and self.condition(name):
            self.happened = True
            raise self.error


@pytest.mark.usefixtures("quick")
async def test_wait_for_an_end_whose_commit_got_no_answer_is_over() -> None:
    backend = WatchedBackend()
    async with running(backend, safety_poll=FOR_EVER) as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        waiting = asyncio.ensure_future(finished(engine, "a"))
        await settled()
        backend.after = Once(
            lambda name: name == "apply" and isinstance(backend.batches[-1][0], CommitTurn),
            BackendUnavailableError("answer lost"),
        )
        await tell(engine, "a", "go", "x")
        assert (await waiting).output.value == "x"


@pytest.mark.usefixtures("quick")
async def test_commit_whose_answer_is_lost_with_its_next_claim_goes_on() -> None:
    """The turn was committed, and the instance claimed again by the same call."""
    backend = WatchedBackend()
    async with (
        running(backend, safety_poll=FOR_EVER) as engine,
        working(engine, waiting_for(2), silent=True) as worker,
    ):
        async with asyncio.TaskGroup() as group:
            group.create_task(start(engine, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        await tell(engine, "a", "go", "1")
        await until(lambda: len(worker.items) == 2)
        await tell(engine, "a", "go", "2")
        lost = Once(
            lambda name: name == "apply" and isinstance(backend.batches[-1][0], CommitTurn),
            BackendUnavailableError("answer lost"),
        )
        backend.after = lost
        worker.silent = False
        await worker.answer(worker.items[1])
        await check(engine, ["a"], "1,2", 0)
        assert lost.happened


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_fence_while_the_store_is_down_is_survived(when: str) -> None:
    """The new session can't be registered at first, or its registration's answer is lost."""
    backend = WatchedBackend()
    failures = iter(range(3))

    async def refuse(name: str) -> None:
        if name == "register" and next(failures, None) is not None:
            raise BackendUnavailableError("still down")

    async with running(backend) as engine, working(engine, fan_out(3)):
        await start(engine, "a")
        setattr(backend, when, refuse)
        assert engine._session is not None
        store_of(engine).end(engine._session.session_id)
        await start(engine, "b")
        await check(engine, ["a", "b"], "0,1,2", 3)
        assert next(failures, None) is None


@pytest.mark.usefixtures("quick")
async def test_operation_that_the_store_can_not_take_fails_alone() -> None:
    backend = WatchedBackend()

    async def refuse(name: str) -> None:
        if name == "apply":
            for operation in backend.batches[-1]:
                if isinstance(operation, Deliver) and operation.key.instance_id == "poison":
                    raise BackendError("constraint violated")

    async with running(backend) as engine, working(engine, waiting_for(1)):
        names = [str(number) for number in range(10)]
        for name in [*names, "poison"]:
            await start(engine, name)
        backend.before = refuse
        calls = [tell(engine, name, "go", "x") for name in [*names[:5], "poison", *names[5:]]]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome is not None]
        assert [str(error) for error in errors] == ["constraint violated"]
        await check(engine, names, "x", 0)
        assert await status(engine, "poison") == "RUNNING"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(3))
async def test_run_with_fencing_and_failures_at_random_finishes_once(seed: int) -> None:
    source = random.Random(seed)
    backend = WatchedBackend()
    delay = failing(source, STEPS, 0.1)

    async def step(name: str) -> None:
        await delay(name)
        if name == "apply" and source.random() < 0.1:
            session = engine._session
            assert session is not None
            if store_of(engine).sessions.get(session.session_id):
                store_of(engine).end(session.session_id)
            raise SessionFencedError("injected")

    names = [str(number) for number in range(8)]
    async with running(backend) as engine, working(engine, fan_out(3)):
        backend.before = step
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(start(engine, name))
        await check(engine, names, "0,1,2", 3)
        backend.before = jitter(source)


async def test_store_that_is_down_is_not_hammered() -> None:
    backend = WatchedBackend()

    async def down(name: str) -> None:
        raise BackendUnavailableError(f"{name}: down")

    async with running(backend) as engine, working(engine, nothing_to_do):
        await start(engine, "a")
        backend.before = down
        backend.calls.clear()
        await asyncio.sleep(0.3)
        assert backend.calls.total() < 60
        backend.before = jitter(random.Random(1))
        await start(engine, "b")


@pytest.mark.parametrize("error", [BackendUnavailableError("down"), BackendError("broken")])
async def test_history_that_can_not_be_read_is_not_asked_for_without_pause(
    error: BackendError,
) -> None:
    backend = WatchedBackend()

    async def unreadable(name: str) -> None:
        if name == "history":
            raise error

    async with (
        running(backend, cached_history_bytes=0) as engine,
        working(engine, waiting_for(1)),
    ):
        await start(engine, "a")
        await start(engine, "b")
        backend.before = unreadable
        await tell(engine, "a", "go", "x")
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert backend.calls["history"] < 20
        backend.before = jitter(random.Random(1))
        await check(engine, ["a"], "x", 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("call", [finished, terminate, suspend])
async def test_calls_are_told_of_a_commit_whose_answer_is_lost(
    call: Callable[[Engine, str], Awaitable[object]],
) -> None:
    backend = WatchedBackend()
    async with running(backend, safety_poll=FOR_EVER) as engine, working(engine, waiting_for(1)):
        await start(engine, "a")
        lost = Once(
            lambda name: name == "apply" and isinstance(backend.batches[-1][0], CommitTurn),
            BackendUnavailableError("answer lost"),
        )
        backend.after = lost
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(call(engine, "a"))
            if call is finished:
                await tell(engine, "a", "go")
        assert lost.happened


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", range(3))
async def test_children_with_answers_lost_are_answered_once(seed: int) -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if len(turn.resolved) == 4:
            return [making.complete(",".join(sorted(fates(turn))), number=4)]
        return [making.child(number, ("kid", "kid", "taken", "")[number]) for number in range(4)]

    def fates(turn: Turn) -> list[str]:
        return [
            "ok" if event.HasField("childWorkflowInstanceCompleted") else "no"
            for event in turn.resolved.values()
        ]

    source = random.Random(seed)
    backend = WatchedBackend()
    flows = {"Flow": flow, "Child": nothing_to_do, "Busy": waiting_for(1)}
    async with running(backend) as engine, working(engine, flows):
        await start(engine, "taken", "Busy")
        backend.after = failing(source, ("apply",), 0.4)
        names = [str(number) for number in range(1)]
        for name in names:
            await start(engine, name)
        await check(engine, names, "no,no,ok,ok", 0)
        backend.after = jitter(source)
        events = making.kinds(await history(engine, "0"))
        assert events.count("childWorkflowInstanceFailed") == 2
        assert (await finished(engine, "kid")).output.value == "done"
        await settled()

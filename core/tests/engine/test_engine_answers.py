"""Answers that reach another sidecar than the one that gave the work out, and those that don't."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

import pytest
from durahub.backend import NATIVE, Capabilities, Envelope, Support, SupportLevel
from durahub.engine import Engine
from durahub.errors import BackendUnavailableError, ShuttingDownError
from durahub.protocol import messages as pb
from durahub.testing import MemoryStore
from durahub.types import SessionId

from . import making
from .hub import (
    FOR_EVER,
    Step,
    WatchedBackend,
    finished,
    running,
    settled,
    start,
    status,
    store_of,
    tell,
    until,
)
from .worker import Turn, Worker, fan_out, sequence, waiting_for, working


class Pair:
    """Two sidecars on one store: work comes from `one`, and its answers reach `two`."""

    def __init__(self, one: Engine, two: Engine) -> None:
        self.one, self.two = one, two

    @property
    def calls(self) -> dict[str, int]:
        """How often answers were looked up, and handed on."""
        backends = [watched(self.one), watched(self.two)]
        return {name: sum(b.calls[name] for b in backends) for name in ("owners", "forward")}

    async def answer(self, worker: Worker, number: int, *, tokens: bool = True) -> None:
        """Answer one of the items that a worker was given."""
        item = worker.items[number]
        token = item.completionToken if tokens else ""
        await replace(worker, engine=self.two, task=None).answer(item, token)


def watched(engine: Engine) -> WatchedBackend:
    backend = engine._backend
    assert isinstance(backend, WatchedBackend)
    return backend


def session_of(engine: Engine) -> SessionId:
    assert engine._session is not None
    return engine._session.session_id


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Run two sidecars that look at nothing by themselves."""
    store = MemoryStore()
    async with (
        running(WatchedBackend(store), safety_poll=FOR_EVER) as one,
        running(WatchedBackend(store), safety_poll=FOR_EVER) as two,
    ):
        yield Pair(one, two)


def failing_once(name: str) -> Step:
    """Return a step at which the first call of a method is interrupted."""
    failures = [BackendUnavailableError("the network")]

    async def step(called: str) -> None:
        if called == name and failures:
            raise failures.pop()

    return step


def waiting_at(name: str, gate: asyncio.Event) -> Step:
    async def step(called: str) -> None:
        if called == name:
            await gate.wait()

    return step


@pytest.mark.parametrize("tokens", [True, False])
async def test_answer_reaches_the_sidecar_that_gave_the_work_out(*, tokens: bool) -> None:
    async with pair() as both, working(both.one, sequence(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(both.one, "a"))
            for number in range(3):
                await until(lambda count=number: len(worker.items) > count)
                await both.answer(worker, number, tokens=tokens)
        assert (await finished(both.two, "a")).output.value == "0"
        assert both.calls == {"owners": 0 if tokens else 3, "forward": 3}
        assert not any(row.forwarded for row in store_of(both.one).sessions.values())


@pytest.mark.parametrize("tokens", [True, False])
async def test_answer_to_the_own_sidecar_costs_the_store_nothing(*, tokens: bool) -> None:
    async with pair() as both, working(both.one, fan_out(5), silent=True) as worker:

        async def answer_all() -> None:
            for number in count():
                await until(lambda most=number: len(worker.items) > most)
                item = worker.items[number]
                await worker.answer(item, item.completionToken if tokens else "")

        async with asyncio.TaskGroup() as group:
            answering = group.create_task(answer_all())
            await start(both.one, "a")
            assert (await finished(both.one, "a")).output.value == "0,1,2,3,4"
            answering.cancel()
        assert both.calls == {"owners": 0, "forward": 0}
        assert watched(both.one).calls["take_forwarded"] == 1  # when it started


async def test_late_answer_with_the_token_of_the_own_session_costs_nothing() -> None:
    async with pair() as both, working(both.one, waiting_for(1), silent=True) as worker:
        async with asyncio.TaskGroup() as group:
            group.create_task(start(both.one, "a"))
            await until(lambda: len(worker.items) == 1)
            await worker.answer(worker.items[0])
        await worker.answer(worker.items[0])
        await worker.answer(worker.items[0], "no token of ours")
        await worker.answer(worker.items[0], "-1")
        nameless = pb.ActivityResponse(taskId=1)
        await both.one.complete_activity(nameless)
        assert both.calls == {"owners": 0, "forward": 0}


class LonelyBackend(WatchedBackend):
    """Says that one process at a time can use the store."""

    @property
    def capabilities(self) -> Capabilities:
        alone = Support(SupportLevel.NONE, "one process")
        return Capabilities(durable=NATIVE, multi_process=alone, hints=alone, limits=NATIVE)


async def test_store_of_one_process_is_never_asked() -> None:
    backend = LonelyBackend()
    async with running(backend) as engine, working(engine, sequence(1)):
        await start(engine, "a")
        await finished(engine, "a")
        for token in ("", "another-1"):
            answer = pb.ActivityResponse(instanceId="a", taskId=0, completionToken=token)
            await engine.complete_activity(answer)
        assert not {"owners", "forward", "take_forwarded"} & set(backend.calls)


async def test_answer_is_with_the_store_when_the_call_returns() -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        gate = asyncio.Event()
        watched(both.two).before = waiting_at("forward", gate)
        answering = group.create_task(both.answer(worker, 0))
        await until(lambda: both.calls["forward"] == 1)
        await settled()
        assert not answering.done()
        gate.set()
        await answering


async def test_answer_gets_there_though_its_caller_went_away() -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        gate = asyncio.Event()
        watched(both.two).before = waiting_at("forward", gate)
        answering = group.create_task(both.answer(worker, 0))
        await until(lambda: both.calls["forward"] == 1)
        answering.cancel()
        await asyncio.wait([answering])
        gate.set()
        await until(lambda: len(worker.items) == 2)


async def test_answer_that_is_handed_on_twice_counts_once() -> None:
    """Its copy arrives when the next turn is with a worker, and could not be told from its answer."""

    def again_and_again(turn: Turn) -> list[pb.WorkflowAction]:
        return [making.continue_as_new(f"{turn.input}+")]

    async with pair() as both, working(both.one, again_and_again, silent=True) as worker:

        async def after_the_next_turn(called: str) -> None:
            if called == "forward" and both.calls["forward"] == 2:
                await until(lambda: len(worker.items) == 2)

        watched(both.two).after = failing_once("forward")
        watched(both.two).before = after_the_next_turn
        async with asyncio.TaskGroup() as group:
            group.create_task(start(both.one, "a"))
            await until(lambda: len(worker.items) == 1)
            await both.answer(worker, 0, tokens=False)
        assert both.calls["forward"] == 2
        store = store_of(both.one)
        await until(lambda: not store.sessions[session_of(both.one)].forwarded)
        await settled()
        assert [request.executionId.value for request in worker.requests] == [
            *dict.fromkeys(request.executionId.value for request in worker.requests)
        ]
        assert len(worker.items) == 2


async def test_answer_is_not_lost_with_an_answer_of_the_store() -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        watched(both.one).after = failing_once("take_forwarded")
        await both.answer(worker, 0)
        await until(lambda: watched(both.one).calls["take_forwarded"] == 2)
        await settled()
        assert len(worker.items) == 1
        both.one._answers.look()
        await until(lambda: len(worker.items) == 2)


class DeafBackend(WatchedBackend):
    """Gives no hints."""

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[None]:  # type: ignore[override]
        await asyncio.Event().wait()
        yield


async def test_lost_hint_delays_an_answer_until_the_next_look() -> None:
    store = MemoryStore()
    async with (
        running(DeafBackend(store)) as one,
        running(WatchedBackend(store)) as two,
        working(one, sequence(1), silent=True) as worker,
    ):
        both = Pair(one, two)
        async with asyncio.TaskGroup() as group:
            group.create_task(start(one, "a"))
            for number in range(3):
                await until(lambda count=number: len(worker.items) > count)
                await both.answer(worker, number)
        assert (await finished(one, "a")).output.value == "0"


async def test_fenced_sidecar_hands_answers_on_in_its_next_session() -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        before = session_of(both.two)
        store_of(both.two).end(before)
        answering = group.create_task(both.answer(worker, 0))
        await answering
        assert session_of(both.two) != before


async def test_fenced_sidecar_takes_what_is_handed_to_its_next_session() -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        before = session_of(both.one)
        store_of(both.one).end(before)
        both.one._answers.look()
        await until(lambda: len(worker.items) == 2)
        await both.answer(worker, 0)  # its work was given back
        assert len(worker.items) == 2
        await both.answer(worker, 1)
        await until(lambda: len(worker.items) == 3)


async def test_stop_waits_for_answers_that_are_handed_on_and_gives_up_the_rest() -> None:
    store = MemoryStore()
    async with (
        running(WatchedBackend(store)) as one,
        working(one, fan_out(2), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        async with running(WatchedBackend(store)) as two:
            both = Pair(one, two)
            await group.create_task(begin(one, worker))
            gate = asyncio.Event()
            watched(two).before = waiting_at("forward", gate)
            answering = group.create_task(both.answer(worker, 1))
            await until(lambda: both.calls["forward"] == 1)
            asyncio.get_running_loop().call_later(0.1, gate.set)
        await answering
        async with running(WatchedBackend(store)) as two:
            both = Pair(one, two)
            watched(two).before = waiting_at("forward", asyncio.Event())
            answering = group.create_task(refused(both, worker, 2))
            await until(lambda: both.calls["forward"] == 1)
        await answering
        await refused(both, worker, 2)
        await worker.answer(worker.items[2])
        await until(lambda: len(worker.items) == 4)


async def begin(engine: Engine, worker: Worker) -> None:
    """Start an instance, and answer its first turn."""
    async with asyncio.TaskGroup() as group:
        group.create_task(start(engine, "a"))
        await until(lambda: len(worker.items) == 1)
        await worker.answer(worker.items[0])
        await until(lambda: len(worker.items) == 3)


async def refused(both: Pair, worker: Worker, number: int) -> None:
    with pytest.raises(ShuttingDownError):
        await both.answer(worker, number)


async def test_envelope_that_nobody_understands_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        pair() as both,
        working(both.one, sequence(1), silent=True) as worker,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(start(both.one, "a"))
        await until(lambda: len(worker.items) == 1)
        backend, to = watched(both.two), session_of(both.one)
        for payload in (b"", b"Z" + bytes(16), b"W" + b"1" * 16 + b"\xff\xff\xff"):
            await backend.forward(session_of(both.two), to, payload)
        await both.answer(worker, 0)
        await until(lambda: len(worker.items) == 2)
    assert caplog.text.count("an answer from another sidecar can't be read") == 3


async def test_envelopes_are_taken_in_portions() -> None:
    async with pair() as both:
        backend, to = watched(both.two), session_of(both.one)
        for number in range(120):
            payload = b"A" + b"%16d" % number
            assert await backend.forward(session_of(both.two), to, payload)
        target = store_of(both.one).sessions[to]
        await until(lambda: not target.forwarded)
        # The first one found nothing when it started, and none returned more than fifty.
        assert watched(both.one).calls["take_forwarded"] >= 4
        left: tuple[Envelope, ...] = await backend.take_forwarded(to, (), 10)
        assert left == ()


async def test_answer_that_may_be_meant_for_two_is_given_to_neither(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two generations' activities of one id run in two sidecars, and an old SDK answers a third one."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.input == "second":
            return [making.schedule(0, value="new")]
        if turn.raised("go"):
            return [making.continue_as_new("second")]
        return [making.schedule(0, value="old")]

    store = MemoryStore()
    limits = {"max_concurrent_activities": 1}
    async with (
        running(WatchedBackend(store), **limits) as one,
        running(WatchedBackend(store), **limits) as two,
        running(WatchedBackend(store)) as three,
        working(one, flow, activity=never) as first,
        asyncio.TaskGroup() as group,
    ):
        await start(one, "a")
        await until(lambda: len(first.tasks) == 1)
        async with working(two, flow, activity=never) as second:
            await tell(one, "a", "go")
            await until(lambda: len(second.tasks) == 1)
            with caplog.at_level(logging.WARNING):
                answer = pb.ActivityResponse(instanceId="a", taskId=0, result=making.text("x"))
                await group.create_task(three.complete_activity(answer))
            assert "may be meant for activities of several sidecars" in caplog.text
            assert watched(three).calls["forward"] == 0
            assert await status(three, "a") == "RUNNING"


async def never(_: pb.ActivityRequest) -> str | None:
    await asyncio.Event().wait()
    return None

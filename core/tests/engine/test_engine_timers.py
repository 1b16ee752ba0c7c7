"""Timers in a living engine: each is found when it is due, with no poll to help."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from durahub.protocol import messages as pb
from durahub.protocol.times import from_timestamp_ceil
from durahub.testing import MemoryStore
from durahub.types import RuntimeStatus

from . import making
from .hub import FOR_EVER, WatchedBackend, finished, row, running, settled, start, tell, until
from .worker import Turn, Workflow, working

WITHIN_S = 5


def after(*delays_s: float) -> Workflow:
    """Return a workflow that sets all its timers in its first turn and ends with the last of them."""

    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        now = from_timestamp_ceil(turn.events[0].timestamp)
        if len(turn.resolved) == len(delays_s):
            return [making.complete(",".join(map(str, turn.resolved)))]
        return [
            making.sleep(number, now + timedelta(seconds=delay_s))
            for number, delay_s in enumerate(delays_s)
        ]

    return flow


async def test_timers_of_one_turn_fire_each_in_its_time() -> None:
    backend = WatchedBackend()
    async with (
        running(backend, safety_poll=FOR_EVER) as engine,
        working(engine, after(0.12, 0.04, 0.2, 0.08)),
    ):
        await start(engine, "a")
        backend.calls.clear()
        async with asyncio.timeout(WITHIN_S):
            assert (await finished(engine, "a")).output.value == "1,3,0,2"
        assert backend.calls["claim_instances"] <= 2 * 4


async def test_timer_of_an_earlier_session_fires_after_a_turn_that_was_long() -> None:
    """The engine looks for due work while the instance is with its worker, and so does not see it."""
    store = MemoryStore()
    async with running(WatchedBackend(store)) as engine, working(engine, after(0.5)):
        await start(engine, "a")
    async with (
        running(WatchedBackend(store), safety_poll=FOR_EVER) as engine,
        working(engine, after(0.5), silent=True) as worker,
    ):
        await tell(engine, "a", "hello")
        await until(lambda: len(worker.items) == 1)
        engine._lane.look()
        await until(lambda: not engine._lane._look)
        await settled()
        worker.silent = False
        await worker.answer(worker.items[0])
        async with asyncio.timeout(WITHIN_S):
            await finished(engine, "a")


async def test_timer_of_a_parked_instance_fires_after_it_has_gone_on() -> None:
    def flow(turn: Turn) -> list[pb.WorkflowAction]:
        if turn.raised() and not turn.resolved and not able:
            return [making.lack_version()]
        return list(after(0.5)(turn))

    able = False
    async with running(safety_poll=FOR_EVER) as engine, working(engine, flow):
        await start(engine, "a")
        await tell(engine, "a", "hello")
        await until(lambda: row(engine, "a").record.status is RuntimeStatus.STALLED)
        able = True
        async with working(engine, flow), asyncio.timeout(WITHIN_S):
            await finished(engine, "a")

"""CAN: a cancelled call has taken effect completely or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from durahub_conformance.hub import Hub
from durahub_conformance.requirement import requirement
from durahub_conformance.values import creation, delivery, key, keys, task, timer, turn

ATTEMPTS = 16


async def cancel_after(call: Callable[[], Awaitable[object]], attempt: int) -> None:
    """Make a call and cancel it: after some steps of the loop, in later attempts after some time."""

    async def run() -> None:
        await call()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run())
        for _ in range(attempt % 8):
            await asyncio.sleep(0)
        if attempt >= 8:
            await asyncio.sleep(0.0003 * (attempt - 7))
        running.cancel()


class CancellationRequirements:
    """Requirements of cancelled calls."""

    @requirement("CAN-01")
    async def test_cancelled_turn_is_whole_or_absent(self, hub: Hub) -> None:
        """Of a turn whose call was cancelled everything has happened, or nothing."""
        due_at = await hub.later(100)
        for attempt in range(ATTEMPTS):
            await hub.idle(f"receiver {attempt}")
        owned = [await hub.owned(f"one {attempt}") for attempt in range(ATTEMPTS)]
        for attempt, claimed in enumerate(owned):
            commit = turn(
                claimed,
                history=(b"1", b"2"),
                timers=(timer(1, due_at),),
                activities=(task(claimed, 1),),
                children=(creation(f"child {attempt}"),),
                outgoing=(delivery(f"receiver {attempt}", "hello"),),
            )
            await cancel_after(partial(hub.do, commit), attempt)
        await hub.backend.close()
        for attempt in range(ATTEMPTS):
            history = await hub.probe.history(key(f"one {attempt}"))
            committed = bool(history)
            assert list(history) == ([b"1", b"2"] if committed else [])
            inbox = await hub.probe.inbox(key(f"one {attempt}"))
            assert list(inbox) == ([] if committed else [b"start"])
            child = await hub.probe.inbox(key(f"child {attempt}"))
            assert list(child) == ([b"start"] if committed else [])
            received = await hub.probe.inbox(key(f"receiver {attempt}"))
            assert list(received) == ([b"hello"] if committed else [])

    @requirement("CAN-02")
    async def test_cancelled_delivery_is_whole_or_absent(self, hub: Hub) -> None:
        """Of a delivery whose call was cancelled all messages have arrived, or none."""
        for attempt in range(ATTEMPTS):
            await hub.idle(f"one {attempt}")
        for attempt in range(ATTEMPTS):
            await cancel_after(partial(hub.do, delivery(f"one {attempt}", "a", "b", "c")), attempt)
        await hub.backend.close()
        for attempt in range(ATTEMPTS):
            inbox = await hub.probe.inbox(key(f"one {attempt}"))
            assert list(inbox) in ([], [b"a", b"b", b"c"])

    @requirement("CAN-03")
    async def test_cancelled_claim_loses_nothing(self, hub: Hub) -> None:
        """What a cancelled claim took can be given back and claimed, complete."""
        await hub.create("one")
        claimed = await hub.claim_one()
        await hub.do(turn(claimed, consumed=(), activities=(task(claimed, 1),)))
        for attempt in range(ATTEMPTS):
            await cancel_after(hub.claims, attempt)
            await cancel_after(hub.claim_tasks, attempt)
            await hub.backend.release_except(hub.session, set(), set())
            assert keys(await hub.claim()) == [key("one")]
            assert await hub.claim_tasks() == (task(claimed, 1),)
            await hub.backend.release_except(hub.session, set(), set())

    @requirement("CAN-04")
    async def test_backend_works_on_after_cancellations(self, hub: Hub) -> None:
        """Cancelled calls leave a backend that works: it writes, claims and reads."""
        for attempt in range(ATTEMPTS):
            await cancel_after(partial(hub.do, creation(f"one {attempt}")), attempt)
            await cancel_after(lambda: hub.backend.get([key("one")]), attempt)
            await cancel_after(lambda: hub.backend.heartbeat(hub.session), attempt)
        await hub.create("last")
        assert key("last") in keys(await hub.claim())
        await hub.do(delivery("last", "a"))
        assert list(await hub.probe.inbox(key("last"))) == [b"start", b"a"]

from __future__ import annotations

import asyncio

import pytest
from durahub.errors import ShuttingDownError
from durahub.server.open_waits import OpenWaits


async def test_a_wait_returns_what_it_waited_for() -> None:
    assert await OpenWaits().run(lambda: asyncio.sleep(0, "done")) == "done"


async def test_all_waits_end_together_and_none_begins_afterwards() -> None:
    waits = OpenWaits()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        open_ones = [group.create_task(ended(waits)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waits.end_all()
    assert [one.result() for one in open_ones] == [True] * 3
    assert await ended(waits)


async def ended(waits: OpenWaits) -> bool:
    with pytest.raises(ShuttingDownError):
        await waits.run(lambda: asyncio.sleep(60))
    return True


async def test_an_error_and_a_cancellation_pass_through() -> None:
    async def fail() -> None:
        raise LookupError("mine")

    waits = OpenWaits()
    with pytest.raises(LookupError, match="mine"):
        await waits.run(fail)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waits.run(lambda: asyncio.sleep(60))

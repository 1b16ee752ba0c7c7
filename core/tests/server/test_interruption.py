from __future__ import annotations

import asyncio

import pytest
from durahub.server.interruption import Interruptible


async def test_interrupting_a_waiting_block_leaves_it_and_runs_on() -> None:
    cleaned: list[str] = []

    async def body(block: Interruptible) -> str:
        async with block:
            try:
                await asyncio.sleep(60)
            finally:
                cleaned.append("finally")
        return "ran on"

    block = Interruptible()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(body(block))
        await asyncio.sleep(0)
        block.interrupt()
        block.interrupt()
    assert task.result() == "ran on"
    assert block.was_interrupted
    assert cleaned == ["finally"]


async def test_interrupting_before_or_after_the_block_does_nothing() -> None:
    block = Interruptible()
    block.interrupt()
    async with block:
        await asyncio.sleep(0)
    block.interrupt()
    await asyncio.sleep(0)
    assert not block.was_interrupted


async def test_interrupting_inside_the_block_ends_it_at_its_next_await() -> None:
    block = Interruptible()
    steps = ["before"]
    async with block:
        block.interrupt()
        await asyncio.sleep(60)
        steps.append("never")
    assert block.was_interrupted
    assert steps == ["before"]


async def test_a_cancellation_from_elsewhere_passes_through() -> None:
    block = Interruptible()

    async def body() -> None:
        async with block:
            await asyncio.sleep(60)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert not block.was_interrupted


async def test_a_timeout_of_the_body_is_no_interruption() -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with Interruptible():
            raise TimeoutError("mine")

from __future__ import annotations

import asyncio

import pytest
from durahub.server.owned_tasks import OwnedTasks


async def test_the_end_of_the_block_waits_for_tasks() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append("work")

    async with OwnedTasks() as tasks:
        tasks.start(work(), name="work")
    assert done == ["work"]


async def test_an_error_of_the_block_passes_through_unwrapped_after_the_tasks_ended() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append("work")

    async def block() -> None:
        async with OwnedTasks() as tasks:
            tasks.start(work(), name="work")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()
    assert done == ["work"]


async def test_a_cancellation_of_the_block_lets_tasks_end_in_their_own_way() -> None:
    ending = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await ending.wait()
        done.append("ended by itself")

    async def block() -> None:
        async with OwnedTasks() as tasks:
            tasks.start(work(), name="work")
            try:
                await asyncio.sleep(60)
            finally:
                ending.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(block())
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()
    assert done == ["ended by itself"]


async def test_a_task_that_fails_ends_the_block_with_its_error() -> None:
    async def fail() -> None:
        raise KeyError("theirs")

    async def block() -> None:
        async with OwnedTasks() as tasks:
            tasks.start(fail(), name="fail")
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(block(), 5)
    assert caught.value.subgroup(KeyError) is not None

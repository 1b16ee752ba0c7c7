"""Calls that go on when whoever waits for them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Carries out calls in tasks of its own. Its life is `start`, calls, `stop`."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def start(self) -> None:
        """Be ready for calls."""
        await self._group.__aenter__()

    async def stop(self) -> None:
        """Return when no call is in progress."""
        await self._group.__aexit__(None, None, None)

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call returns, or raise what it raises; cancelled, the call goes on."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._group.create_task(_carry_out(call, future))
        return await future

    def spawn(self, call: Callable[[], Awaitable[None]]) -> None:
        """Carry out a call for which nobody waits; it never raises."""
        self._group.create_task(_carry_out(call, asyncio.get_running_loop().create_future()))


async def _carry_out(call: Callable[[], Awaitable[Any]], future: asyncio.Future[Any]) -> None:
    try:
        result = await call()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)

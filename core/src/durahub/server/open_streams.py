"""Response streams in progress, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from durahub.server.owned_tasks import OwnedTasks
from durahub.server.rpc import SHUTTING_DOWN, RpcError, StatusCode

_log = logging.getLogger("durahub.server.streams")

SEND_TIMEOUT_S = 10.0
"""A client that takes nothing for this long is cut off, so that what it was to get goes to others (Dapr)."""


class OpenStreams:
    """Moves responses from iterators to clients, each stream in a task of its own.

    An iterator is advanced and closed by one task, which is cancelled at most once: what the iterator
    does to clean up is never cut short, however often the call around it is cancelled.
    """

    def __init__(self) -> None:
        self._tasks = OwnedTasks()
        self._pumps: set[asyncio.Task[Exception | None]] = set()
        self._is_ending = False
        self._calls = 0
        self._without_calls = asyncio.Event()
        self._without_calls.set()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all streams, and wait until their iterators are closed."""
        self.end_all()
        await self._tasks.__aexit__(kind, error, traceback)

    async def run(
        self, responses: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Write all responses; returns when there are no more.

        Raises:
            RpcError: CANCELLED, because all streams end; or whatever the iterator refuses with.
            Exception: The iterator or `write` failed.
        """
        if self._is_ending:
            raise RpcError(StatusCode.CANCELLED, SHUTTING_DOWN)
        pump = self._tasks.start(_pump(responses, write), name="stream")
        self._pumps.add(pump)
        try:
            await asyncio.wait((pump,))
        finally:
            self._end(pump)
        if pump.cancelled():
            raise RpcError(StatusCode.CANCELLED, SHUTTING_DOWN)
        if (error := pump.result()) is not None:
            raise error

    @contextmanager
    def call(self) -> Iterator[None]:
        """Be the call that a stream belongs to, until its client has been told how it ended."""
        self._calls += 1
        self._without_calls.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._without_calls.set()

    async def all_told(self) -> None:
        """Wait until the clients of all streams have been told how they ended."""
        await self._without_calls.wait()

    def end_all(self) -> None:
        """End all streams, and those that come later."""
        self._is_ending = True
        for pump in tuple(self._pumps):
            self._end(pump)

    def _end(self, pump: asyncio.Task[Exception | None]) -> None:
        if pump in self._pumps:
            self._pumps.remove(pump)
            pump.cancel()


async def _pump(
    responses: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]
) -> Exception | None:
    """Write all responses and close the iterator; returns what failed."""
    # Errors are handed over as values: raised here, they would end the server that owns this task.
    try:
        async for response in responses:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await write(response)
    except TimeoutError:
        return RpcError(StatusCode.UNAVAILABLE, "timed out while sending work item")
    except Exception as error:  # noqa: BLE001 - see above
        if _was_told_to_end() and not isinstance(error, RpcError):
            # Nobody waits for it any more.
            _log.exception("closing a stream failed")
        return error
    finally:
        await _close(responses)
    return None


def _was_told_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _close(responses: AsyncIterator[bytes]) -> None:
    # Left to the garbage collector, the work of a lost client would stay with it.
    if not isinstance(responses, AsyncGenerator):
        return
    try:
        await responses.aclose()
    except Exception:  # noqa: BLE001 - the call has its status already; other streams must not suffer
        _log.exception("closing a stream failed")

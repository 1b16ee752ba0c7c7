"""Ending a block of code from outside, without ending the task that runs it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Interruptible:
    """An `async with` block that `interrupt` leaves at its next await.

    Code after the block runs on. Inside, the interruption looks like a cancellation, and cleaning up
    works as after one. A cancellation from elsewhere passes through.
    """

    def __init__(self) -> None:
        # A time-out without a deadline has just the life cycle that is wanted, races included.
        self._scope = asyncio.timeout(None)
        self._is_inside = False

    def interrupt(self) -> None:
        """End the block, if it is running; at most once and never after it ended."""
        if self._is_inside:
            self._is_inside = False
            self._scope.reschedule(asyncio.get_running_loop().time())

    @property
    def was_interrupted(self) -> bool:
        """Whether the block ended because of `interrupt`."""
        return self._scope.expired()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._is_inside = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._is_inside = False
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self.was_interrupted:
                return True
            raise
        return False

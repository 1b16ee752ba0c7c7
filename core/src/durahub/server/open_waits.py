"""Calls that wait for something, and how they end when the sidecar stops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from durahub.errors import ShuttingDownError
from durahub.server.interruption import Interruptible

ResultT = TypeVar("ResultT")


class OpenWaits:
    """Knows all calls that wait, so that none holds up a stop. For use on one event loop."""

    def __init__(self) -> None:
        self._open: set[Interruptible] = set()
        self._is_ending = False

    async def run(self, wait: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Return what `wait` returns; it is cancelled when all waits end.

        Raises:
            ShuttingDownError: All waits end.
        """
        if self._is_ending:
            raise ShuttingDownError
        scope = Interruptible()
        self._open.add(scope)
        try:
            async with scope:
                return await wait()
        finally:
            self._open.discard(scope)
        raise ShuttingDownError

    def end_all(self) -> None:
        """End all waits, and those that come later."""
        self._is_ending = True
        for scope in tuple(self._open):
            scope.interrupt()

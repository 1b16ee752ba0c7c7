"""What a vendor writes to have a state store tested."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta
from pathlib import Path

from durahub.clock import Clock, SystemClock
from durahub.testing import ManualClock
from durahub_actors.stores import StateStore


class StateStoreHarness(ABC):
    """One place for state, empty at first, made for one test.

    Attributes:
        directory: An empty directory that belongs to the test.
        clock: The store's clock, if tests can move it; None if the store has its own.
    """

    clock: ManualClock | None = None

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @abstractmethod
    def store(self) -> StateStore:
        """Return another store on this harness's place, not open; each stands for a process."""

    @property
    def moment(self) -> timedelta:
        """A time that the store can tell from none; tests that let time pass wait for a few of it."""
        return timedelta(seconds=0.3) if self.clock is None else timedelta(minutes=5)

    async def advance(self, duration: timedelta) -> None:
        """Let time pass for the store."""
        if self.clock is None:
            await asyncio.sleep(duration.total_seconds())
        else:
            self.clock.advance(duration)

    async def dispose(self) -> None:  # noqa: B027 - most harnesses have nothing to remove
        """Remove whatever is not in `directory`. All stores are closed."""

    def store_clock(self) -> Clock:
        """Return what `StateStore.open` gets."""
        return self.clock or SystemClock()

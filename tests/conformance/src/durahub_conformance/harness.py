"""What a vendor writes to have a backend tested: how to make one, and how to look past it."""

from __future__ import annotations

import asyncio
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from durahub.backend import Backend, BackendServices
from durahub.clock import SystemClock
from durahub.testing import ManualClock
from durahub.types import InstanceKey

TOLD = "DURAHUB_CONFORMANCE_HARNESS"
"""Variable in which the command tells its test processes about the harness; JSON."""


class Probe(ABC):
    """Reads the store directly, so that no test has to believe the backend about itself.

    It sees what is committed, and may be used while the backend is open.
    """

    @abstractmethod
    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        """Return every row that belongs to an instance, by kind, as values that can be compared.

        That is the record with its owner and its wake-up time, payloads, history, inbox, timers and
        activity tasks. Without such rows, each kind is empty or absent.
        """

    @abstractmethod
    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        """Return the committed events of an instance, in order."""

    @abstractmethod
    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        """Return the payloads of the messages that wait for an instance, in their order."""

    @abstractmethod
    async def lose_event(self, key: InstanceKey) -> None:
        """Remove the first event of an instance's history, as damage would. The backend is closed."""


class Harness(ABC):
    """One store, empty at first, made for one test.

    A harness is pickled and goes to child processes, which make backends on the same store: whatever tells
    where that is has to be in its attributes, and the class where it can be imported.

    Attributes:
        directory: An empty directory that belongs to the test.
        clock: The store's clock, if tests can move it; None if the store has its own.
        given: What `durahub-conformance run --setting` was given, for harnesses that need to be told
            where a server is; texts by name.
        gaps: Requirements that the backend does not keep yet, and why, by id. Their tests have to fail; they
            are shown in every report, never counted as passed, and cost their level.
    """

    gaps: ClassVar[Mapping[str, str]] = {}
    clock: ManualClock | None = None

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        told = json.loads(os.environ.get(TOLD, "{}"))
        self.given: Mapping[str, str] = told.get("settings", {})

    def anew(self, directory: Path) -> Harness:
        """Return a harness like this one, on another store, empty at first.

        Args:
            directory: An empty directory, for it alone.
        """
        return type(self)(directory)

    @abstractmethod
    def backend(self) -> Backend:
        """Return another backend on this harness's store, not open."""

    @property
    @abstractmethod
    def probe(self) -> Probe:
        """The way past the backend to the store."""

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
        """Remove whatever is not in `directory`. All backends are closed."""

    def services(self) -> BackendServices:
        """Return what the host gives to a backend."""
        return BackendServices(clock=self.clock or SystemClock())

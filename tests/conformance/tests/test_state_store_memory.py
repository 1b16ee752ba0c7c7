"""The state store in memory keeps the contract of state stores."""

from __future__ import annotations

from pathlib import Path

from durahub.testing import ManualClock
from durahub_actors.stores import MemoryState, MemoryStateStore, StateStore
from durahub_conformance.state_stores import StateStoreConformance, StateStoreHarness


class MemoryStoreHarness(StateStoreHarness):
    """Stores that share a state."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self.state = MemoryState()

    def store(self) -> StateStore:
        return MemoryStateStore(self.state)


class TestMemoryStateStore(StateStoreConformance):
    harness = MemoryStoreHarness

"""Harnesses for the reference backend: as it is, exclusive, and as if its memory were a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from durahub.backend import (
    NATIVE,
    Applied,
    Backend,
    Capabilities,
    Heartbeat,
    Session,
    Support,
    SupportLevel,
)
from durahub.errors import CapabilityNotSupportedError
from durahub.testing import ManualClock, MemoryBackend, MemorySettings, MemoryStore
from durahub.types import InstanceKey
from durahub_conformance import Harness, Probe


class MemoryProbe(Probe):
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def rows(self, key: InstanceKey) -> Mapping[str, Sequence[object]]:
        tasks = [row for task, row in self._store.tasks.items() if task.instance == key]
        row = self._store.instances.get(key)
        return deepcopy({"instances": [] if row is None else [row], "tasks": tasks})

    async def history(self, key: InstanceKey) -> Sequence[bytes]:
        row = self._store.instances.get(key)
        return [] if row is None else list(row.history)

    async def inbox(self, key: InstanceKey) -> Sequence[bytes]:
        row = self._store.instances.get(key)
        return [] if row is None else [one.message.payload for one in row.inbox.values()]

    async def lose_event(self, key: InstanceKey) -> None:
        del self._store.instances[key].history[0]


class TestedMemoryBackend(MemoryBackend):
    """The backend under test where the reference backend is compared with itself."""

    async def apply(self, *args: Any) -> Applied:
        return await super().apply(*args)


class MemoryHarness(Harness):
    settings = MemorySettings()

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.clock = ManualClock()
        self.store = MemoryStore()

    def backend(self) -> Backend:
        return TestedMemoryBackend(self.settings, self.store)

    @property
    def probe(self) -> Probe:
        return MemoryProbe(self.store)


class ExclusiveMemoryHarness(MemoryHarness):
    settings = MemorySettings(exclusive=True)


class DurableMemoryBackend(MemoryBackend):
    """Claims to be durable: in these tests a store does outlive its backends."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, durable=NATIVE)


class DurableMemoryHarness(MemoryHarness):
    def backend(self) -> Backend:
        return DurableMemoryBackend(self.settings, self.store)


class UnlimitedMemoryBackend(MemoryBackend):
    """Declares that it knows no limits, as a backend may."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, limits=Support(SupportLevel.NONE, "not written yet"))

    async def register(self, session: Session) -> Heartbeat:
        if session.limits:
            raise CapabilityNotSupportedError("this store knows no limits")
        return await super().register(session)


class UnlimitedMemoryHarness(MemoryHarness):
    def backend(self) -> Backend:
        return UnlimitedMemoryBackend(self.settings, self.store)

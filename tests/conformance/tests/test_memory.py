from __future__ import annotations

from durahub_conformance import BackendConformance

from .memory_harness import (
    DurableMemoryHarness,
    ExclusiveMemoryHarness,
    MemoryHarness,
    UnlimitedMemoryHarness,
)


class TestMemory(BackendConformance):
    harness = MemoryHarness


class TestExclusiveMemory(BackendConformance):
    harness = ExclusiveMemoryHarness


class TestDurableMemory(BackendConformance):
    harness = DurableMemoryHarness


class TestUnlimitedMemory(BackendConformance):
    harness = UnlimitedMemoryHarness

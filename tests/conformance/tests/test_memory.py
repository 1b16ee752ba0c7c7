from __future__ import annotations

from durahub_conformance import BackendConformance

from .file_harness import FileHarness
from .memory_harness import (
    ExclusiveMemoryHarness,
    MemoryHarness,
    UnlimitedMemoryHarness,
)


class TestMemory(BackendConformance):
    harness = MemoryHarness


class TestExclusiveMemory(BackendConformance):
    harness = ExclusiveMemoryHarness


class TestFile(BackendConformance):
    harness = FileHarness


class TestUnlimitedMemory(BackendConformance):
    harness = UnlimitedMemoryHarness

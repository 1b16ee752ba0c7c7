"""What tests need: the reference backend in memory, and a clock that obeys."""

from durahub.testing.clock import ManualClock
from durahub.testing.memory import MemoryBackend, MemorySettings
from durahub.testing.memory_store import MemoryStore

__all__ = ["ManualClock", "MemoryBackend", "MemorySettings", "MemoryStore"]

"""The entry point of the backend type `memory`."""

from __future__ import annotations

from durahub.backend import ContractVersion
from durahub.plugin import BackendPlugin, hookimpl
from durahub.testing.memory import SHARED, MemoryBackend, MemorySettings


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the memory backend."""
    return BackendPlugin(
        name="memory",
        contract=ContractVersion(1, 0),
        settings=MemorySettings,
        factory=MemoryBackend,
        capabilities=SHARED,
        summary="Keeps workflows in memory, for tests; everything ends with the process.",
    )

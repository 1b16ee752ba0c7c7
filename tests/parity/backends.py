"""The backends that the suite runs on. A new backend is one more entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from durahub.backend import Backend, Capabilities
from durahub.testing import MemoryBackend, MemorySettings, MemoryStore
from durahub_sqlite import SqliteBackend, SqliteSettings

NewBackend = Callable[[], Backend]
"""Returns another connection to one store."""


@dataclass(frozen=True)
class StoreKind:
    """A backend, and how to come by an empty store of it.

    Attributes:
        new_store: Takes an empty directory.
        capabilities: What the backend says of itself.
    """

    new_store: Callable[[Path], NewBackend]
    capabilities: Capabilities

    def lacks(self, needs: str) -> str:
        """Return the backend's own reason why it does not provide a capability; empty if it does."""
        support = getattr(self.capabilities, needs)
        return "" if support else support.reason


def _memory(_: Path) -> NewBackend:
    store = MemoryStore()
    return lambda: MemoryBackend(MemorySettings(), store)


def _sqlite(directory: Path) -> NewBackend:
    path = str(directory / "hub.db")
    settings = SqliteSettings.model_validate({"connectionString": path, "synchronous": "normal"})
    return lambda: SqliteBackend(settings)


def _kind(new_store: Callable[[Path], NewBackend]) -> StoreKind:
    # A backend that is not open does no I/O.
    return StoreKind(new_store, new_store(Path())().capabilities)


STORES: Mapping[str, StoreKind] = {"memory": _kind(_memory), "sqlite": _kind(_sqlite)}

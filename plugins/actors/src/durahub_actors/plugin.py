"""The entry point of the backend type `actors`."""

from __future__ import annotations

from pathlib import Path

from durahub.backend import Backend, ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

from durahub_actors.backend.backend import ActorsBackend, capabilities_of
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import StateStore
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings

DEFAULT_PATH = Path(".durahub/actors.db")
"""The file that is used when no state store is configured, from the working directory."""


def default_store() -> StateStore:
    """Return the state store that needs no configuration; it is not open, and no file is touched."""
    return SqliteStateStore(SqliteStoreSettings(path=DEFAULT_PATH))


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the actors backend."""
    return BackendPlugin(
        name="actors",
        contract=ContractVersion(1, 0),
        settings=ActorsSettings,
        factory=_on_default_store,
        capabilities=capabilities_of(default_store()),
        summary="Keeps workflows in virtual actors over a state store; by default in one file.",
    )


def _on_default_store(settings: ActorsSettings) -> Backend:
    return ActorsBackend(settings, default_store())

"""The entry point of the backend type `actors`."""

from __future__ import annotations

from pathlib import Path

from durahub.backend import ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

from durahub_actors.backend.backend import ActorsBackend, capabilities_of
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores.factory import state_store_of


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the actors backend."""
    return BackendPlugin(
        name="actors",
        contract=ContractVersion(1, 1),
        settings=ActorsSettings,
        factory=ActorsBackend,
        capabilities=capabilities_of(state_store_of((), Path.cwd())),
        summary="Keeps workflows in virtual actors over a state store; by default in one file.",
    )

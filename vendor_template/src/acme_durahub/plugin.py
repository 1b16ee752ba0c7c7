"""The entry point of the backend type `acme`."""

from __future__ import annotations

from durahub.backend import ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

from acme_durahub.backend import CAPABILITIES, AcmeBackend
from acme_durahub.settings import AcmeSettings


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the backend; called once, and does no I/O."""
    return BackendPlugin(
        name="acme",
        contract=ContractVersion(1, 1),
        settings=AcmeSettings,
        factory=AcmeBackend,
        capabilities=CAPABILITIES,
        summary="Keeps workflows in one LMDB file, for all sidecars of one machine.",
    )

"""The entry point of the backend type `postgres`."""

from __future__ import annotations

from durahub.backend import ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

from durahub_postgres.backend import CAPABILITIES, PostgresBackend
from durahub_postgres.settings import PostgresSettings


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the Postgres backend."""
    return BackendPlugin(
        name="postgres",
        contract=ContractVersion(1, 1),
        settings=PostgresSettings,
        factory=PostgresBackend,
        capabilities=CAPABILITIES,
        summary="Keeps workflows in a schema of a Postgres database, for any number of replicas.",
    )

"""The entry point of the backend type `sqlite`."""

from __future__ import annotations

from durahub.backend import ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

from durahub_sqlite.backend import CAPABILITIES, SqliteBackend
from durahub_sqlite.settings import SqliteSettings


@hookimpl
def durahub_backend() -> BackendPlugin:
    """Describe the SQLite backend."""
    return BackendPlugin(
        name="sqlite",
        contract=ContractVersion(1, 0),
        settings=SqliteSettings,
        factory=SqliteBackend,
        capabilities=CAPABILITIES,
        summary="Keeps workflows in one SQLite file, for one process; durable, without a server.",
    )

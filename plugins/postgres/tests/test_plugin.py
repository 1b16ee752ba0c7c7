from __future__ import annotations

from durahub.plugin import BackendPluginManager
from durahub_postgres import PostgresBackend, PostgresSettings, plugin
from pydantic import SecretStr


def test_the_entry_point_describes_the_backend() -> None:
    described = BackendPluginManager().register(
        plugin, backend_type="postgres", provider="durahub-postgres"
    )
    url = SecretStr("postgresql://user:secret@db:5432/orders")
    backend = described.create(PostgresSettings(connection_string=url, schema_name="hub"))
    assert isinstance(backend, PostgresBackend)
    assert backend.capabilities == described.capabilities
    assert backend.describe() == "postgres://db:5432/orders?schema=hub"

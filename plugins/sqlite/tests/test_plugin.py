from __future__ import annotations

from durahub.plugin import BackendPluginManager
from durahub_sqlite import SqliteBackend, SqliteSettings, plugin


def test_the_entry_point_describes_the_backend() -> None:
    described = BackendPluginManager().register(
        plugin, backend_type="sqlite", provider="durahub-sqlite"
    )
    backend = described.create(SqliteSettings(connection_string="hub.db"))
    assert isinstance(backend, SqliteBackend)
    assert backend.capabilities == described.capabilities
    assert backend.describe() == "sqlite:hub.db"

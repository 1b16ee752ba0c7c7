"""The state store in a SQLite file, `state.sqlite`."""

from durahub_actors.stores.sqlite.settings import SqliteStoreSettings
from durahub_actors.stores.sqlite.store import SqliteStateStore

__all__ = ["SqliteStateStore", "SqliteStoreSettings"]

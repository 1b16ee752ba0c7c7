"""The state store in a PostgreSQL database, `state.postgresql`."""

from durahub_actors.stores.postgresql.settings import PostgresStoreSettings
from durahub_actors.stores.postgresql.store import PostgresStateStore

__all__ = ["PostgresStateStore", "PostgresStoreSettings"]

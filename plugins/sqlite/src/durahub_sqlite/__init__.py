"""The SQLite backend of Durahub: one file, one process."""

from durahub_sqlite.backend import SqliteBackend
from durahub_sqlite.settings import SqliteSettings

__all__ = ["SqliteBackend", "SqliteSettings"]

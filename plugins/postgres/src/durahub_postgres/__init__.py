"""The Postgres backend of Durahub: any number of replicas on one task hub in your own database."""

from durahub_postgres.backend import PostgresBackend
from durahub_postgres.settings import PostgresSettings

__all__ = ["PostgresBackend", "PostgresSettings"]

"""The metadata of Dapr's `state.postgresql` as settings."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlencode

from durahub.errors import ConfigError

from durahub_actors.stores.components import Metadata, StateComponent
from durahub_actors.stores.postgresql.settings import (
    DEFAULT_SCHEMA,
    PostgresStoreSettings,
    parse_url,
)

_PARTS = {
    "host": "host",
    "hostaddr": "host",
    "port": "port",
    "database": "dbname",
    "user": "user",
    "password": "password",
    "sslRootCert": "sslrootcert",
}

_KNOWN = (
    "connectionString",
    *_PARTS,
    "maxConns",
    "queryExecMode",
    "schema",
    "tablePrefix",
    "timeout",
    "timeoutInSeconds",
)

_IDENTITIES = ("useAWSIAM", "useAzureAD")

_WITHOUT_EFFECT = (
    *_IDENTITIES,
    "cleanupInterval",
    "cleanupIntervalInSeconds",
    "connectionMaxIdleTime",
    "metadataTableName",
    "tableName",
)

_UNPREPARED = frozenset({"exec", "simple_protocol"})


def postgres_settings(component: StateComponent) -> PostgresStoreSettings:
    """Return what a component says.

    Raises:
        ConfigError: Something is missing, wrong, or not possible here; never with a value.
    """
    metadata = Metadata(component, _KNOWN, _WITHOUT_EFFECT)
    for name in _IDENTITIES:
        if metadata.flag(name):
            raise component.mistake(f"{name} is not supported: use a user and a password")
    timeout = metadata.duration("timeoutInSeconds", timedelta(seconds=20))
    prefix = re.sub(r"[^a-z0-9_]", "_", metadata.text("tablePrefix").lower())
    pool_size = metadata.whole("maxConns", 4)
    timeout = metadata.duration("timeout", timeout)
    try:
        return PostgresStoreSettings(
            url=parse_url(_connection_string(metadata)),
            schema=metadata.text("schema") or f"{prefix}{DEFAULT_SCHEMA}",
            pool_size=pool_size,
            timeout_s=timeout.total_seconds(),
            prepares=metadata.text("queryExecMode").lower() not in _UNPREPARED,
        )
    except ConfigError as error:
        raise component.mistake(str(error)) from None


def _connection_string(metadata: Metadata) -> str:
    """Return the connection string, with the parts that have a name of their own instead of its own."""
    parts = {name: metadata.text(key) for key, name in _PARTS.items() if metadata.text(key)}
    text = metadata.text("connectionString")
    if not parts:
        return text
    if text.startswith(("postgres://", "postgresql://")):
        raise ConfigError("write either a URL as connectionString, or host, user and the like")
    if not text:
        return f"postgresql:///?{urlencode(parts)}"
    return " ".join([text, *(f"{name}={_quoted(value)}" for name, value in parts.items())])


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

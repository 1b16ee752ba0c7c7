"""The metadata of Dapr's `state.sqlite` as settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from durahub_actors.stores.components import Metadata, StateComponent
from durahub_actors.stores.sqlite.settings import SqliteStoreSettings

_KNOWN = ("connectionString", "busyTimeout", "disableWAL", "synchronous")

_WITHOUT_EFFECT = (
    "cleanupInterval",
    "cleanupIntervalInSeconds",
    "metadataTableName",
    "tableName",
    "timeout",
    "timeoutInSeconds",
    "url",
)

_HARMLESS_OPTIONS = frozenset({"cache", "mode", "_pragma", "_txlock"})


def sqlite_settings(component: StateComponent, directory: Path) -> SqliteStoreSettings:
    """Return what a component says.

    Args:
        component: The component.
        directory: Where relative paths begin.

    Raises:
        ConfigError: Something is missing, wrong, or not possible here.
    """
    metadata = Metadata(component, _KNOWN, _WITHOUT_EFFECT)
    if metadata.flag("disableWAL"):
        raise component.mistake(
            "disableWAL: several processes need the write-ahead log; remove this"
        )
    synchronous = metadata.text("synchronous").lower() or "full"
    if synchronous not in ("full", "normal"):
        raise component.mistake("synchronous: write full or normal")
    path = _parse_path(component, metadata.text("connectionString"))
    return SqliteStoreSettings(
        path=None if path is None else directory / path,
        synchronous="full" if synchronous == "full" else "normal",
        busy_timeout=metadata.duration("busyTimeout", timedelta(seconds=5)),
    )


def _parse_path(component: StateComponent, text: str) -> Path | None:
    if text == ":memory:":
        return None
    path, _, query = text.partition("?")
    if text.startswith("file:"):
        path = unquote(path.removeprefix("file:").removeprefix("//"))
    options = dict(parse_qsl(query, keep_blank_values=True))
    if path == ":memory:" or options.get("mode") == "memory":
        return None
    unknown = set(options) - _HARMLESS_OPTIONS
    if unknown or options.get("mode") == "ro" or "://" in path or "\0" in path or not path.strip():
        raise component.mistake(
            "connectionString: write the path of a file, such as data.db, or :memory:; of options after"
            f" '?' only {', '.join(sorted(_HARMLESS_OPTIONS))} are known"
        )
    return Path(path)

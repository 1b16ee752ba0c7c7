"""Loads Dapr `Component` files: what state stores there are, and the secrets that they need.

A file may hold several documents. Those of another kind, or of a type that has nothing to do with state,
are left alone. A component that another application is meant for is as good as not there.

    metadata:
    - name: connectionString
      secretKeyRef: {name: db, key: dsn}      of the store that auth.secretStore names
    - name: tablePrefix
      value: shop_
    - name: keyPrefix
      envRef: PREFIX
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from durahub.config.document import read_documents
from durahub.config.secret_stores import (
    ENVIRONMENT_STORE,
    FILE_STORE,
    PREFIX,
    EnvironmentSecrets,
    SecretStore,
    SecretStores,
    UnsupportedStore,
    is_true,
    is_withheld,
    read_secrets_file,
)
from durahub.config.tree import (
    Items,
    Node,
    Position,
    Scalar,
    Table,
    describe,
    error_at,
    is_nothing,
    join_path,
    table_of,
    to_plain,
)
from durahub.errors import ConfigError

KIND = "Component"
STATE_PREFIX = "state."
"""Begins the types of components that store state."""

_SUFFIXES = frozenset({".yaml", ".yml"})
_SOURCES = ("value", "secretKeyRef", "envRef")
_DEFAULT_SEPARATOR = ":"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component, with its secrets in place.

    Attributes:
        name: `metadata.name`; no two have the same.
        type: Such as `state.redis`.
        version: Such as `v1`, which is the default.
        metadata: The values by name, as the names are written. Every value may be a secret.
        scopes: Ids of the applications that it is meant for; empty for all.
        at: File and line.
    """

    name: str
    type: str
    version: str
    metadata: Mapping[str, SecretStr] = field(repr=False)
    scopes: tuple[str, ...]
    at: Position


def load_components(
    paths: Sequence[Path], *, environ: Mapping[str, str], app_id: str | None = None
) -> tuple[Component, ...]:
    """Return the state components of directories or files, in the order of the files' names.

    Args:
        paths: Files, or directories whose `.yaml` and `.yml` files count (Dapr).
        environ: Where `envRef` and environment secret stores look.
        app_id: Components for other applications are left out; None for no application.

    Raises:
        ConfigError: A file can't be read, a component is wrong, or a secret is not there. The message
            has file, line and key, and never a value.
    """
    drafts = _drafts(paths, app_id)
    stores = _secret_stores(drafts, environ)
    return tuple(
        Component(
            name=draft.name,
            type=draft.type,
            version=draft.version,
            metadata=MappingProxyType(_metadata(draft, environ, stores)),
            scopes=draft.scopes,
            at=draft.at,
        )
        for draft in drafts
        if draft.type.startswith(STATE_PREFIX)
    )


def load_secret_stores(
    paths: Sequence[Path], *, environ: Mapping[str, str], app_id: str | None = None
) -> SecretStores:
    """Return the secret stores of directories or files; arguments and errors as of `load_components`."""
    return _secret_stores(_drafts(paths, app_id), environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A component whose metadata has not been looked at."""

    name: str
    type: str
    version: str
    metadata: Items
    scopes: tuple[str, ...]
    secret_store: str | None
    at: Position


def _drafts(paths: Sequence[Path], app_id: str | None) -> list[_Draft]:
    found: dict[str, _Draft] = {}
    for file in _files(paths):
        for document in read_documents(file, kind=KIND):
            draft = _draft(document)
            is_meant = app_id is None or not draft.scopes or app_id in draft.scopes
            if not (draft.type.startswith((STATE_PREFIX, PREFIX)) and is_meant):
                continue
            other = found.setdefault(draft.name, draft)
            if other is not draft:
                message = f"there is a component {draft.name!r} already, at {other.at}"
                raise error_at(draft.at, "metadata.name", message)
    return list(found.values())


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            inside = sorted(path.iterdir()) if path.is_dir() else [path]
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(f"cannot read the directory: {reason}", location=str(path)) from None
        yield from (file for file in inside if file == path or _is_yaml(file))


def _is_yaml(file: Path) -> bool:
    return file.suffix.lower() in _SUFFIXES and file.is_file()


def _draft(document: Table) -> _Draft:
    spec = _section(document, "spec")
    name = _text(_section(document, "metadata"), "name", "metadata.name")
    kind = _text(spec, "type", "spec.type")
    if not name:
        raise error_at(document.at, "metadata.name", "required key is missing")
    if not kind:
        raise error_at(spec.at, "spec.type", "required key is missing")
    return _Draft(
        name=name,
        type=kind.lower(),
        version=_text(spec, "version", "spec.version") or "v1",
        metadata=_items(spec, "metadata", "spec.metadata"),
        scopes=_scopes(document),
        secret_store=_text(_section(document, "auth"), "secretStore", "auth.secretStore"),
        at=document.at,
    )


def _scopes(document: Table) -> tuple[str, ...]:
    items = _items(document, "scopes", "scopes").items
    return tuple(_as_text(item, join_path("scopes", i)) for i, item in enumerate(items))


def _metadata(
    draft: _Draft, environ: Mapping[str, str], stores: SecretStores | None
) -> dict[str, SecretStr]:
    """Return the values of a component; without stores, none may be in a secret store."""
    values: dict[str, SecretStr] = {}
    seen: set[str] = set()
    for index, item in enumerate(draft.metadata.items):
        path = join_path("spec", "metadata", index)
        entry = table_of(item, path)
        name = _text(entry, "name", f"{path}.name")
        if not name:
            raise error_at(entry.at, f"{path}.name", "required key is missing")
        if name.casefold() in seen:
            raise error_at(entry.at, f"{path}.name", f"{name!r} is there twice")
        seen.add(name.casefold())
        values[name] = _value(entry, path, draft, environ, stores)
    return values


def _value(
    entry: Table,
    path: str,
    draft: _Draft,
    environ: Mapping[str, str],
    stores: SecretStores | None,
) -> SecretStr:
    given = [
        key for key in _SOURCES if key in entry.entries and not is_nothing(entry.entries[key].value)
    ]
    if len(given) > 1:
        raise error_at(entry.at, path, f"give one of {' and '.join(given)}, not both")
    if not given:
        return SecretStr("")
    (source,) = given
    node = entry.entries[source].value
    path = join_path(path, source)
    if source == "envRef":
        return _variable(_as_text(node, path), environ, node.at, path)
    if source == "secretKeyRef":
        return _secret(table_of(node, path), path, draft, stores)
    return SecretStr(_plain_text(node))


def _variable(name: str, environ: Mapping[str, str], at: Position, path: str) -> SecretStr:
    if is_withheld(name):
        raise error_at(at, path, f"components may not have the environment variable {name}")
    value = environ.get(name)
    if value is None:
        raise error_at(at, path, f"environment variable {name} is not set")
    return SecretStr(value)


def _secret(table: Table, path: str, draft: _Draft, stores: SecretStores | None) -> SecretStr:
    if stores is None:
        raise error_at(table.at, path, "a secret store can't have its own secrets in another one")
    if not draft.secret_store:
        message = "name the secret store that it is in, as auth.secretStore of the component"
        raise error_at(table.at, path, message)
    name = _text(table, "name", f"{path}.name")
    if not name:
        raise error_at(table.at, f"{path}.name", "required key is missing")
    try:
        return stores.find(draft.secret_store, name, _text(table, "key", f"{path}.key") or None)
    except ConfigError as error:
        raise error_at(table.at, path, str(error)) from None


def _secret_stores(drafts: Sequence[_Draft], environ: Mapping[str, str]) -> SecretStores:
    return SecretStores(
        MappingProxyType(
            {
                draft.name: _secret_store(draft, environ)
                for draft in drafts
                if draft.type.startswith(PREFIX)
            }
        )
    )


def _secret_store(draft: _Draft, environ: Mapping[str, str]) -> SecretStore:
    if draft.type not in (FILE_STORE, ENVIRONMENT_STORE):
        return UnsupportedStore(draft.type)
    settings = {
        name.casefold(): value.get_secret_value()
        for name, value in _metadata(draft, environ, None).items()
    }
    if draft.type == ENVIRONMENT_STORE:
        return EnvironmentSecrets(environ, settings.get("prefix", ""))
    file = settings.get("secretsfile", "")
    if not file:
        raise error_at(draft.at, "spec.metadata", "'secretsFile' is missing")
    return read_secrets_file(
        Path(file),
        separator=settings.get("nestedseparator") or _DEFAULT_SEPARATOR,
        is_multi_valued=is_true(settings.get("multivalued", "")),
    )


def _section(table: Table, key: str) -> Table:
    entry = table.entries.get(key)
    return (
        Table({}, table.at) if entry is None else replace(table_of(entry.value, key), at=entry.at)
    )


def _items(table: Table, key: str, path: str) -> Items:
    entry = table.entries.get(key)
    if entry is None or is_nothing(entry.value):
        return Items((), table.at)
    if not isinstance(entry.value, Items):
        raise error_at(entry.at, path, f"expected a list, found {describe(entry.value)}")
    return entry.value


def _text(table: Table, key: str, path: str) -> str | None:
    entry = table.entries.get(key)
    if entry is None or is_nothing(entry.value):
        return None
    return _as_text(entry.value, path)


def _as_text(node: Node, path: str) -> str:
    match node:
        case Scalar(value=str(text)):
            return text
        case _:
            raise error_at(node.at, path, f"expected a string, found {describe(node)}")


def _plain_text(node: Node) -> str:
    """Return a value as Dapr passes it on: a text as it is, anything else as JSON."""
    plain = to_plain(node)
    if isinstance(plain, date):
        return plain.isoformat()
    return plain if isinstance(plain, str) else json.dumps(plain, default=str)

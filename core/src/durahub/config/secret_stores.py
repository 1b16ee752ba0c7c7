"""Secret stores that are on this machine, as Dapr's `secretstores.local.file` and `.local.env` are.

A secret is looked up by the store's name, the secret's name, and a key in it. No message repeats a
secret, nor a file's content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pydantic import SecretStr

from durahub.errors import ConfigError

PREFIX = "secretstores."
"""Begins the types of components that are secret stores."""
FILE_STORE = "secretstores.local.file"
ENVIRONMENT_STORE = "secretstores.local.env"

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})


class SecretStore(Protocol):
    """Somewhere secrets are kept."""

    def get(self, name: str) -> Mapping[str, SecretStr] | None:
        """Return a secret's values by their keys; None if there is no such secret."""
        ...


@dataclass(frozen=True, slots=True)
class EnvironmentSecrets:
    """Environment variables as secrets, each with one value under its own name.

    Attributes:
        environ: The variables.
        prefix: Is put before a secret's name to get that of its variable.
    """

    environ: Mapping[str, str] = field(repr=False)
    prefix: str = ""

    def get(self, name: str) -> Mapping[str, SecretStr] | None:
        """Return a secret's values by their keys; None if there is no such secret."""
        variable = self.prefix + name
        value = None if is_withheld(variable) else self.environ.get(variable)
        return None if value is None else {name: SecretStr(value)}


@dataclass(frozen=True, slots=True)
class FileSecrets:
    """The secrets of a JSON file, as they were when it was read.

    Attributes:
        secrets: Values by name and key.
    """

    secrets: Mapping[str, Mapping[str, SecretStr]] = field(repr=False)

    def get(self, name: str) -> Mapping[str, SecretStr] | None:
        """Return a secret's values by their keys; None if there is no such secret."""
        return self.secrets.get(name)


@dataclass(frozen=True, slots=True)
class UnsupportedStore:
    """A secret store that is somewhere else, of which nothing can be asked.

    Attributes:
        type: Type of its component.
    """

    type: str

    def get(self, name: str) -> Mapping[str, SecretStr] | None:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"secret stores of type {self.type!r} are not supported;"
            f" supported are {FILE_STORE} and {ENVIRONMENT_STORE}"
        )


@dataclass(frozen=True, slots=True)
class SecretStores:
    """All secret stores that a sidecar may use.

    Attributes:
        by_name: The stores by the names of their components.
    """

    by_name: Mapping[str, SecretStore] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, store_name: str | None, name: str, key: str | None) -> SecretStr:
        """Return a secret.

        Args:
            store_name: Name of the store; None for the only one.
            name: Name of the secret.
            key: Which of its values; None for the one that has the secret's name, as on Dapr.

        Raises:
            ConfigError: There is no such store, no such secret, or no such key in it.
        """
        store_name = self._only() if store_name is None else store_name
        store = self.by_name.get(store_name)
        if store is None:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise ConfigError(f"there is no secret store {store_name!r}; there are: {known}")
        secret = store.get(name)
        if secret is None:
            raise ConfigError(f"the secret store {store_name!r} has no secret {name!r}")
        value = secret.get(name if key is None else key)
        if value is None:
            raise ConfigError(
                f"the secret {name!r} of the secret store {store_name!r} has no key {key or name!r}"
            )
        return value

    def _only(self) -> str:
        if len(self.by_name) == 1:
            return next(iter(self.by_name))
        raise ConfigError(
            f"say which secret store it is in, with 'secretStore'; there are {len(self.by_name)}"
        )


NO_SECRET_STORES = SecretStores()
"""Where nothing can be looked up."""


def is_withheld(variable: str) -> bool:
    """Whether components may not have an environment variable: those with Dapr's own secrets (Dapr)."""
    folded = variable.upper()
    return folded == "APP_API_TOKEN" or folded.startswith("DAPR_")


def is_true(text: str) -> bool:
    """Return what a text in a component's metadata says (Dapr)."""
    return text.strip().lower() in _TRUE


def read_secrets_file(path: Path, *, separator: str, is_multi_valued: bool) -> FileSecrets:
    """Return the secrets of a JSON file.

    Nested keys are joined: `{"db": {"dsn": …}}` is the secret `db:dsn`, or the key `dsn` of the secret
    `db` where secrets have several values.

    Args:
        path: The file.
        separator: What joins nested keys.
        is_multi_valued: Whether each key at the top is a secret with values of its own.

    Raises:
        ConfigError: The file can't be read, or is not a JSON object.
    """
    root = _read_json(path)
    if not is_multi_valued:
        flat = dict(_flatten(root, separator))
        return FileSecrets({name: {name: value} for name, value in flat.items()})
    return FileSecrets(
        {
            name: dict(_flatten(value, separator))
            if isinstance(value, dict | list)
            else {name: _secret(value)}
            for name, value in root.items()
        }
    )


def _read_json(path: Path) -> dict[str, object]:
    try:
        root = json.loads(path.read_bytes())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot read the file: {reason}", location=str(path)) from None
    except json.JSONDecodeError as error:
        raise ConfigError("not JSON", location=f"{path}:{error.lineno}:{error.colno}") from None
    except (ValueError, RecursionError):
        raise ConfigError("not JSON", location=str(path)) from None
    if not isinstance(root, dict):
        raise ConfigError("expected a JSON object", location=str(path))
    return root


def _flatten(node: object, separator: str, prefix: str = "") -> Iterator[tuple[str, SecretStr]]:
    if isinstance(node, dict):
        children = [(str(key), child) for key, child in node.items()]
    elif isinstance(node, list):
        children = [(str(index), child) for index, child in enumerate(node)]
    else:
        yield prefix, _secret(node)
        return
    for key, child in children:
        yield from _flatten(child, separator, f"{prefix}{separator}{key}" if prefix else key)


def _secret(value: object) -> SecretStr:
    return SecretStr(value if isinstance(value, str) else json.dumps(value))

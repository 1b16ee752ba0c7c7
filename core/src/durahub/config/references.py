"""Puts what is somewhere else where a configuration refers to it.

    connectionString: postgres://app:${DB_PASSWORD}@db/workflows
    connectionString: {envRef: DSN}
    connectionString: {fileRef: /run/secrets/dsn}
    connectionString: {secretKeyRef: {secretStore: vault, name: db, key: dsn}}

`$${` stands for a literal `${`. References are followed once: what is found is never read as another
reference. Messages name the variable, the file or the secret, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from durahub.config.secret_stores import NO_SECRET_STORES, SecretStores
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
)
from durahub.errors import ConfigError, nearest_name

ENV_REF = "envRef"
FILE_REF = "fileRef"
SECRET_REF = "secretKeyRef"  # noqa: S105 - a key
REFERENCES = frozenset({ENV_REF, FILE_REF, SECRET_REF})
"""Each makes a mapping stand for something else; it has to be the only key."""

MAX_FILE_BYTES = 1024 * 1024
"""Largest file that is taken for a value."""

_SECRET_KEYS = ("secretStore", "name", "key")
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = re.compile(rf"\$\{{{_NAME}\}}")
_REFERENCE = re.compile(rf"(?P<escape>\$\$\{{)|\$\{{(?P<name>{_NAME})\}}|\$\{{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where references lead.

    Attributes:
        environ: Environment variables.
        secret_stores: Where secrets are kept.
    """

    environ: Mapping[str, str] = field(repr=False)
    secret_stores: SecretStores = NO_SECRET_STORES


def is_reference(node: Node) -> bool:
    """Whether a whole value is somewhere else, so that nothing of it is written down here."""
    match node:
        case Scalar(value=str(text)):
            return _VARIABLE.fullmatch(text) is not None
        case Table(entries=entries):
            return len(entries) == 1 and entries.keys() <= REFERENCES
        case _:
            return False


def expand(node: Node, sources: Sources, *path: str | int) -> Node:
    """Return a tree in which every reference is replaced by what it refers to.

    Args:
        node: The tree.
        sources: Where references lead.
        path: Keys that lead to the tree, for messages.

    Raises:
        ConfigError: Something is not there, or a reference is not well-formed.
    """
    match node:
        case Scalar(value=str(text)):
            return replace(node, value=_expand_text(text, sources.environ, node.at, path))
        case Scalar():
            return node
        case Items(items=items):
            expanded = (expand(item, sources, *path, i) for i, item in enumerate(items))
            return replace(node, items=tuple(expanded))
        case Table(entries=entries) if is_reference(node):
            ((key, entry),) = entries.items()
            return _follow(key, entry.value, sources, (*path, key))
        case Table(entries=entries):
            return replace(
                node,
                entries={
                    key: replace(entry, value=expand(entry.value, sources, *path, entry.key))
                    for key, entry in entries.items()
                },
            )


def _follow(key: str, node: Node, sources: Sources, path: tuple[str | int, ...]) -> Scalar:
    if key == ENV_REF:
        return Scalar(_variable(node, sources.environ, path), node.at)
    if key == FILE_REF:
        return Scalar(_content(node, path), node.at)
    return Scalar(_secret(node, sources.secret_stores, path), node.at)


def _variable(node: Node, environ: Mapping[str, str], path: tuple[str | int, ...]) -> str:
    match node:
        case Scalar(value=str(name), at=at) if re.fullmatch(_NAME, name):
            return _look_up(name, environ, at, path[:-1])
        case _:
            raise error_at(
                node.at, join_path(*path), "expected the name of an environment variable"
            )


def _content(node: Node, path: tuple[str | int, ...]) -> str:
    """Return what a file holds, without the line break at its end."""
    name = _text(node, path)
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise error_at(node.at, join_path(*path), f"cannot read {name}: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise error_at(node.at, join_path(*path), f"{name} has more than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise error_at(node.at, join_path(*path), f"{name} is not UTF-8") from None


def _secret(node: Node, stores: SecretStores, path: tuple[str | int, ...]) -> str:
    table = table_of(node, join_path(*path))
    for key, entry in table.entries.items():
        if key not in _SECRET_KEYS:
            nearest = nearest_name(key, _SECRET_KEYS)
            hint = f"did you mean {nearest!r}?" if nearest else "known: secretStore, name, key"
            raise error_at(entry.at, join_path(*path, key), f"unknown key; {hint}")
    given = {
        key: _text(entry.value, (*path, key))
        for key, entry in table.entries.items()
        if not is_nothing(entry.value)
    }
    if "name" not in given:
        raise error_at(table.at, join_path(*path, "name"), "required key is missing")
    try:
        found = stores.find(given.get("secretStore"), given["name"], given.get("key"))
    except ConfigError as error:
        raise error_at(table.at, join_path(*path), str(error)) from None
    return found.get_secret_value()


def _text(node: Node, path: tuple[str | int, ...]) -> str:
    match node:
        case Scalar(value=str(text)) if text:
            return text
        case _:
            message = f"expected a string, found {describe(node)}"
            raise error_at(node.at, join_path(*path), message)


def _expand_text(
    text: str, environ: Mapping[str, str], at: Position, path: tuple[str | int, ...]
) -> str:
    def substitute(match: re.Match[str]) -> str:
        if match["escape"]:
            return "${"
        if match["name"] is None:
            raise error_at(
                at,
                join_path(*path),
                "'${' does not start a reference such as ${NAME}; write '$${' for a literal '${'",
            )
        return _look_up(match["name"], environ, at, path)

    return _REFERENCE.sub(substitute, text)


def _look_up(
    name: str, environ: Mapping[str, str], at: Position, path: tuple[str | int, ...]
) -> str:
    value = environ.get(name)
    if value is None:
        raise error_at(at, join_path(*path), f"environment variable {name} is not set")
    return value

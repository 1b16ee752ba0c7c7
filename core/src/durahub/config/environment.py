"""Puts values of environment variables where a configuration refers to them.

    connectionString: postgres://app:${DB_PASSWORD}@db/workflows
    connectionString: {envRef: DSN}

`$${` stands for a literal `${`. References are followed once: what a variable holds is never read as
another reference. Messages name the variable, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from durahub.config.tree import Items, Node, Position, Scalar, Table, error_at, join_path

ENV_REF = "envRef"
"""The key that makes a mapping stand for an environment variable; it has to be the only key."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"(?P<escape>\$\$\{{)|\$\{{(?P<name>{_NAME})\}}|\$\{{")


def expand(node: Node, environ: Mapping[str, str], *path: str | int) -> Node:
    """Return a tree in which every reference is replaced by the variable's value.

    Args:
        node: The tree.
        environ: The variables.
        path: Keys that lead to the tree, for messages.

    Raises:
        ConfigError: A variable is not set, or a reference is not well-formed.
    """
    match node:
        case Scalar(value=str(text)):
            return replace(node, value=_expand_text(text, environ, node.at, path))
        case Scalar():
            return node
        case Items(items=items):
            expanded = (expand(item, environ, *path, i) for i, item in enumerate(items))
            return replace(node, items=tuple(expanded))
        case Table(entries=entries) if entries.keys() == {ENV_REF}:
            return _follow(entries[ENV_REF].value, environ, path)
        case Table(entries=entries):
            return replace(
                node,
                entries={
                    key: replace(entry, value=expand(entry.value, environ, *path, entry.key))
                    for key, entry in entries.items()
                },
            )


def _follow(node: Node, environ: Mapping[str, str], path: tuple[str | int, ...]) -> Scalar:
    match node:
        case Scalar(value=str(name), at=at) if re.fullmatch(_NAME, name):
            return Scalar(_look_up(name, environ, at, path), at)
        case _:
            raise error_at(
                node.at, join_path(*path, ENV_REF), "expected the name of an environment variable"
            )


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

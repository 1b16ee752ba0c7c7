"""A parsed document in which every value knows where it stands.

Values may be secrets, so no `repr` of these types shows one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import NoneType
from typing import NamedTuple, TypeAlias

from durahub.errors import ConfigError

Plain: TypeAlias = str | int | float | bool | bytes | date | None
"""What a scalar may be; a YAML timestamp is a `date` or its subclass `datetime`."""


_KINDS: tuple[tuple[type, str], ...] = (
    (NoneType, "nothing"),
    (str, "a string"),
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a number"),
    (date, "a date"),
)


class Position(NamedTuple):
    """Where something stands.

    Attributes:
        file: Path of the file, as it was given.
        line: Line, counted from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    value: Plain = field(repr=False)
    at: Position


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Node, ...] = field(repr=False)
    at: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and its value.

    Attributes:
        key: The key as it is written in the file.
        at: Where the key stands.
        value: What it maps to.
    """

    key: str
    at: Position
    value: Node = field(repr=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping whose keys are strings."""

    entries: Mapping[str, Entry] = field(repr=False)
    at: Position


Node: TypeAlias = Scalar | Items | Table


def is_nothing(node: Node) -> bool:
    """Whether a key is there without a value (YAML's null)."""
    return isinstance(node, Scalar) and node.value is None


def to_plain(node: Node) -> object:
    """Return the same data as strings, numbers, lists and dictionaries."""
    match node:
        case Scalar(value=value):
            return value
        case Items(items=items):
            return [to_plain(item) for item in items]
        case Table(entries=entries):
            return {key: to_plain(entry.value) for key, entry in entries.items()}


def describe(node: Node) -> str:
    """Return what kind of thing a node is, for messages, without its value."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Table):
        return "a mapping"
    kinds = (noun for kind, noun in _KINDS if isinstance(node.value, kind))
    return next(kinds, "binary data")


def join_path(*parts: str | int) -> str:
    """Return a key path such as `spec.workflow.limits[0].name`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def error_at(position: Position, path: str, message: str) -> ConfigError:
    """Return the error that points at a key of a file."""
    return ConfigError(message, location=f"{position}: {path}" if path else str(position))


def table_of(node: Node, path: str) -> Table:
    """Return a node that has to be a mapping; nothing at all counts as an empty one.

    Raises:
        ConfigError: It is something else.
    """
    match node:
        case Table():
            return node
        case Scalar(value=None, at=position):
            return Table({}, position)
        case _:
            raise error_at(node.at, path, f"expected a mapping, found {describe(node)}")


def merge(first: Table, second: Table) -> Table:
    """Return both tables as one; where both have a key, mappings merge and anything else is `second`'s."""
    entries = dict(first.entries)
    for key, entry in second.entries.items():
        old = entries.get(key)
        if old is not None and isinstance(old.value, Table) and isinstance(entry.value, Table):
            entries[key] = replace(entry, value=merge(old.value, entry.value))
        else:
            entries[key] = entry
    return Table(entries, second.at)


def leaves(node: Node) -> Sequence[Plain]:
    """Return all scalar values below a node."""
    match node:
        case Scalar(value=value):
            return (value,)
        case Items(items=items):
            return [leaf for item in items for leaf in leaves(item)]
        case Table(entries=entries):
            return [leaf for entry in entries.values() for leaf in leaves(entry.value)]

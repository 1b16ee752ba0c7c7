"""Reads YAML 1.2 files into trees with positions.

Nothing of a file's content gets into a message except keys: the YAML library's own errors and warnings
quote the source, and the source may hold a password.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError

from durahub.config.tree import Entry, Items, Node, Plain, Position, Scalar, Table, describe
from durahub.errors import ConfigError

_T = TypeVar("_T")

_CORE_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 100
# What may be quoted in a message of the library: single characters and token names such as
# '<block end>'. Anything else, such as the name of an alias, is text of the file.
_QUOTES_NO_SOURCE = re.compile(r"""[^'"]*('(.|\\.|<[^']*>)'[^'"]*)*""")


def read_document(path: Path) -> Table:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: The file can't be read, is not UTF-8, is empty, is not well-formed YAML, holds
            several documents, or is something else than a mapping; with file, line and column.
    """
    file = str(path)
    root: YamlNode | None = _parse(_read_text(path), file, _new_yaml().compose)
    if root is None:
        raise ConfigError("the file is empty", location=file)
    node = _Converter(file).convert(root)
    if isinstance(node, Table):
        return node
    raise ConfigError(f"expected a mapping, found {describe(node)}", location=str(node.at))


def read_documents(path: Path, *, kind: str) -> Sequence[Table]:
    """Return those documents of a YAML file that are mappings with the given `kind`.

    Raises:
        ConfigError: The file can't be read, is not UTF-8, or is not well-formed YAML; with file, line
            and column.
    """
    file = str(path)
    roots = _parse(_read_text(path), file, lambda text: list(_new_yaml().compose_all(text)))
    nodes = (_Converter(file).convert(root) for root in roots if _kind_of(root) == kind)
    return [node for node in nodes if isinstance(node, Table)]


def _kind_of(root: YamlNode | None) -> object:
    # Before it is converted: a document that concerns nobody here may hold what is not supported.
    if not isinstance(root, MappingNode):
        return None
    return next((value.value for key, value in root.value if key.value == "kind"), None)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot read the file: {reason}", location=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", location=str(path)) from None


def _new_yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _parse(text: str, file: str, parse: Callable[[str], _T]) -> _T:
    try:
        with warnings.catch_warnings():
            # To use an anchor's name again is legal, and the warning quotes the file.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            return parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"malformed YAML: {_problem(error)}", location=where) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise ConfigError(
            "malformed YAML: a control character", location=f"{file}:{line}:{column}"
        ) from None
    except YAMLError:
        raise ConfigError("malformed YAML", location=file) from None
    except RecursionError:
        raise ConfigError(f"nested deeper than {_MAX_DEPTH} levels", location=file) from None


def _problem(error: MarkedYAMLError) -> str:
    text = " ".join(" ".join(filter(None, (error.context, error.problem))).split())
    if _QUOTES_NO_SOURCE.fullmatch(text):
        return text
    return re.split("['\"]", text, maxsplit=1)[0].rstrip()


class _Converter:
    """Turns the YAML library's nodes into ours."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._constructor = _new_yaml().constructor
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()

    def convert(self, node: YamlNode) -> Node:
        """Return our form of a node; one that aliases share is converted once."""
        known = self._done.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise self._error(node, "an alias refers to what it is part of")
        if len(self._open) == _MAX_DEPTH:
            raise self._error(node, f"nested deeper than {_MAX_DEPTH} levels")
        self._open.add(id(node))
        converted = self._convert(node)
        self._open.remove(id(node))
        self._done[id(node)] = converted
        return converted

    def _convert(self, node: YamlNode) -> Node:
        at = self._position(node)
        if isinstance(node, MappingNode):
            return Table(self._entries(node), at)
        if isinstance(node, SequenceNode):
            return Items(tuple(self.convert(item) for item in node.value), at)
        return Scalar(self._scalar(node), at)

    def _entries(self, node: MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            first = entries.get(key)
            if first is not None:
                raise self._error(key_node, f"duplicate key {key!r}, first in line {first.at.line}")
            entries[key] = Entry(key, self._position(key_node), self.convert(value_node))
        return entries

    def _key(self, node: YamlNode) -> str:
        if node.tag == f"{_CORE_TAG}merge":
            raise self._error(node, "merge keys ('<<') are not supported; write the keys out")
        if not isinstance(node, ScalarNode) or node.tag != f"{_CORE_TAG}str":
            raise self._error(node, "keys have to be strings")
        return str(node.value)

    def _scalar(self, node: YamlNode) -> Plain:
        if not str(node.tag).startswith(_CORE_TAG):
            raise self._error(node, "tags ('!...') are not supported")
        try:
            value: Plain = self._constructor.construct_object(node, deep=True)
        except (YAMLError, ValueError):
            raise self._error(node, "malformed value") from None
        return value

    def _position(self, node: YamlNode) -> Position:
        return Position(self._file, node.start_mark.line + 1)

    def _error(self, node: YamlNode, message: str) -> ConfigError:
        mark = node.start_mark
        return ConfigError(message, location=f"{self._file}:{mark.line + 1}:{mark.column + 1}")

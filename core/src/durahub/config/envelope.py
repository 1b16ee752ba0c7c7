"""What is around `spec.workflow` in a Dapr `Configuration` file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from durahub.config.document import read_document
from durahub.config.sections import API, LOGGING, METRIC, METRICS, TRACING
from durahub.config.tree import Entry, Node, Scalar, Table, describe, error_at, is_nothing, table_of
from durahub.errors import ConfigError, nearest_name

API_VERSION = "dapr.io/v1alpha1"
KIND = "Configuration"

WORKFLOW = "workflow"
OTHER_SECTIONS = (
    "accessControl",
    "appHttpPipeline",
    "components",
    "features",
    "httpPipeline",
    "mtls",
    "nameResolution",
    "secrets",
    "wasm",
)
"""Sections of `spec` that Dapr knows and that say nothing here."""
READ_SECTIONS = (API, LOGGING, METRIC, METRICS, TRACING)
"""Sections of `spec` beside `spec.workflow` that are gone by."""

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec")
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One file, checked except for what is in the sections that are gone by.

    Attributes:
        source: Path of the file, as it was given.
        name: `metadata.name`, if there is one.
        ignored_sections: Sections of `spec` that are there and say nothing here.
        sections: Those that are gone by, as they are written.
        workflow: What is under `spec.workflow`, as it is written; nothing if the section is missing.
    """

    source: str
    name: str | None
    ignored_sections: tuple[str, ...]
    sections: Mapping[str, Entry] = field(repr=False)
    workflow: Node = field(repr=False)


def read_envelope(path: Path) -> Envelope:
    """Read one file and check that it is a Dapr `Configuration`.

    Raises:
        ConfigError: It is not, or it has a section that Dapr does not know.
    """
    document = read_document(path)
    _require(document, "apiVersion", API_VERSION)
    _require(document, "kind", KIND)
    _refuse_unknown(document, "", _TOP_LEVEL)
    spec = _section(document, "spec")
    _refuse_unknown(spec, "spec", (WORKFLOW, *READ_SECTIONS, *OTHER_SECTIONS))
    workflow = spec.entries.get(WORKFLOW)
    return Envelope(
        source=str(path),
        name=_name(_section(document, "metadata")),
        ignored_sections=tuple(key for key in spec.entries if key in OTHER_SECTIONS),
        sections={key: e for key, e in spec.entries.items() if key in READ_SECTIONS},
        workflow=workflow.value if workflow else Table({}, spec.at),
    )


def _require(document: Table, key: str, expected: str) -> None:
    entry = document.entries.get(key)
    if entry is None:
        raise error_at(document.at, key, f"required key is missing; expected {expected!r}")
    match entry.value:
        case Scalar(value=value) if value == expected:
            return
        case Scalar(value=str(value)) if len(value) <= _SHOWN_LENGTH:
            found = repr(value)
        case node:
            found = describe(node)
    raise error_at(entry.at, key, f"expected {expected!r}, found {found}")


def _section(document: Table, key: str) -> Table:
    entry = document.entries.get(key)
    return Table({}, document.at) if entry is None else table_of(entry.value, key)


def _refuse_unknown(table: Table, path: str, known: Iterable[str]) -> None:
    for entry in table.entries.values():
        if entry.key not in known:
            raise _unknown(entry, path, known)


def _unknown(entry: Entry, path: str, known: Iterable[str]) -> ConfigError:
    nearest = nearest_name(entry.key, known)
    hint = f"did you mean {nearest!r}?" if nearest else f"known keys: {', '.join(known)}"
    return error_at(entry.at, f"{path}.{entry.key}".lstrip("."), f"unknown key; {hint}")


def _name(metadata: Table) -> str | None:
    entry = metadata.entries.get("name")
    if entry is None or is_nothing(entry.value):
        return None
    match entry.value:
        case Scalar(value=str(name)):
            return name
        case node:
            raise error_at(entry.at, "metadata.name", f"expected a string, found {describe(node)}")

"""Reads the sections beside `spec.workflow`: merged, with references followed, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from durahub.config.envelope import Envelope
from durahub.config.explain import explain, keys_of_field, models_in
from durahub.config.references import Sources, expand, is_reference
from durahub.config.sections import (
    API,
    LOGGING,
    METRIC,
    METRICS,
    TRACING,
    ApiSection,
    LoggingSection,
    MetricsSection,
    TracingSection,
)
from durahub.config.tree import (
    Entry,
    Items,
    Node,
    Position,
    Table,
    error_at,
    is_nothing,
    join_path,
    merge,
    table_of,
    to_plain,
)

_TOKEN = "token"  # noqa: S105 - a key

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """The sections, and what of them is not gone by.

    Attributes:
        api: `spec.api`.
        logging: `spec.logging`.
        metrics: `spec.metrics`, or `spec.metric`.
        tracing: `spec.tracing`.
        unknown_keys: Keys in them that only Dapr may know.
    """

    api: ApiSection
    logging: LoggingSection
    metrics: MetricsSection
    tracing: TracingSection
    unknown_keys: tuple[str, ...]


def read_sections(files: Sequence[Envelope], sources: Sources) -> Sections:
    """Return what the files say together, a later one winning key by key.

    Raises:
        ConfigError: A value is wrong, something that is referred to is not there, or a token is
            written down where it should be referred to.
    """
    tables = [_tables(file, sources) for file in files]
    unknown: list[str] = []

    def read(name: str, model: type[ModelT]) -> ModelT:
        table = reduce(merge, (found[name] for found in tables if name in found), _EMPTY)
        unknown.extend(_unknown_keys(model, table, ("spec", name)))
        try:
            return model.model_validate(to_plain(table))
        except ValidationError as error:
            raise explain(error, model, table, at=table.at, path=("spec", name)) from None

    return Sections(
        api=read(API, ApiSection),
        logging=read(LOGGING, LoggingSection),
        metrics=read(METRICS, MetricsSection),
        tracing=read(TRACING, TracingSection),
        unknown_keys=tuple(unknown),
    )


_EMPTY = Table({}, Position("", 0))


def _tables(file: Envelope, sources: Sources) -> Mapping[str, Table]:
    """Return the sections of one file by their names, of which metrics have two."""
    tables: dict[str, Table] = {}
    # The newer name is read last, and wins.
    for name in (API, LOGGING, METRIC, METRICS, TRACING):
        entry = file.sections.get(name)
        if entry is None:
            continue
        path = ("spec", name)
        if name == API:
            _refuse_written_tokens(entry)
        table = table_of(expand(entry.value, sources, *path), join_path(*path))
        key = METRICS if name == METRIC else name
        tables[key] = merge(tables.get(key, _EMPTY), _without_nothing(table))
    return tables


def _refuse_written_tokens(api: Entry) -> None:
    tokens = api.value.entries.get("tokens") if isinstance(api.value, Table) else None
    if tokens is None or not isinstance(tokens.value, Items):
        return
    for index, item in enumerate(tokens.value.items):
        secret = item.entries.get(_TOKEN) if isinstance(item, Table) else None
        if secret is not None and not is_reference(secret.value):
            raise error_at(
                secret.at,
                join_path("spec", API, "tokens", index, _TOKEN),
                "a token is not written into a configuration file: refer to it with envRef, fileRef or"
                " secretKeyRef",
            )


def _without_nothing(table: Table) -> Table:
    """Return a table without the keys that have no value, at every level."""
    entries = {
        key: replace(entry, value=_without_nothing(entry.value))
        if isinstance(entry.value, Table)
        else entry
        for key, entry in table.entries.items()
        if not is_nothing(entry.value)
    }
    return replace(table, entries=entries)


def _unknown_keys(model: type[BaseModel], node: Node, path: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(node, Items):
        for index, item in enumerate(node.items):
            yield from _unknown_keys(model, item, (*path, index))
    if not isinstance(node, Table):
        return
    fields = {
        key: field
        for name, field in model.model_fields.items()
        for key in keys_of_field(name, field)
    }
    for key, entry in node.entries.items():
        field = fields.get(key)
        if field is None:
            yield join_path(*path, key)
            continue
        for below in models_in(field.annotation):
            yield from _unknown_keys(below, entry.value, (*path, key))

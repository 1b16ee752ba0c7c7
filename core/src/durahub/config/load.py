"""Loads Dapr `Configuration` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from durahub.config.envelope import Envelope, read_envelope
from durahub.config.explain import explain
from durahub.config.model import Configuration, StoreConfiguration
from durahub.config.reading import Sections, read_sections
from durahub.config.references import Sources, expand
from durahub.config.secret_stores import NO_SECRET_STORES, SecretStores
from durahub.config.tree import (
    Entry,
    Scalar,
    Table,
    error_at,
    is_nothing,
    join_path,
    merge,
    table_of,
    to_plain,
)
from durahub.config.workflow import DAPR_NAMES, NamedLimit, WorkflowSection, parse_limit

_PATH = ("spec", "workflow")
_STORE = "storeConfiguration"


def load_configuration(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str],
    secret_stores: SecretStores = NO_SECRET_STORES,
) -> Configuration:
    """Return what the files say together; the defaults if there are none.

    Files merge in order: a later one wins, key by key, also within `storeConfiguration`; lists are
    replaced as a whole, and a key without a value counts as not given.

    Args:
        paths: The files.
        environ: Where references such as `${NAME}` are looked up.
        secret_stores: Where `secretKeyRef` leads.

    Raises:
        ConfigError: A file can't be read or is not a Dapr configuration; a key is unknown; a value is
            wrong. The message has file, line and key, and never a value of a section that is gone by.
    """
    files = [read_envelope(path) for path in paths]
    sources = Sources(environ=environ, secret_stores=secret_stores)
    tables = [_read_workflow(file, sources) for file in files]
    if not tables:
        return Configuration()
    return _build(files, reduce(merge, tables), read_sections(files, sources))


def _read_workflow(file: Envelope, sources: Sources) -> Table:
    expanded = table_of(expand(file.workflow, sources, *_PATH), join_path(*_PATH))
    return _use_one_name(expanded)


def _use_one_name(table: Table) -> Table:
    """Return the table with Dapr's names of limits replaced, so that files can be merged.

    Raises:
        ConfigError: Both names are there and disagree.
    """
    entries = dict(table.entries)
    for dapr_name, name in DAPR_NAMES.items():
        entry = entries.pop(dapr_name, None)
        if entry is None:
            continue
        other = entries.setdefault(name, entry)
        if not _is_same_limit(other, entry):
            raise error_at(
                entry.at,
                join_path(*_PATH, dapr_name),
                f"differs from {name!r} in line {other.at.line}, which means the same;"
                " remove one of them",
            )
    return replace(table, entries=entries)


def _is_same_limit(one: Entry, other: Entry) -> bool:
    if one is other:
        return True
    if not (isinstance(one.value, Scalar) and isinstance(other.value, Scalar)):
        return False
    try:
        return parse_limit(one.value.value) == parse_limit(other.value.value)
    except ValueError:
        return one.value.value == other.value.value


def _build(files: Sequence[Envelope], merged: Table, sections: Sections) -> Configuration:
    given = {key: e for key, e in merged.entries.items() if not is_nothing(e.value)}
    table = replace(merged, entries=given)
    section = _validate(table)
    backend, store = given.get("backendType"), given.get(_STORE)
    return Configuration(
        name=next((file.name for file in reversed(files) if file.name is not None), None),
        sources=tuple(file.source for file in files),
        backend_type=section.backend_type,
        backend_location=_location(backend) if backend else "",
        max_concurrent_workflows=section.max_concurrent_workflows,
        max_concurrent_activities=section.max_concurrent_activities,
        global_max_concurrent_workflows=section.global_max_concurrent_workflow_invocations,
        global_max_concurrent_activities=section.global_max_concurrent_activity_invocations,
        workflow_concurrency_limits=section.workflow_concurrency_limits,
        activity_concurrency_limits=section.activity_concurrency_limits,
        limits_location=_limits_location(section, given),
        state_retention=section.state_retention_policy,
        api=sections.api,
        logging=sections.logging,
        metrics=sections.metrics,
        tracing=sections.tracing,
        unknown_keys=sections.unknown_keys,
        ignored_sections=tuple(dict.fromkeys(s for file in files for s in file.ignored_sections)),
        store=StoreConfiguration(table_of(store.value, _STORE), store.at)
        if store
        else StoreConfiguration(),
    )


def _validate(table: Table) -> WorkflowSection:
    try:
        return WorkflowSection.model_validate(to_plain(table))
    except ValidationError as error:
        raise explain(error, WorkflowSection, table, at=table.at, path=_PATH) from None


def _limits_location(section: WorkflowSection, given: Mapping[str, Entry]) -> str:
    """Return where the first limit over all sidecars is; empty if there is none."""
    effects = {
        "globalMaxConcurrentWorkflowInvocations": section.global_max_concurrent_workflow_invocations,
        "globalMaxConcurrentActivityInvocations": section.global_max_concurrent_activity_invocations,
        "workflowConcurrencyLimits": _is_any(section.workflow_concurrency_limits),
        "activityConcurrencyLimits": _is_any(section.activity_concurrency_limits),
    }
    return next((_location(given[key]) for key, effect in effects.items() if effect), "")


def _is_any(limits: Sequence[NamedLimit]) -> bool:
    return any(limit.max_concurrent is not None for limit in limits)


def _location(entry: Entry) -> str:
    return f"{entry.at}: {join_path(*_PATH, entry.key)}"

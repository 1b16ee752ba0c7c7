"""`durahub config`: what configuration files say, before anything is started with them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from functools import partial
from pathlib import Path

import click
from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from durahub.backend import BackendSettings
from durahub.cli.durations import format_duration
from durahub.cli.failures import EXIT_FAILURE, CommandError
from durahub.cli.lazy_group import LazyCommand, LazyGroup
from durahub.cli.output import print_json, print_yaml
from durahub.config import (
    Configuration,
    load_configuration,
    load_secret_stores,
    referenced_values,
    validate_store_configuration,
)
from durahub.edition import Edition, load, scan, select
from durahub.errors import DurahubError
from durahub.server.limits import refuse_unsupported_limits
from durahub.server.tokens import tokens_of

HIDDEN = "***"

EPILOG = """\b
Exit codes:
  0  the files are valid, and a sidecar would start with them as far as they decide
  2  they are not: standard error has each problem with file, line and key

\b
Examples:
  durahub config check workflow.yaml
  durahub config check base.yaml production.yaml --json
"""

_KEYS = {
    "global_max_concurrent_workflows": "globalMaxConcurrentWorkflowInvocations",
    "global_max_concurrent_activities": "globalMaxConcurrentActivityInvocations",
    "state_retention": "stateRetentionPolicy",
}
"""Fields of the configuration whose keys in a file are other words."""
_NOT_SAID_BY_FILES = frozenset(
    {"name", "sources", "backend_type", "ignored_sections", "unknown_keys"}
)
_SECTIONS = ("api", "logging", "metrics", "tracing")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/?#@\s:]*):[^/?#\s]*@")
_SHORTEST_PIECE = 4
"""Shorter values of variables are hidden only where they are a whole value."""


def config_group(edition: Edition) -> click.Group:
    """Return the command group `config` of a build."""
    return LazyGroup(
        "config",
        help="Look at Dapr Configuration files without starting anything.",
        lazy={
            "check": LazyCommand(
                "Check files, and print what they say together.", lambda: _check(edition)
            )
        },
    )


def _check(edition: Edition) -> click.Command:
    @click.command("check", epilog=EPILOG)
    @click.argument("files", nargs=-1, required=True, metavar="FILE...")
    @click.option(
        "--resources-path",
        multiple=True,
        metavar="PATH",
        help="Directory of Dapr component files, for the secret stores among them. Repeatable.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
    def check(*, files: tuple[str, ...], resources_path: tuple[str, ...], as_json: bool) -> None:
        """Check Dapr Configuration files, and print the configuration that they give together.

        Several files merge as several --config of `durahub serve` do: later ones win, key by key.
        References are followed; what they lead to, passwords, and whatever else is declared as secret
        are printed as ***. A limit that is null is none, and a retention period that is null is for
        ever. The store is not opened.
        """
        paths = [Path(file) for file in files]
        stores = load_secret_stores([Path(path) for path in resources_path], environ=os.environ)
        load = partial(load_configuration, environ=os.environ, secret_stores=stores)
        try:
            resolved = _resolve(edition, load(paths))
            hidden = referenced_values(paths, environ=os.environ, secret_stores=stores)
        except DurahubError as error:
            raise CommandError(
                "\n".join(_problems(error, paths, load)), exit_code=EXIT_FAILURE
            ) from error
        document = _document(resolved, hidden)
        if as_json:
            print_json(document)
        else:
            print_yaml(document)

    return check


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolved:
    configuration: Configuration
    backend: Mapping[str, str]
    settings: BackendSettings = field(repr=False)


def _resolve(edition: Edition, configuration: Configuration) -> _Resolved:
    verdict = select(
        edition, configuration.backend_type, scan(), location=configuration.backend_location
    )
    plugin = load(verdict)
    settings = validate_store_configuration(plugin.settings, configuration)
    # What a sidecar would refuse when it starts.
    refuse_unsupported_limits(configuration, plugin.name, plugin.capabilities.limits)
    tokens_of(configuration, None)
    backend = {
        "backendType": plugin.name,
        "distribution": verdict.candidate.distribution,
        "version": verdict.candidate.version,
        "store": plugin.create(settings).describe(),
    }
    return _Resolved(configuration=configuration, backend=backend, settings=settings)


def _problems(
    error: DurahubError, paths: Sequence[Path], load: Callable[[Sequence[Path]], object]
) -> Iterator[str]:
    """Yield the problem of all files together, and whatever else is wrong with each by itself."""
    told = str(error)
    yield told
    for path in paths:
        try:
            load([path])
        except DurahubError as other:
            if str(other) not in told:
                yield str(other)


def _document(resolved: _Resolved, secrets: AbstractSet[str]) -> dict[str, object]:
    configuration = resolved.configuration
    fields = _section(configuration, _NOT_SAID_BY_FILES)
    workflow = {
        "backendType": resolved.backend["backendType"],
        **{key: value for key, value in fields.items() if key not in _SECTIONS},
        "storeConfiguration": _section(resolved.settings, frozenset()),
    }
    spec = {"workflow": workflow, **{key: fields[key] for key in _SECTIONS}}
    ignored = [f"spec.{section}" for section in configuration.ignored_sections]
    return {
        "files": list(configuration.sources),
        "name": configuration.name,
        "backend": _without(dict(resolved.backend), secrets),
        "ignored": [*ignored, *configuration.unknown_keys],
        "spec": _without(spec, secrets),
    }


def _section(model: BaseModel, left_out: frozenset[str]) -> dict[str, object]:
    fields = type(model).model_fields
    return {
        _key_of(name, info): _plain(getattr(model, name))
        for name, info in fields.items()
        if not info.exclude and name not in left_out and not name.endswith("_location")
    }


def _key_of(name: str, info: FieldInfo) -> str:
    """Return the key that a file has for a field."""
    match info.validation_alias:
        case str(alias):
            return alias
        case AliasChoices(choices=[str(alias), *_]):
            return alias
    return _KEYS.get(name, to_camel(name))


def _plain(value: object) -> object:
    """Return a value as a document may hold it, or *** for what is declared as secret."""
    match value:
        case SecretStr() | SecretBytes():
            return HIDDEN if value.get_secret_value() else ""
        case BaseModel():
            return _section(value, frozenset())
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case Enum():
            return _scalar(value.value)
        case None | bool() | int() | float():
            return value
        case timedelta():
            return format_duration(value)
    return _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", str(value))


def _without(value: object, secrets: AbstractSet[str]) -> object:
    """Return a document in which nothing repeats a secret."""
    match value:
        case str() if value in secrets:
            return HIDDEN
        case str():
            for secret in sorted(secrets, key=len, reverse=True):
                if len(secret) >= _SHORTEST_PIECE:
                    value = value.replace(secret, HIDDEN)
            return value
        case dict():
            return {key: _without(item, secrets) for key, item in value.items()}
        case list():
            return [_without(item, secrets) for item in value]
    return value

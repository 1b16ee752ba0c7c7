"""Which keys users may write, and the pages that have to name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from durahub.config.sections import ApiSection, LoggingSection, MetricsSection, TracingSection
from durahub.config.workflow import WorkflowSection
from durahub.edition import OSS, load_backend
from durahub_actors.stores.redis import RedisSettings
from pydantic import AliasChoices, BaseModel

ROOT = Path(__file__).parents[2]
CONFIGURATION = "docs/reference/configuration.md"
SECTIONS = (WorkflowSection, ApiSection, LoggingSection, MetricsSection, TracingSection)
BACKEND_PAGES = {"actors": "plugins/actors/README.md", "sqlite": "plugins/sqlite/README.md"}
"""Pages of backends that have one beside the reference."""


def settings() -> Iterator[tuple[str, tuple[str, ...], frozenset[str]]]:
    """Yield what is configured, the pages of which one has to name each key, and the keys."""
    for section in SECTIONS:
        yield section.__name__, (CONFIGURATION,), frozenset(keys_of(section))
    for backend_type in OSS.backend_types:
        pages = (CONFIGURATION, *filter(None, [BACKEND_PAGES.get(backend_type)]))
        model = load_backend(OSS, backend_type).settings
        yield model.__name__, pages, frozenset(keys_of(model))
    yield RedisSettings.__name__, ("docs/how-to/redis.md",), frozenset(keys_of(RedisSettings))


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield every key that a model takes, with those of the models in it."""
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        yield from (
            map(str, alias.choices) if isinstance(alias, AliasChoices) else [str(alias or name)]
        )
        for inner in _models_in(field.annotation):
            yield from keys_of(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)

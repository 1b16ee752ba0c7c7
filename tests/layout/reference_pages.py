"""Writes docs/reference/requirements.md and capabilities.md: `python -m tests.layout.reference_pages`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

from durahub.backend import Capabilities, Support
from durahub.edition import OSS, load_backend
from durahub_actors.backend.backend import capabilities_of
from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.memory import MemoryStateStore
from durahub_actors.stores.postgresql import PostgresStateStore
from durahub_actors.stores.postgresql.settings import PostgresStoreSettings
from durahub_actors.stores.redis import RedisSettings, RedisStateStore
from durahub_actors.stores.sqlite import SqliteStateStore, SqliteStoreSettings
from durahub_conformance.levels import Level, level_of
from durahub_conformance.requirement import REGISTRY, Requirement

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

_FILE = Path("state.db")


def pages() -> Mapping[str, str]:
    """Return the text of every generated page by its name."""
    return MappingProxyType(
        {
            "requirements.md": "\n".join(_requirements()),
            "capabilities.md": "\n".join(_capabilities()),
        }
    )


def stands() -> Mapping[str, Capabilities]:
    """Return what each bundled backend declares, by how it is configured; nothing is connected to."""
    configured = {
        "`sqlite`": ("sqlite", {"connectionString": "sqlite:///hub.db"}),
        "`sqlite`, in memory": ("sqlite", {"connectionString": "sqlite://"}),
        "`postgres`": ("postgres", {"connectionString": "postgresql://db/hub"}),
        "`postgres`, `notifications: off`": (
            "postgres",
            {"connectionString": "postgresql://db/hub", "notifications": "off"},
        ),
    }
    return {
        **{f"`actors` over `{name}`": capabilities_of(store) for name, store in _stores().items()},
        **{name: _declared(*how) for name, how in configured.items()},
    }


def _stores() -> dict[str, StateStore]:
    return {
        "state.sqlite": SqliteStateStore(SqliteStoreSettings(path=_FILE)),
        "state.postgresql": PostgresStateStore(PostgresStoreSettings(url="postgresql://db/hub")),
        "state.redis": RedisStateStore(RedisSettings.model_validate({"redisHost": "redis:6379"})),
        "state.in-memory": MemoryStateStore(),
    }


def _declared(backend_type: str, settings: Mapping[str, object]) -> Capabilities:
    plugin = load_backend(OSS, backend_type)
    return plugin.factory(plugin.settings.model_validate(settings)).capabilities


def _requirements() -> Iterator[str]:
    yield "# Requirements of the conformance kit"
    yield ""
    yield "<!-- Written by tests/layout/reference_pages.py from the kit itself. -->"
    yield ""
    yield f"All {len(REGISTRY)} laws that `durahub-conformance run` tests, by level."
    yield "`durahub-conformance list` prints the same."
    yield "An id keeps its meaning for ever, and is never used again for another law."
    yield "Where a law needs a [capability](capabilities.md), or holds only without one, it says so."
    for level in Level:
        yield ""
        yield f"## {level}"
        yield ""
        yield from ("| id | law | applies |", "|---|---|---|")
        members = [r for r in REGISTRY.values() if level_of(r) is level]
        for each in sorted(members, key=lambda r: r.law.requirement_id):
            yield f"| {each.law.requirement_id} | {_cell(each.law.text)} | {_condition(each)} |"
    yield ""


def _condition(requirement: Requirement) -> str:
    needed = [f"with `{name}`" for name in requirement.needs]
    if requirement.preview:
        needed.append("a preview")
    if requirement.without is not None:
        needed.append(f"without `{requirement.without}`")
    return ", ".join(needed) or "always"


def _capabilities() -> Iterator[str]:
    names = [field.name for field in fields(Capabilities)]
    found = stands()
    yield "# Capabilities of the bundled backends"
    yield ""
    yield "<!-- Written by tests/layout/reference_pages.py from the backends' own declarations. -->"
    yield ""
    yield "What of the [contract](contract.md#capabilities) is optional, and what each backend declares."
    yield "The conformance kit checks both directions: what is declared, and what is not."
    yield "`durahub backends show NAME --load` tells the same of any backend that a build admits."
    yield ""
    yield f"| backend | {' | '.join(f'`{name}`' for name in names)} |"
    yield "|---|" + "---|" * len(names)
    for backend, declared in found.items():
        yield f"| {backend} | {' | '.join(_level(declared, name) for name in names)} |"
    yield from ("", "## Reasons", "")
    for backend, declared in found.items():
        for name in names:
            support: Support = getattr(declared, name)
            if support.reason:
                yield f"- {backend}, `{name}`: {support.reason}."
    yield ""


def _level(declared: Capabilities, name: str) -> str:
    support: Support = getattr(declared, name)
    return str(support.level)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()

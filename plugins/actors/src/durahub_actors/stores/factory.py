"""Which state store the components mean. Stores that are not meant are not even imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from durahub_actors.stores.components import Metadata, StateComponent, choose_component
from durahub_actors.stores.contract import StateStore

DEFAULT_FILE = Path(".durahub", "state.db")
"""Where the state is if no component says anything, under the working directory."""


def state_store_of(components: Sequence[StateComponent], directory: Path) -> StateStore:
    """Return the state store of the component that is meant for actors, not open.

    Args:
        components: All state components of the application; without any, the store is a SQLite file,
            `.durahub/state.db`.
        directory: The working directory, which relative paths begin at.

    Raises:
        ConfigError: Not exactly one component is meant for actors, or that one can't be used.
    """
    component = choose_component(components)
    if component is None:
        return _default(directory)
    make = _MAKERS.get(component.type.lower())
    if make is None:
        supported = ", ".join(_MAKERS)
        raise component.mistake(
            f"a state store of this type can't hold actors here; supported are {supported}"
        )
    versions = _VERSIONS.get(component.type.lower(), ("", "v1"))
    if component.version.lower() not in versions:
        known = " and ".join(filter(None, versions))
        raise component.mistake(
            f"couldn't find state store {component.type}/{component.version}; known is {known}"
        )
    return make(component, directory)


def _default(directory: Path) -> StateStore:
    from durahub_actors.stores.sqlite import (  # noqa: PLC0415 - only who needs it
        SqliteStateStore,
        SqliteStoreSettings,
    )

    return SqliteStateStore(SqliteStoreSettings(path=directory / DEFAULT_FILE))


def _memory(component: StateComponent, _: Path) -> StateStore:
    from durahub_actors.stores.memory import MemoryStateStore  # noqa: PLC0415

    Metadata(component, (), ("cleanupInterval",))
    return MemoryStateStore()


def _sqlite(component: StateComponent, directory: Path) -> StateStore:
    from durahub_actors.stores.sqlite import SqliteStateStore  # noqa: PLC0415
    from durahub_actors.stores.sqlite.metadata import sqlite_settings  # noqa: PLC0415

    return SqliteStateStore(sqlite_settings(component, directory))


def _postgresql(component: StateComponent, _: Path) -> StateStore:
    from durahub_actors.stores.postgresql import PostgresStateStore  # noqa: PLC0415
    from durahub_actors.stores.postgresql.metadata import postgres_settings  # noqa: PLC0415

    return PostgresStateStore(postgres_settings(component))


def _redis(component: StateComponent, _: Path) -> StateStore:
    from pydantic import ValidationError  # noqa: PLC0415

    from durahub_actors.stores.redis import RedisSettings, RedisStateStore  # noqa: PLC0415

    try:
        settings = RedisSettings.model_validate(dict(component.metadata))
    except ValidationError as error:
        # Without what was given: it may be a secret.
        found = error.errors(include_input=False, include_url=False, include_context=False)
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)
        raise component.mistake(wrong) from None
    return RedisStateStore(settings)


_MAKERS: MappingProxyType[str, Callable[[StateComponent, Path], StateStore]] = MappingProxyType(
    {
        "state.in-memory": _memory,
        "state.sqlite": _sqlite,
        "state.redis": _redis,
        "state.postgresql": _postgresql,
        "state.postgres": _postgresql,
    }
)

_VERSIONS = {"state.postgresql": ("", "v1", "v2"), "state.postgres": ("", "v1", "v2")}

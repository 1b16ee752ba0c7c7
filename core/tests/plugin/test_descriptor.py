from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from durahub.backend import Backend, BackendSettings
from durahub.errors import PluginContractError
from durahub.plugin import BackendPlugin

Describe = Callable[..., BackendPlugin]


def test_create_with_own_settings_returns_backend(describe: Describe) -> None:
    plugin = describe()
    assert isinstance(plugin.create(plugin.settings()), Backend)


def test_create_with_settings_of_another_model_raises(describe: Describe) -> None:
    class Other(BackendSettings):
        pass

    with pytest.raises(PluginContractError, match="'acme' takes AcmeSettings, not Other"):
        describe().create(Other())


def test_create_with_factory_of_something_else_raises(describe: Describe) -> None:
    plugin = describe(factory=lambda _settings: "no backend")
    with pytest.raises(PluginContractError, match="returned str, which is no"):
        plugin.create(plugin.settings())


def test_describe_backend_is_frozen(describe: Describe) -> None:
    with pytest.raises(FrozenInstanceError):
        describe().name = "other"  # type: ignore[misc]

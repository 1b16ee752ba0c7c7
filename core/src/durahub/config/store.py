"""Validates `storeConfiguration` with the model of the backend that it is for."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from durahub.backend import BackendSettings
from durahub.config.explain import explain
from durahub.config.model import Configuration
from durahub.config.tree import to_plain
from durahub.errors import PluginContractError

PATH = ("spec", "workflow", "storeConfiguration")

SettingsT = TypeVar("SettingsT", bound=BackendSettings)


def validate_store_configuration(
    settings_model: type[SettingsT], configuration: Configuration
) -> SettingsT:
    """Return the settings that `storeConfiguration` gives for a backend.

    Args:
        settings_model: The model that the backend's plugin declares.
        configuration: The loaded configuration; without a `storeConfiguration`, all defaults hold.

    Raises:
        ConfigError: With file, line, key and what is expected, but never a configured value.
        PluginContractError: The model failed by something else than a validation error.
    """
    store = configuration.store
    try:
        return settings_model.model_validate(to_plain(store.table))
    except ValidationError as error:
        raise explain(error, settings_model, store.table, at=store.at, path=PATH) from None
    except Exception as error:  # noqa: BLE001 - foreign code, and its message may repeat a secret
        raise PluginContractError(
            f"{settings_model.__module__}.{settings_model.__qualname__} raised"
            f" {type(error).__name__} instead of a validation error"
        ) from None

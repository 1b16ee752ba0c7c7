from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from durahub.backend import NATIVE, Backend, BackendSettings, Capabilities, ContractVersion
from durahub.plugin import BackendPlugin, hookimpl


class AcmeSettings(BackendSettings):
    path: str = "acme"


# A backend that can be made and not used: what its methods do is the conformance kit's business.
AcmeBackend: type[Backend] = type(
    "AcmeBackend", (Backend,), dict.fromkeys(Backend.__abstractmethods__)
)


@pytest.fixture
def describe() -> Callable[..., BackendPlugin]:
    """Return the description of a good plugin, with any attribute replaced."""

    def make(**changes: Any) -> BackendPlugin:
        attributes: dict[str, Any] = {
            "name": "acme",
            "contract": ContractVersion(1, 0),
            "settings": AcmeSettings,
            "factory": lambda _settings: AcmeBackend(),
            "capabilities": Capabilities(
                durable=NATIVE, multi_process=NATIVE, hints=NATIVE, limits=NATIVE
            ),
            "summary": "Stores workflows in Acme.",
        }
        return BackendPlugin(**(attributes | changes))

    return make


@pytest.fixture
def module_returning() -> Callable[[object], ModuleType]:
    """Return a plugin module whose hook returns a value."""

    def make(returned: object) -> ModuleType:
        module = ModuleType("acme_durahub.plugin")

        @hookimpl
        def durahub_backend() -> object:
            return returned

        module.durahub_backend = durahub_backend  # type: ignore[attr-defined]
        return module

    return make

"""The value that a plugin's hook returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from durahub.backend import Backend, BackendSettings, Capabilities, ContractVersion
from durahub.errors import PluginContractError

# A bare `BackendPlugin` means `BackendPlugin[BackendSettings]`, and one of special settings is
# assignable to it. `typing.TypeVar` has `default` only from Python 3.13 on. Covariance is sound
# because `create` lets no settings through to `factory` that its own model did not make.
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    SettingsT_co = TypeVar(
        "SettingsT_co", bound=BackendSettings, default=BackendSettings, covariant=True
    )
else:
    from typing import TypeVar

    SettingsT_co = TypeVar("SettingsT_co", bound=BackendSettings, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPlugin(Generic[SettingsT_co]):
    """Describes one backend.

    Attributes:
        name: The `backendType`; equal to the name of the entry point.
        contract: Version of `durahub.backend` that the backend was written for. Write the numbers
            down: `CONTRACT_VERSION` is that of whatever core happens to be installed.
        settings: Model of what `storeConfiguration` may hold.
        factory: Makes a backend from valid settings. It does no I/O; the engine calls `open` later.
        capabilities: The optional parts of the contract that the backend provides.
        summary: What it is, in one line, for lists.
    """

    name: str
    contract: ContractVersion
    settings: type[SettingsT_co]
    factory: Callable[[SettingsT_co], Backend]
    capabilities: Capabilities
    summary: str

    def create(self, settings: BackendSettings) -> Backend:
        """Return a new, closed backend.

        Args:
            settings: An instance of this plugin's own settings model.

        Raises:
            PluginContractError: The settings are of another model, or the factory returned something
                that is no `Backend`.
        """
        if not isinstance(settings, self.settings):
            raise PluginContractError(
                f"backend {self.name!r} takes {self.settings.__name__},"
                f" not {type(settings).__name__}"
            )
        backend = self.factory(settings)
        if not isinstance(backend, Backend):
            raise PluginContractError(
                f"the factory of backend {self.name!r} returned {type(backend).__name__},"
                " which is no durahub.backend.Backend"
            )
        return backend

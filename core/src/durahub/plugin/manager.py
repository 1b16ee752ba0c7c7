"""The typed door between the core and pluggy."""

from __future__ import annotations

from types import ModuleType

import pluggy  # noqa: TID251 - this package is where pluggy lives

from durahub.errors import PluginContractError
from durahub.plugin import hookspec
from durahub.plugin.descriptor import BackendPlugin
from durahub.plugin.validation import validate_plugin


class BackendPluginManager:
    """Takes in the module of one backend plugin, which has been admitted and imported.

    The rest of the core sees what a hook returned only after it was validated.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspec.PROJECT)
        self._manager.add_hookspecs(hookspec)

    @property
    def registered(self) -> tuple[str, ...]:
        """Names of the modules that are registered; empty or one."""
        return tuple(name for name, _ in self._manager.list_name_plugin())

    def register(self, module: ModuleType, *, backend_type: str, provider: str) -> BackendPlugin:
        """Register a plugin module and return its validated description.

        Nothing stays registered if this raises.

        Args:
            module: The module that the entry point names.
            backend_type: The type that was selected, and that the plugin has to describe.
            provider: Distribution and version, for messages.

        Raises:
            PluginContractError: A module is registered already; the module has no hook, or an unknown
                one; the hook raised; what it returned does not describe this backend for this core.
        """
        if self.registered:
            raise PluginContractError(
                f"{self.registered[0]} is registered already; a process has one backend"
            )
        try:
            return self._take_in(module, backend_type, provider)
        except BaseException:
            # pluggy 1.7 rolls back its own validation; what fails after it is ours to roll back.
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            raise

    def _take_in(self, module: ModuleType, backend_type: str, provider: str) -> BackendPlugin:
        try:
            self._manager.register(module, name=module.__name__)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            detail = " ".join(str(error).split())
            raise PluginContractError(
                f"the plugin of {provider} has a wrong hook: {detail}"
            ) from error
        if not self._manager.get_hookcallers(module):
            raise PluginContractError(
                f"the plugin of {provider} has no hook: {module.__name__} needs a function"
                " durahub_backend marked with durahub.plugin.hookimpl"
            )
        returned = self._call(provider)
        return validate_plugin(returned, backend_type=backend_type, provider=provider)

    def _call(self, provider: str) -> object:
        try:
            results: list[object] = self._manager.hook.durahub_backend()
        except Exception as error:
            raise PluginContractError(
                f"durahub_backend() of {provider} raised {type(error).__name__}: {error}"
            ) from error
        # pluggy leaves out what is None.
        return results[0] if results else None

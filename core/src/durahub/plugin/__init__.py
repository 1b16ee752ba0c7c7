"""What a backend plugin provides, and how the core takes it in.

A plugin is a distribution with one entry point in the group `durahub.backends`. The entry point's name
is the `backendType` that users write, its value a module, without an attribute:

    [project.entry-points."durahub.backends"]
    acme = "acme_durahub.plugin"

The module implements one hook, which is called once and does no I/O:

    from durahub.backend import Capabilities, ContractVersion
    from durahub.plugin import BackendPlugin, hookimpl

    @hookimpl
    def durahub_backend() -> BackendPlugin:
        return BackendPlugin(
            name="acme",
            contract=ContractVersion(1, 0),
            settings=AcmeSettings,
            factory=AcmeBackend,
            capabilities=Capabilities(...),
            summary="Stores workflows in Acme.",
        )

Whether a module is imported at all is not decided here but by the build, in `durahub.edition`.
"""

from durahub.plugin.descriptor import BackendPlugin
from durahub.plugin.hookspec import hookimpl
from durahub.plugin.manager import BackendPluginManager

__all__ = ["BackendPlugin", "BackendPluginManager", "hookimpl"]

"""Whether what a plugin's hook returned keeps the plugin contract."""

from __future__ import annotations

import inspect

from durahub.backend import CONTRACT_VERSION, BackendSettings, Capabilities, ContractVersion
from durahub.errors import PluginContractError
from durahub.plugin.descriptor import BackendPlugin

SUMMARY_LENGTH = 200
"""Longest summary, in characters: it is shown in one line of a list."""


def validate_plugin(returned: object, *, backend_type: str, provider: str) -> BackendPlugin:
    """Return what the hook returned, if it describes the backend that was asked for.

    Args:
        returned: What `durahub_backend()` returned.
        backend_type: The type that was selected.
        provider: Distribution and version, for messages.

    Raises:
        PluginContractError: With what is wrong and what the plugin's author has to do.
    """
    if inspect.iscoroutine(returned):
        returned.close()
        raise _broken(provider, "durahub_backend() is async; make it a plain function")
    if not isinstance(returned, BackendPlugin):
        raise _broken(
            provider,
            f"durahub_backend() returned {type(returned).__name__}, not a durahub.plugin.BackendPlugin",
        )
    fault = (
        _name_fault(returned.name, backend_type)
        or _contract_fault(returned.contract)
        or _member_fault(returned)
    )
    if fault is not None:
        raise _broken(provider, fault)
    return returned


def is_compatible(contract: ContractVersion, *, core: ContractVersion = CONTRACT_VERSION) -> bool:
    """Whether a backend written for `contract` works with a core of version `core`."""
    return contract.major == core.major and contract.minor <= core.minor


def _broken(provider: str, fault: str) -> PluginContractError:
    return PluginContractError(f"the plugin of {provider} does not keep its contract: {fault}")


def _name_fault(name: object, backend_type: str) -> str | None:
    if name == backend_type:
        return None
    return f"it describes backend {name!r}, and its entry point is named {backend_type!r}"


def _contract_fault(contract: object) -> str | None:
    if not isinstance(contract, ContractVersion):
        return f"contract is {type(contract).__name__}, not a durahub.backend.ContractVersion"
    if is_compatible(contract):
        return None
    core = CONTRACT_VERSION
    if contract < core:
        return (
            f"it was written for backend contract {contract} and is too old for this core, which has {core};"
            f" install a version of it for contract {core.major}.0 to {core}"
        )
    return (
        f"it was written for backend contract {contract} and is too new for this core, which has {core};"
        f" install a version of it for contract {core.major}.0 to {core},"
        f" or a core with contract {contract.major}.{contract.minor} or a later minor"
    )


def _member_fault(plugin: BackendPlugin) -> str | None:
    # The annotations promise all this, and nothing made the plugin's author run a type checker.
    settings: object = plugin.settings
    if not (isinstance(settings, type) and issubclass(settings, BackendSettings)):
        return "settings is no subclass of durahub.backend.BackendSettings"
    if not callable(plugin.factory):
        return "factory is not callable"
    capabilities: object = plugin.capabilities
    if not isinstance(capabilities, Capabilities):
        return "capabilities is no durahub.backend.Capabilities"
    return _summary_fault(plugin.summary)


def _summary_fault(summary: object) -> str | None:
    if (
        isinstance(summary, str)
        and summary.strip()
        and summary.isprintable()
        and len(summary) <= SUMMARY_LENGTH
    ):
        return None
    return f"summary is not one line of 1 to {SUMMARY_LENGTH} printable characters"

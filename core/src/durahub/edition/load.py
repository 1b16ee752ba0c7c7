"""The only step that runs a plugin's code: after everything else was decided."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from durahub.edition.admit import Verdict
from durahub.edition.candidate import Candidate
from durahub.edition.edition import Edition
from durahub.edition.scan import scan
from durahub.edition.select import select
from durahub.errors import BackendNotAdmittedError, PluginImportError
from durahub.plugin import BackendPlugin, BackendPluginManager


def load_backend(
    edition: Edition, backend_type: str | None, *, location: str = ""
) -> BackendPlugin:
    """Return the plugin of the selected backend type: scan, admit, select, load.

    Args:
        edition: The build.
        backend_type: What the configuration says; None for the default of the build.
        location: Where the configuration says it, for messages.

    Raises:
        UnknownBackendError: See `select`.
        PluginError: Its subclasses say which step failed; see `select` and `load`.
    """
    return load(select(edition, backend_type, scan(), location=location))


def load(verdict: Verdict) -> BackendPlugin:
    """Import the module of an admitted candidate and return its validated description.

    Raises:
        BackendNotAdmittedError: The verdict refuses the candidate; nothing was imported.
        PluginImportError: The import failed.
        PluginContractError: The module does not keep the plugin contract.
    """
    if verdict.refusal is not None:
        raise BackendNotAdmittedError(verdict.explanation, reason=verdict.refusal.reason)
    candidate = verdict.candidate
    return BackendPluginManager().register(
        _import(candidate), backend_type=candidate.backend_type, provider=candidate.provider
    )


def _import(candidate: Candidate) -> ModuleType:
    try:
        return import_module(candidate.target)
    except Exception as error:
        raise PluginImportError(
            f"importing {candidate.target} of {candidate.provider} for backend"
            f" {candidate.backend_type!r} failed: {type(error).__name__}: {error}"
        ) from error

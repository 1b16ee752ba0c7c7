"""The only step that runs a plugin's code: after everything else was decided."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import ModuleType

from durahub.backend import CONTRACT_VERSION
from durahub.edition.admit import Verdict
from durahub.edition.candidate import Candidate
from durahub.edition.edition import Edition
from durahub.edition.fingerprint import take_fingerprint
from durahub.edition.lock import BackendLock
from durahub.edition.rules import refuse_files, refuse_unlocked
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


def load(verdict: Verdict, *, lock: BackendLock | None = None) -> BackendPlugin:
    """Import the module of an admitted candidate and return its validated description.

    Before the import, the files of its distribution are compared with its RECORD, and with the lock.

    Args:
        verdict: What the build says to the candidate.
        lock: What the operator holds this process to; None: nothing.

    Raises:
        BackendNotAdmittedError: The verdict refuses the candidate, or its files are not what was installed
            or locked; nothing was imported.
        PluginImportError: The import failed.
        PluginContractError: The module does not keep the plugin contract.
    """
    if verdict.refusal is not None:
        raise BackendNotAdmittedError(verdict.explanation, reason=verdict.refusal.reason)
    verdict = examine(verdict, lock=lock)
    if verdict.refusal is not None:
        raise BackendNotAdmittedError(
            f"backend {verdict.candidate.backend_type!r} is refused: {verdict.explanation}",
            reason=verdict.refusal.reason,
        )
    candidate = verdict.candidate
    return BackendPluginManager().register(
        _import(candidate), backend_type=candidate.backend_type, provider=candidate.provider
    )


def examine(verdict: Verdict, *, lock: BackendLock | None = None) -> Verdict:
    """Return the verdict that also takes the files into account; a refusal stays as it is."""
    if verdict.refusal is not None:
        return verdict
    candidate = verdict.candidate
    found = take_fingerprint(candidate)
    fault = None if lock is None else lock.fault_of(candidate, found)
    refusal = refuse_files(candidate, found.faults) or refuse_unlocked(candidate, fault)
    return replace(verdict, refusal=refusal)


def _import(candidate: Candidate) -> ModuleType:
    try:
        return import_module(candidate.target)
    except Exception as error:
        raise PluginImportError(
            f"importing {candidate.target} of {candidate.provider} for backend"
            f" {candidate.backend_type!r} failed: {type(error).__name__}: {error}{_hint(error)}"
        ) from error


def _hint(error: Exception) -> str:
    # A plugin for another contract often fails before it can say which one it was written for.
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "durahub":
        return (
            f"; this core has backend contract {CONTRACT_VERSION}, and the plugin may have been written"
            " for another one: install a version of it for this core"
        )
    return ""

"""Picks what the configuration asks for, or says why that is not possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durahub.edition.admit import Verdict, admit
from durahub.edition.candidate import Candidate
from durahub.edition.edition import Edition
from durahub.edition.rules import Reason
from durahub.errors import (
    BackendNotAdmittedError,
    BackendNotInstalledError,
    PluginConflictError,
    UnknownBackendError,
    nearest_name,
)


def select(
    edition: Edition,
    backend_type: str | None,
    candidates: Iterable[Candidate],
    *,
    location: str = "",
) -> Verdict:
    """Return the verdict that admits the selected backend type. Pure.

    Args:
        edition: The build.
        backend_type: What the configuration says; None for the default of the build.
        candidates: What is installed.
        location: Where the configuration says it, for messages.

    Raises:
        UnknownBackendError: The build does not know the type and nothing installed claims it, or no
            type is given and the build has no default.
        BackendNotInstalledError: The build allows the type and nothing installed provides it.
        BackendNotAdmittedError: Something installed claims the type, and the build refuses it.
        PluginConflictError: Several installed distributions claim the type.
    """
    wanted = backend_type if backend_type is not None else _default_of(edition, location)
    all_verdicts = admit(edition, candidates)
    verdicts = [v for v in all_verdicts if v.candidate.backend_type == wanted]
    if not verdicts:
        usable = [v.candidate.backend_type for v in all_verdicts if v.refusal is None]
        raise _absent(edition, wanted, location, usable)
    # Several claimants of an allowed type share one refusal; of others, the first speaks for all.
    verdict = verdicts[0]
    if verdict.refusal is None:
        return verdict
    message = _at(location, f"backend {wanted!r} is refused: {verdict.explanation}")
    if verdict.refusal.reason is Reason.CONFLICT:
        raise PluginConflictError(message)
    raise BackendNotAdmittedError(message, reason=verdict.refusal.reason)


def _default_of(edition: Edition, location: str) -> str:
    if edition.default is None:
        raise UnknownBackendError(
            f"the build {edition.name!r} has no default backend; set spec.workflow.backendType to"
            f" one of: {', '.join(edition.backend_types)}",
            name="",
            suggestion=None,
            location=location,
        )
    return edition.default.backend_type


def _absent(
    edition: Edition, wanted: str, location: str, usable: Sequence[str]
) -> BackendNotInstalledError | UnknownBackendError:
    allowed = edition.find(wanted)
    if allowed is not None:
        requirement = f"{allowed.distribution}{allowed.versions}"
        others = ", ".join(usable)
        alternative = f"; or set spec.workflow.backendType to what is: {others}" if others else ""
        return BackendNotInstalledError(
            _at(
                location,
                f"backend {wanted!r} is allowed by the build {edition.name!r} and not installed;"
                f" install it with: pip install '{requirement}'{alternative}",
            ),
            distribution=allowed.distribution,
        )
    suggestion = nearest_name(wanted, edition.backend_types)
    hint = f"did you mean {suggestion!r}? The" if suggestion else "the"
    return UnknownBackendError(
        f"unknown backend {wanted!r}; {hint} build {edition.name!r} allows:"
        f" {', '.join(edition.backend_types) or 'none'}",
        name=wanted,
        suggestion=suggestion,
        location=location,
    )


def _at(location: str, message: str) -> str:
    return f"{location}: {message}" if location else message

"""The rules of admission, each with the explanation that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from durahub.edition.candidate import Candidate, Ownership
from durahub.edition.edition import Allowed, Edition, fold_name


class Reason(StrEnum):
    """Which rule refuses a candidate."""

    TYPE_NOT_ALLOWED = "type-not-allowed"
    TYPE_LOOKS_LIKE_ALLOWED = "type-looks-like-allowed"
    CONFLICT = "conflict"
    WRONG_DISTRIBUTION = "wrong-distribution"
    TARGET_NOT_A_MODULE = "target-not-a-module"
    WRONG_MODULE = "wrong-module"
    MODULE_OUTSIDE_DISTRIBUTION = "module-outside-distribution"
    EDITABLE_NOT_ALLOWED = "editable-not-allowed"
    VERSION_OUT_OF_RANGE = "version-out-of-range"
    FILES_ALTERED = "files-altered"
    NOT_AS_LOCKED = "not-as-locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a candidate may not be loaded, for machines and for people.

    Attributes:
        reason: Which rule refuses it.
        found: What is installed.
        why: Why that is refused.
        remedy: What would allow it.
    """

    reason: Reason
    found: str
    why: str
    remedy: str


def refuse_single(edition: Edition, candidate: Candidate) -> Refusal | None:
    """Return the first rule that a candidate without rivals breaks, or None."""
    allowed = edition.find(candidate.backend_type)
    if allowed is None:
        return _unknown_type(edition, candidate)
    return (
        _distribution(allowed, candidate)
        or _target(allowed, candidate)
        or _ownership(edition, candidate)
        or _version(allowed, candidate)
    )


def conflict(allowed: Allowed, rivals: Sequence[Candidate]) -> Refusal:
    """Return the refusal that all claimants of one type share."""
    claimants = " and ".join(f"{rival.provider} ({rival.origin})" for rival in rivals)
    return Refusal(
        reason=Reason.CONFLICT,
        found=f"{claimants} all claim backend type {allowed.backend_type!r}",
        why="which of them Python would import is an accident, so none is trusted",
        remedy=f"leave one installation of {allowed.distribution} and uninstall the rest",
    )


def refuse_files(candidate: Candidate, faults: Sequence[str]) -> Refusal | None:
    """Return the refusal of a distribution whose files are not what was installed, or None."""
    if not faults:
        return None
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Refusal(
        reason=Reason.FILES_ALTERED,
        found=_found(candidate),
        why=f"{faults[0]}{more}",
        remedy=f"reinstall {candidate.distribution} {candidate.version}",
    )


def refuse_unlocked(candidate: Candidate, fault: str | None) -> Refusal | None:
    """Return the refusal of a distribution that is not what the lock file says, or None."""
    if fault is None:
        return None
    return Refusal(
        reason=Reason.NOT_AS_LOCKED,
        found=_found(candidate),
        why=fault,
        remedy="install what is locked, or write the lock anew with: durahub backends lock",
    )


def _found(candidate: Candidate) -> str:
    return (
        f"{candidate.provider} ({candidate.origin}) claims backend type"
        f" {candidate.backend_type!r} with {candidate.target!r}"
    )


def _unknown_type(edition: Edition, candidate: Candidate) -> Refusal:
    folded = fold_name(candidate.backend_type)
    twin = next((t for t in edition.backend_types if fold_name(t) == folded), None)
    if twin is not None:
        return Refusal(
            reason=Reason.TYPE_LOOKS_LIKE_ALLOWED,
            found=_found(candidate),
            why=f"that name differs from {twin!r}, which this build reserves, only in its spelling",
            remedy=f"uninstall {candidate.provider}, or have its author choose a distinct name",
        )
    return Refusal(
        reason=Reason.TYPE_NOT_ALLOWED,
        found=_found(candidate),
        why=f"the build {edition.name!r} allows only {', '.join(edition.backend_types) or 'nothing'}",
        remedy="use a build whose allowlist names this backend; no setting widens this one",
    )


def _distribution(allowed: Allowed, candidate: Candidate) -> Refusal | None:
    # Lower-casing makes ASCII letters of a few others, which no installer takes in a name.
    if candidate.distribution.isascii() and (
        canonicalize_name(candidate.distribution) == canonicalize_name(allowed.distribution)
    ):
        return None
    return Refusal(
        reason=Reason.WRONG_DISTRIBUTION,
        found=_found(candidate),
        why=f"this build takes {allowed.backend_type!r} only from {allowed.distribution}",
        remedy=f"uninstall {candidate.provider} and install {allowed.distribution}",
    )


def _target(allowed: Allowed, candidate: Candidate) -> Refusal | None:
    if candidate.target == allowed.module:
        return None
    is_module = not set(":[") & set(candidate.target)
    return Refusal(
        reason=Reason.WRONG_MODULE if is_module else Reason.TARGET_NOT_A_MODULE,
        found=_found(candidate),
        why=f"this build imports exactly {allowed.module!r} for it, "
        + ("which is another module" if is_module else "without attribute or extras"),
        remedy=f"reinstall {allowed.distribution} from where you trust it to come from",
    )


def _ownership(edition: Edition, candidate: Candidate) -> Refusal | None:
    if candidate.ownership is Ownership.RECORDED:
        return None
    if candidate.ownership is Ownership.EDITABLE:
        return None if edition.allow_editable else _editable(edition, candidate)
    if candidate.ownership is Ownership.MISSING:
        why = "there is no such module, or finding it would already need an import"
        remedy = f"reinstall {candidate.distribution}"
    else:
        why = f"importing it would run {candidate.imported_from}, which is no file of that distribution"
        remedy = f"reinstall {candidate.distribution}, and remove what else provides that module"
    return Refusal(
        reason=Reason.MODULE_OUTSIDE_DISTRIBUTION,
        found=_found(candidate),
        why=why,
        remedy=remedy,
    )


def _editable(edition: Edition, candidate: Candidate) -> Refusal:
    return Refusal(
        reason=Reason.EDITABLE_NOT_ALLOWED,
        found=_found(candidate),
        why=f"it is an editable install, and the build {edition.name!r} takes none",
        remedy=f"install a wheel of {candidate.distribution}",
    )


def _version(allowed: Allowed, candidate: Candidate) -> Refusal | None:
    if _is_in_range(candidate.version, allowed.versions):
        return None
    return Refusal(
        reason=Reason.VERSION_OUT_OF_RANGE,
        found=_found(candidate),
        why=f"this build takes {allowed.distribution} only in versions {allowed.versions}",
        remedy=f"install '{allowed.distribution}{allowed.versions}'",
    )


def _is_in_range(version: str, versions: str) -> bool:
    if not versions:
        return True
    try:
        return SpecifierSet(versions).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False

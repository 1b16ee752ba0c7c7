"""What a build allows against what is installed, for people who ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from durahub.edition.admit import Verdict
from durahub.edition.edition import Allowed, Edition


class Availability(StrEnum):
    """Whether an allowed backend can be selected now."""

    INSTALLED = "installed"
    NOT_INSTALLED = "not-installed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """How one entry of the allowlist stands.

    Attributes:
        allowed: The entry.
        availability: Whether it can be selected now.
        version: Version that is installed and admitted; empty otherwise.
    """

    allowed: Allowed
    availability: Availability
    version: str = ""


def take_inventory(edition: Edition, verdicts: Sequence[Verdict]) -> tuple[InventoryEntry, ...]:
    """Return one entry for each backend that the edition allows, in the order of its allowlist."""
    return tuple(_entry(allowed, verdicts) for allowed in edition.allowlist)


def _entry(allowed: Allowed, verdicts: Sequence[Verdict]) -> InventoryEntry:
    claims = [v for v in verdicts if v.candidate.backend_type == allowed.backend_type]
    admitted = next((v for v in claims if v.refusal is None), None)
    if admitted is not None:
        return InventoryEntry(
            allowed=allowed,
            availability=Availability.INSTALLED,
            version=admitted.candidate.version,
        )
    return InventoryEntry(
        allowed=allowed,
        availability=Availability.REFUSED if claims else Availability.NOT_INSTALLED,
    )

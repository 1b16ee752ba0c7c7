"""What the scan finds: the claim of one installed distribution to provide one backend type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Ownership(StrEnum):
    """Whose code an import of the claimed module would run, its parent packages included."""

    RECORDED = "recorded"
    """Only files that the distribution's own list of files (RECORD) names."""

    EDITABLE = "editable"
    """Files in the source directory of which the distribution is an editable install."""

    FOREIGN = "foreign"
    """A file of something else: another distribution, the standard library, the current directory."""

    MISSING = "missing"
    """None: there is no such module, or finding it would already need an import."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Candidate:
    """One entry point in the group `durahub.backends`.

    All texts come from foreign metadata. What is not printable in them is escaped and what is too long
    is cut, so that they can be shown anywhere; neither makes a refused text equal to an allowed one.

    Attributes:
        backend_type: Name of the entry point.
        distribution: Name of the distribution, as it spells it; empty if it states none.
        version: Version of the distribution; empty if it states none.
        target: Value of the entry point.
        origin: Path of the metadata that makes the claim.
        ownership: Whose code importing the target would run.
        imported_from: The file at which the ownership was decided; empty if there is none.
    """

    backend_type: str
    distribution: str
    version: str
    target: str
    origin: str
    ownership: Ownership
    imported_from: str = ""

    @property
    def provider(self) -> str:
        """Distribution and version, for messages."""
        name = self.distribution or "a distribution without a name"
        return f"{name} {self.version}".rstrip()

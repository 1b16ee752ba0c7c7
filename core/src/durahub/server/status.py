"""What a sidecar tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildIdentity:
    """Which program runs, and what it stores its state in.

    Attributes:
        version: Version of durahub-core.
        edition: Name of the build.
        backend_type: The selected backend.
        backend_distribution: The distribution that provides it.
        backend_version: Version of that distribution.
        decisions: How many installed claims to be a backend were admitted, and how many refused for each
            reason that occurs, as of the start; see `durahub.edition.count_decisions`.
    """

    version: str
    edition: str
    backend_type: str
    backend_distribution: str
    backend_version: str
    decisions: Mapping[str, int]


class SidecarStatus(Protocol):
    """A running sidecar, seen by its HTTP API."""

    @property
    def app_id(self) -> str:
        """The application that it serves."""
        ...

    @property
    def identity(self) -> BuildIdentity:
        """Which program it is."""
        ...

    @property
    def is_serving(self) -> bool:
        """Whether it takes calls: it has started, and is not stopping."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether calls can succeed: it takes them, and the engine reaches its store."""
        ...

    @property
    def connected_workers(self) -> int:
        """Open work-item streams."""
        ...

    @property
    def parked(self) -> Mapping[str, int]:
        """How many instances it has parked since its start, by the kind of reason; every kind is there."""
        ...

    def request_stop(self, reason: str) -> None:
        """Begin a graceful stop; returns at once."""
        ...


def core_version() -> str:
    """Return the version of the installed durahub-core; `0+unknown` from a tree without metadata."""
    try:
        return version("durahub-core")
    except PackageNotFoundError:
        return "0+unknown"

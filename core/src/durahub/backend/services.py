"""What the host gives a backend when it opens it."""

from __future__ import annotations

from dataclasses import dataclass

from durahub.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendServices:
    """The host's services.

    Attributes:
        clock: For stores that have no clock of their own and serve one process. A store that several
            processes share uses the store's own clock for every decision instead.
    """

    clock: Clock

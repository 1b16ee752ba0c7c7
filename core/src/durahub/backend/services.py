"""What the host gives a backend when it opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from durahub.backend.operations import CreateInstance, Deliver
from durahub.backend.records import InstanceRecord
from durahub.clock import Clock

Settlement = CreateInstance | Deliver | None
"""What is done instead of creating a child whose id is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendServices:
    """The host's services.

    Attributes:
        clock: For stores that have no clock of their own and serve one process. A store that several
            processes share uses the store's own clock for every decision instead.
        settle_occupied: For backends that create a turn's children after the turn is durable: returns what
            is to be done instead of a creation whose id has been taken since the turn was committed, given
            what has it; None: nothing. Backends that create children with the turn never call it.
        internal_grpc_port: Where backends whose processes call each other listen; 0: where they like.
    """

    clock: Clock
    settle_occupied: Callable[[CreateInstance, InstanceRecord], Awaitable[Settlement]] | None = None
    internal_grpc_port: int = 0

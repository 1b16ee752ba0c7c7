"""What the host gives a backend when it opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from durahub.backend.operations import CreateInstance, Deliver
from durahub.backend.records import InstanceRecord
from durahub.clock import Clock

Settlement = CreateInstance | Deliver | None
"""What is done instead of creating a child whose id is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A Dapr component that the application may use, as far as it was understood, its secrets in place.

    Attributes:
        name: Its name.
        type: Such as `state.redis`.
        version: Such as `v1`; empty means `v1`.
        metadata: The values by name, as the names are written. Every value may be a secret.
        at: Where it was defined, for messages.
    """

    name: str
    type: str
    version: str = "v1"
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendServices:
    """The host's services.

    Attributes:
        clock: For stores that have no clock of their own and serve one process. A store that several
            processes share uses the store's own clock for every decision instead.
        settle_occupied: For backends that create a turn's children after the turn is durable: returns what
            is to be done instead of a creation whose id has been taken since the turn was committed, given
            what has it; None: nothing. Backends that create children with the turn never call it.
        components: For backends whose store is a Dapr component: those of the application.
        internal_grpc_port: Where backends whose processes call each other listen; 0: where they like.
    """

    clock: Clock
    settle_occupied: Callable[[CreateInstance, InstanceRecord], Awaitable[Settlement]] | None = None
    components: tuple[Component, ...] = ()
    internal_grpc_port: int = 0

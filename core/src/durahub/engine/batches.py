"""Which operations may not be in one batch (`durahub.backend.Backend.apply`). Pure."""

from __future__ import annotations

from durahub.backend import (
    CommitTurn,
    CreateInstance,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseInstance,
)
from durahub.types import InstanceKey


def exclusive_keys(operation: Operation) -> tuple[InstanceKey, ...]:
    """Return the instances that no other operation of the batch may purge, release, turn or create."""
    match operation:
        case CommitTurn():
            return (operation.key, *(child.key for child in operation.children))
        case CreateInstance() | ReleaseInstance() | ParkInstance() | PurgeInstance():
            return (operation.key,)
        case _:
            return ()

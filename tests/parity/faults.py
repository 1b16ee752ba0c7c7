"""Stores that fail as real ones do: for a while, or by losing the answer to what they did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from durahub.backend import NO_ROOM, Applied, Operation, Room
from durahub.errors import BackendUnavailableError
from durahub.types import SessionId

from tests.parity.hub import Sidecar

_CALLS = (
    "apply",
    "heartbeat",
    "release_except",
    "claim_instances",
    "claim_activities",
    "get",
    "history",
    "list_instances",
)


class Fault:
    """A number of writes that fail.

    Attributes:
        left: How many are still to fail.
    """

    def __init__(self, left: int) -> None:
        self.left = left


def fail(sidecar: Sidecar, kind: type[Operation], *, times: int = 1, in_vain: bool = True) -> Fault:
    """Let the next writes with an operation of a kind fail.

    Args:
        sidecar: Whose.
        kind: Which operation.
        times: How many writes.
        in_vain: Nothing is written; otherwise all is, and only the answer is lost.
    """
    fault, apply = Fault(times), sidecar.backend.apply

    async def failing(
        session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        if not fault.left or not any(isinstance(operation, kind) for operation in operations):
            return await apply(session_id, operations, room)
        fault.left -= 1
        if not in_vain:
            await apply(session_id, operations, room)
        raise BackendUnavailableError("a fault of the test")

    sidecar.backend.apply = failing  # type: ignore[method-assign]  # a store behind a bad line
    return fault


class Outage:
    """A time without a store.

    Attributes:
        refused: Calls so far that it has failed.
    """

    def __init__(self) -> None:
        self.refused = 0


@contextmanager
def outage(*sidecars: Sidecar) -> Iterator[Outage]:
    """Let every call to the stores of some sidecars fail inside."""
    found = Outage()
    for sidecar in sidecars:
        for name in _CALLS:
            setattr(sidecar.backend, name, _refusing(found))
    try:
        yield found
    finally:
        for sidecar in sidecars:
            for name in _CALLS:
                delattr(sidecar.backend, name)


def _refusing(found: Outage) -> Any:
    async def refuse(*_: Any, **__: Any) -> Any:
        found.refused += 1
        raise BackendUnavailableError("no store for now")

    return refuse

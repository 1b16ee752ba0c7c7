"""Why instances are parked, and how many this sidecar has parked."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from durahub.protocol import messages as pb


class ParkingKind(StrEnum):
    """The kinds of reasons to park an instance, by what would help; the values are for machines."""

    DAMAGED = "damaged"
    """What is stored of it does not decode or contradicts itself: restore a backup, or purge by force."""

    SENSELESS_ANSWER = "senselessAnswer"
    """A worker's answer asks for something that has no meaning: mend the application or its SDK."""

    PATCH_MISMATCH = "patchMismatch"
    """The worker's code lacks a patch that the history was made with: connect one that has it."""

    VERSION_NOT_AVAILABLE = "versionNotAvailable"
    """No worker has the version that it runs on: connect one that has it."""

    PAYLOAD_SIZE_EXCEEDED = "payloadSizeExceeded"
    """A work item would be larger than a message may be: raise the limit and start again."""


_KIND_OF_STALL = {
    pb.PATCH_MISMATCH: ParkingKind.PATCH_MISMATCH,
    pb.VERSION_NOT_AVAILABLE: ParkingKind.VERSION_NOT_AVAILABLE,
    pb.PAYLOAD_SIZE_EXCEEDED: ParkingKind.PAYLOAD_SIZE_EXCEEDED,
}


def kind_of_stall(reason: pb.StalledReason.ValueType) -> ParkingKind:
    """Return the kind of what Dapr calls a stall."""
    return _KIND_OF_STALL[reason]


class Parkings:
    """Counts the instances that this sidecar has parked."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {kind.value: 0 for kind in ParkingKind}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each kind, by the kind's value; all kinds are there. A view that goes on counting."""
        return MappingProxyType(self._counts)

    def note(self, kind: ParkingKind) -> int:
        """Count one more, and return how many of its kind there are now."""
        self._counts[kind.value] += 1
        return self._counts[kind.value]

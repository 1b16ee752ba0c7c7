"""Instances whose history this sidecar has at hand, so that their next turn reads nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from durahub.backend import Backend, ClaimedInstance
from durahub.engine.damage import check_beginning
from durahub.engine.state import InstanceState, fold
from durahub.protocol import messages as pb
from durahub.types import ExecutionId, InstanceKey


class InstanceLostError(Exception):
    """Since it was claimed somebody else has written to the instance, or has purged it."""


@dataclass(slots=True)
class Resident:
    """The committed history of one generation, in bytes and folded.

    Attributes:
        execution_id: Which generation.
        revision: The record's revision that it belongs to.
        state: The fold of `history`.
        history: Serialised events, in order.
        size_bytes: Total length of `history`.
    """

    execution_id: ExecutionId
    revision: int
    state: InstanceState = field(default_factory=InstanceState)
    history: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def absorb(
        self, revision: int, raws: Sequence[bytes], events: Sequence[pb.HistoryEvent]
    ) -> None:
        """Take in what a turn committed."""
        for event in events:
            self.state.apply(event)
        self.history.extend(raws)
        self.size_bytes += sum(map(len, raws))
        self.revision = revision


class Residents:
    """Keeps residents that are not in flight, the least recently used going first.

    An instance in flight is taken out and put back, so that nobody else sees it half-way.
    """

    def __init__(self, backend: Backend, limit_bytes: int) -> None:
        self._backend = backend
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[InstanceKey, Resident] = OrderedDict()
        self._size_bytes = 0

    async def take(self, claimed: ClaimedInstance) -> Resident:
        """Return the resident of a claimed instance, reading its history if need be.

        Raises:
            InstanceLostError: It belongs to this claim no longer.
            BackendCorruptionError: The stored history has a gap, or begins in the middle.
            google.protobuf.message.DecodeError: A stored event does not decode.
        """
        record = claimed.record
        resident = self._remove(record.key)
        if (
            resident is not None
            and resident.revision == record.revision
            and resident.execution_id == record.execution_id
            and len(resident.history) == record.history_length
        ):
            return resident
        if record.history_length == 0:
            return Resident(record.execution_id, record.revision)
        (stored,) = await self._backend.history([record.key])
        if stored is None or (stored.record.execution_id, stored.record.revision) != (
            record.execution_id,
            record.revision,
        ):
            raise InstanceLostError
        check_beginning(record.key.instance_id, stored.events)
        return Resident(
            record.execution_id,
            record.revision,
            fold(stored.events),
            list(stored.events),
            sum(map(len, stored.events)),
        )

    def put(self, key: InstanceKey, resident: Resident) -> None:
        """Keep a resident for its next turn, as far as there is room."""
        self._remove(key)
        self._kept[key] = resident
        self._size_bytes += resident.size_bytes
        while self._size_bytes > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size_bytes -= oldest.size_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._size_bytes = 0

    def _remove(self, key: InstanceKey) -> Resident | None:
        resident = self._kept.pop(key, None)
        if resident is not None:
            self._size_bytes -= resident.size_bytes
        return resident

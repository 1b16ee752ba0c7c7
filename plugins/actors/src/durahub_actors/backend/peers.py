"""The other hosts that use the same state store, as far as they can be told something."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from durahub.types import AppId, InstanceKey, SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What one session left for others to hear of.

    Attributes:
        teller: The session that need not hear of it.
        due: Applications with something to claim, now or later.
        changed: Instances whose status changed.
    """

    teller: SessionId
    due: frozenset[AppId]
    changed: tuple[InstanceKey, ...]

    def __bool__(self) -> bool:
        return bool(self.due or self.changed)


class Peers(ABC):
    """Carries notices between hosts. One may get lost, which costs only latency."""

    @abstractmethod
    async def start(self, hear: Callable[[Notice], None]) -> None:
        """Begin to listen.

        Args:
            hear: Called, on the loop of this call, with each notice of another host.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening. Idempotent."""

    @abstractmethod
    def tell(self, notice: Notice) -> None:
        """Send a notice to every other host, without waiting for any."""


class NoPeers(Peers):
    """No way to other hosts: they find by polling what this one leaves."""

    async def start(self, hear: Callable[[Notice], None]) -> None:
        """Hear nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    def tell(self, notice: Notice) -> None:
        """Tell nobody."""

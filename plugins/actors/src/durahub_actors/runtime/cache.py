"""States of actors at hand: the least recently used leave, and those that nobody has used for long."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from durahub_actors.stores import ActorId

S = TypeVar("S")

MOST_RESIDENTS = 10_000
"""Most states kept at hand."""


@dataclass(slots=True)
class Resident(Generic[S]):
    """An actor's state as this process last saw it.

    Attributes:
        state: The state; None: there is none.
        etag: Its etag; None without a state.
        used_s: When it was last used, by the clock of whoever asks.
    """

    state: S | None
    etag: str | None
    used_s: float = 0.0


class ActorCache(Generic[S]):
    """Remembers states. What it says may be outdated; a save that expects its etag finds out."""

    def __init__(self, most: int = MOST_RESIDENTS) -> None:
        self._most = most
        self._residents: OrderedDict[ActorId, Resident[S]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._residents)

    def get(self, actor: ActorId, now_s: float) -> Resident[S] | None:
        """Return what is known of an actor, as used now."""
        found = self._residents.get(actor)
        if found is not None:
            found.used_s = now_s
            self._residents.move_to_end(actor)
        return found

    def put(self, actor: ActorId, state: S, etag: str, now_s: float) -> None:
        """Remember a state; the one used longest ago leaves if there are too many."""
        self._residents[actor] = Resident(state, etag, now_s)
        self._residents.move_to_end(actor)
        if len(self._residents) > self._most:
            self._residents.popitem(last=False)

    def drop(self, actor: ActorId) -> None:
        """Forget an actor, if it is there."""
        self._residents.pop(actor, None)

    def clear(self) -> None:
        """Forget all."""
        self._residents.clear()

    def deactivate(self, unused_since_s: float) -> None:
        """Forget what nobody has used since a moment."""
        while self._residents:
            actor, oldest = next(iter(self._residents.items()))
            if oldest.used_s >= unused_since_s:
                return
            del self._residents[actor]

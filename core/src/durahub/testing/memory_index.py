"""The one index of the memory store: what comes first among many things that keep moving."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K")


class PriorityIndex(Generic[K]):
    """Keys in the order of a rank that may change; ranks compare and differ between keys.

    A heap that is cleaned lazily: an entry counts only while it shows its key's present rank.
    """

    def __init__(self) -> None:
        self._ranks: dict[K, Any] = {}
        self._heap: list[tuple[Any, K]] = []

    def put(self, key: K, rank: Any) -> None:
        """Add a key, or move it to another rank."""
        if self._ranks.get(key) == rank:
            return
        self._ranks[key] = rank
        heapq.heappush(self._heap, (rank, key))
        if len(self._heap) > 2 * len(self._ranks) + 64:
            self._rebuild()

    def discard(self, key: K) -> None:
        """Forget a key, if it is there."""
        self._ranks.pop(key, None)

    def first(self) -> K | None:
        """Return the key of the lowest rank, or None if there is no key."""
        while self._heap:
            rank, key = self._heap[0]
            if self._ranks.get(key) == rank:
                return key
            heapq.heappop(self._heap)
        return None

    def in_order(self) -> Iterator[K]:
        """Yield all keys in the order of their ranks; meanwhile the index may not change."""
        # From the top of the heap downwards, so that only what is asked for is put in order.
        frontier = [(entry, 0) for entry in self._heap[:1]]
        last: tuple[Any, K] | None = None
        while frontier:
            entry, place = heapq.heappop(frontier)
            rank, key = entry
            # A key that came back to an earlier rank is in the heap twice.
            if self._ranks.get(key) == rank and entry != last:
                yield key
            last = entry
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(self._heap):
                    heapq.heappush(frontier, (self._heap[child], child))

    def _rebuild(self) -> None:
        # Stale entries of far-away ranks never reach the top; without this they would pile up.
        self._heap = [(rank, key) for key, rank in self._ranks.items()]
        heapq.heapify(self._heap)

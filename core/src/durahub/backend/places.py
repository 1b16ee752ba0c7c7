"""The places that a limit leaves: one way to count them, for all backends."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from durahub.backend.sessions import ClaimLimit


class Places:
    """How much more may be owned under one limit, while a claim takes one after the other.

    Args:
        limit: The limit.
        owned: How much all live sessions of the application own; matters only where there is a total.
        by_name: The same for each name; matters only for the names that the limit has.
    """

    def __init__(self, limit: ClaimLimit, *, owned: int, by_name: Mapping[str, int]) -> None:
        self._is_total = limit.total is not None
        self._left = sys.maxsize if limit.total is None else limit.total - owned
        self._left_of = {name: most - by_name.get(name, 0) for name, most in limit.by_name.items()}

    @property
    def left(self) -> int:
        """How many places the total leaves; without a total more than anyone can take."""
        return max(0, self._left)

    def left_of(self, name: str) -> int:
        """Return how many places there are for what has this name."""
        return max(0, min(self._left, self._left_of.get(name, sys.maxsize)))

    def counts(self, name: str) -> bool:
        """Return whether what has this name takes a place at all."""
        return self._is_total or name in self._left_of

    def take(self, name: str) -> bool:
        """Take a place for something of this name, and return whether there was one."""
        if not self.left_of(name):
            return False
        self._left -= 1
        if name in self._left_of:
            self._left_of[name] -= 1
        return True

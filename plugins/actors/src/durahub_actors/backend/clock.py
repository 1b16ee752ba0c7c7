"""The store's clock, as this process knows it between two answers of the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from durahub.clock import Clock, to_micros

from durahub_actors.stores import LeaseBeat


class StoreClock:
    """Tells the store's time without asking the store, corrected by every heartbeat.

    Args:
        clock: The host's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta(0)
        self._last_rank = 0

    def now(self) -> datetime:
        """Return what the store's clock shows, as far as that is known."""
        return self._clock.now() + self._ahead

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary origin that never go back."""
        return self._clock.monotonic_s()

    def next_rank(self) -> int:
        """Return the time in microseconds since the epoch, or one more than last time if it is not later."""
        self._last_rank = max(self._last_rank + 1, to_micros(self.now()))
        return self._last_rank

    async def measure(self, beat: Callable[[], Awaitable[LeaseBeat]]) -> LeaseBeat:
        """Return the answer of a call that tells the store's time, and go by it from now on."""
        before = self._clock.now()
        answer = await beat()
        after = self._clock.now()
        if before <= answer.now <= after:
            # The same clock, or not to be told from it.
            self._ahead = timedelta(0)
        else:
            self._ahead = answer.now - (before + (after - before) / 2)
        return answer

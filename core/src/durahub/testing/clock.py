"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
"""When a `ManualClock` starts unless told otherwise; its microseconds are not round on purpose."""


class ManualClock:
    """A `durahub.clock.Clock` for tests."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._now = start

    def now(self) -> datetime:
        """Return the moment that the clock was moved to."""
        return self._now

    def monotonic_s(self) -> float:
        """Return the seconds by which the clock was moved forward."""
        return (self._now - self._start).total_seconds()

    def advance(self, duration: timedelta) -> None:
        """Move the clock forward.

        Raises:
            ValueError: The duration is negative.
        """
        if duration < timedelta(0):
            raise ValueError("time does not run backwards")
        self._now += duration

"""Time as a dependency, so that tests and stores can decide what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

END_OF_TIME = datetime.max.replace(tzinfo=UTC)
"""The last moment a `datetime` can say. As a due time it means: never by itself."""

EPOCH = datetime.fromtimestamp(0, UTC)


class Clock(Protocol):
    """Tells the time and how long something takes."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary origin that never go back."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """Return the operating system's time in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return the operating system's monotonic time in seconds."""
        return time.monotonic()


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since the Unix epoch; exact for every aware datetime."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of microseconds since the Unix epoch; inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)


_MICROSECOND = timedelta(microseconds=1)

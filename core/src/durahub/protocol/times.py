"""Protocol times, which count nanoseconds, and Python's, which count microseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from durahub.clock import END_OF_TIME, from_micros, to_micros

_MICROS_PER_SECOND: Final = 1_000_000
_NANOS_PER_MICRO: Final = 1_000
_FIRST_MICROS: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST_MICROS: Final = to_micros(END_OF_TIME)


def to_timestamp(moment: datetime) -> Timestamp:
    """Return the very same moment as a protocol time.

    Args:
        moment: An aware datetime in any zone.

    Raises:
        TypeError: `moment` is naive.
    """
    seconds, micros = divmod(to_micros(moment), _MICROS_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=micros * _NANOS_PER_MICRO)


def is_valid(timestamp: Timestamp) -> bool:
    """Return whether a timestamp is a time at all: within the years 1 to 9999, nanoseconds below a second."""
    return (
        _FIRST_MICROS // _MICROS_PER_SECOND
        <= timestamp.seconds
        <= _LAST_MICROS // _MICROS_PER_SECOND
        and 0 <= timestamp.nanos < _MICROS_PER_SECOND * _NANOS_PER_MICRO
    )


def from_timestamp_ceil(timestamp: Timestamp) -> datetime:
    """Return the first microsecond that is not before `timestamp`, as an aware UTC datetime.

    Rounding up means that what waits for the result is never early. Moments outside of what a
    datetime can say become the nearest one that it can, so that every timestamp that a peer may
    send has an answer; those beyond the year 9999 become `END_OF_TIME`. Inverse of `to_timestamp`.
    """
    # Floor division of the negated number rounds up.
    part = -(-timestamp.nanos // _NANOS_PER_MICRO)
    micros = timestamp.seconds * _MICROS_PER_SECOND + part
    return from_micros(min(max(micros, _FIRST_MICROS), _LAST_MICROS))

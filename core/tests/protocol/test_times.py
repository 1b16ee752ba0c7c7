from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from durahub.clock import END_OF_TIME, EPOCH, to_micros
from durahub.protocol.times import from_timestamp_ceil, is_valid, to_timestamp
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

moments = st.datetimes(timezones=st.just(UTC))
# All that fits into the message, far beyond what protobuf calls a valid time.
timestamps = st.builds(
    Timestamp,
    seconds=st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**12), 10**12),
    nanos=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 999_999_999),
)


def exact_micros(timestamp: Timestamp) -> Fraction:
    return Fraction(timestamp.seconds * 10**9 + timestamp.nanos, 1000)


@settings(deadline=None)
@given(moments)
def test_convert_moment_there_and_back_gives_same_moment(moment: datetime) -> None:
    timestamp = to_timestamp(moment)
    assert 0 <= timestamp.nanos < 10**9
    assert exact_micros(timestamp) == to_micros(moment)
    assert from_timestamp_ceil(timestamp) == moment


@settings(deadline=None)
@given(moments)
def test_convert_moment_agrees_with_the_protobuf_library(moment: datetime) -> None:
    expected = Timestamp()
    expected.FromDatetime(moment)
    assert to_timestamp(moment) == expected


@settings(deadline=None)
@given(timestamps)
def test_convert_any_timestamp_is_the_next_microsecond_within_bounds(timestamp: Timestamp) -> None:
    exact = exact_micros(timestamp)
    moment = from_timestamp_ceil(timestamp)
    assert moment.tzinfo is UTC
    assert to_micros(moment) >= exact or moment == END_OF_TIME
    assert to_micros(moment) - 1 < exact or moment == BEGINNING_OF_TIME


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, EPOCH),
        (0, 1, EPOCH + MICROSECOND),
        (0, 1_000, EPOCH + MICROSECOND),
        (0, 1_001, EPOCH + 2 * MICROSECOND),
        (1, 999_999_001, EPOCH + timedelta(seconds=2)),
        (-1, 999_999_999, EPOCH),
        (-1, 0, EPOCH - timedelta(seconds=1)),
        # The far future of an event wait without a limit.
        (253_402_300_799, 999_999_999, END_OF_TIME),
        (253_402_300_799, 999_999_000, END_OF_TIME),
        (253_402_300_799, 999_998_999, END_OF_TIME),
        (253_402_300_799, 999_998_000, END_OF_TIME - MICROSECOND),
        (2**63 - 1, 2**31 - 1, END_OF_TIME),
        (-(2**63), -(2**31), BEGINNING_OF_TIME),
    ],
)
def test_convert_timestamp_rounds_up_and_clamps(
    seconds: int, nanos: int, expected: datetime
) -> None:
    assert from_timestamp_ceil(Timestamp(seconds=seconds, nanos=nanos)) == expected


def test_convert_moment_of_other_zone_gives_same_moment() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert to_timestamp(moment) == to_timestamp(datetime(2026, 3, 1, 10, tzinfo=UTC))


def test_convert_naive_moment_is_refused() -> None:
    with pytest.raises(TypeError):
        to_timestamp(datetime(2026, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("seconds", "nanos", "valid"),
    [
        (0, 0, True),
        (253_402_300_799, 999_999_999, True),
        (253_402_300_800, 0, False),
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 0, False),
        (2**62, 0, False),
        (0, -5, False),
        (0, 1_000_000_000, False),
    ],
)
def test_validity_is_that_of_the_protocol(seconds: int, nanos: int, *, valid: bool) -> None:
    assert is_valid(Timestamp(seconds=seconds, nanos=nanos)) is valid

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from durahub.cli.durations import ago, ahead, format_age, format_duration
from durahub.config.duration import parse_duration
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1.5, "1.5s"), (90, "1m30s"), (3600, "1h0m0s"), (604_800, "168h0m0s")],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(timedelta(0), timedelta(days=90_000)))
def test_what_is_written_can_be_read(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (59, "59s"), (61, "1m1s"), (7200, "2h"), (90_000, "1d1h"), (86_460, "1d")],
)
def test_ages_have_two_units_at_most(seconds: int, text: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("0", NOW),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2026-02-28T01:02:03", datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC)),
        ("2026-02-28T01:02:03+01:00", datetime(2026, 2, 28, 0, 2, 3, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_duration_ago_or_a_time(text: str, before: datetime) -> None:
    assert ago(text, NOW) == before


def test_a_moment_may_lie_ahead() -> None:
    assert ahead("1h30m", NOW) == NOW + timedelta(hours=1, minutes=30)


@pytest.mark.parametrize("text", ["", "soon", "5", "-1h", "2026-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a duration"):
        ago(text, NOW)

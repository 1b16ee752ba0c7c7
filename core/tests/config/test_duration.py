from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.config.duration import parse_duration
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("168h", timedelta(days=7)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1m1h", timedelta(hours=1, minutes=1)),
        ("1.5s", timedelta(seconds=1.5)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("2ms3us", timedelta(microseconds=2003)),
        ("4\N{MICRO SIGN}s", timedelta(microseconds=4)),
        ("4\N{GREEK SMALL LETTER MU}s", timedelta(microseconds=4)),
        ("1999ns", timedelta(microseconds=1)),
        ("2562047h", timedelta(hours=2562047)),
    ],
)
def test_parse_go_duration_returns_it(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "h",
        "1d",
        "1 h",
        " 1h",
        "1h\n",
        "-1h",
        "+1h",
        ".s",
        "1h30",
        "1e3s",
        "1H",
        "\N{ARABIC-INDIC DIGIT ONE}h",
    ],
)
def test_parse_anything_else_raises(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as '168h' or '1h30m'"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["2562048h", "9" * 400 + "h"])
def test_parse_longer_than_go_can_hold_raises(text: str) -> None:
    with pytest.raises(ValueError, match="at most 292 years"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_parse_sum_of_parts_returns_their_sum(h: int, m: int, s: int, us: int) -> None:
    expected = timedelta(hours=h, minutes=m, seconds=s, microseconds=us)
    assert parse_duration(f"{h}h{m}m{s}.{us:06}s") == expected

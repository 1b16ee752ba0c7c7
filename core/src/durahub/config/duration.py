"""Durations as Go writes them, which is how Dapr's configuration does."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

_UNITS_US = {
    "ns": Fraction(1, 1000),
    "us": Fraction(1),
    "\N{MICRO SIGN}s": Fraction(1),
    "\N{GREEK SMALL LETTER MU}s": Fraction(1),
    "ms": Fraction(1_000),
    "s": Fraction(1_000_000),
    "m": Fraction(60_000_000),
    "h": Fraction(3_600_000_000),
}
_PART = r"(\d+\.?\d*|\.\d+)(" + "|".join(_UNITS_US) + ")"
_DURATION = re.compile(f"(?:{_PART})+", re.ASCII)
_MAX_US = Fraction(2**63 - 1, 1000)


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as `168h`, `1h30m`, `1.5s` or `0` says.

    What is finer than a microsecond is cut off. Negative durations, and those of more than 292 years,
    which Go cannot hold, are refused.

    Raises:
        ValueError: The text says no such duration; the message does not repeat it.
    """
    if text == "0":
        return timedelta(0)
    if not _DURATION.fullmatch(text):
        raise ValueError("expected a duration such as '168h' or '1h30m'")
    parts = re.findall(_PART, text, re.ASCII)
    total_us = sum((Fraction(amount) * _UNITS_US[unit] for amount, unit in parts), Fraction(0))
    if total_us > _MAX_US:
        raise ValueError("expected a duration of at most 292 years")
    return timedelta(microseconds=int(total_us))

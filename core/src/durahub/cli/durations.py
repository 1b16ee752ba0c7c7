"""Durations and moments on command lines, as Go's tools take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise


def format_duration(duration: timedelta) -> str:
    """Return a duration that is not negative as Go writes it: `168h0m0s`, `1.5s`."""
    hours, rest = divmod(duration, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    seconds = f"{rest.total_seconds():.6f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def format_age(age: timedelta) -> str:
    """Return about how long something took, in at most two units: `3d4h`, `5m10s`, `0s`."""
    seconds = max(int(age.total_seconds()), 0)
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    for (name, length), (smaller, part) in pairwise(units):
        if seconds >= length:
            rest = seconds % length // part
            return f"{seconds // length}{name}" + (f"{rest}{smaller}" if rest else "")
    return f"{seconds}s"


def parse_moment(text: str) -> datetime:
    """Return the moment that a text such as `2026-03-01T12:00:00Z` or `2026-03-01` names; UTC if it is silent.

    Raises:
        ValueError: It names none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a duration such as 90m or 24h nor a time such as 2026-03-01T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def ago(text: str, now: datetime) -> datetime:
    """Return the moment that a duration before `now`, or a time, names.

    Raises:
        ValueError: The text is neither.
    """
    duration = _duration(text)
    return parse_moment(text) if duration is None else now - duration


def ahead(text: str, now: datetime) -> datetime:
    """Return the moment that a duration from `now` on, or a time, names.

    Raises:
        ValueError: The text is neither.
    """
    duration = _duration(text)
    return parse_moment(text) if duration is None else now + duration


def _duration(text: str) -> timedelta | None:
    from durahub.config.duration import parse_duration  # noqa: PLC0415 - slow to import

    try:
        return parse_duration(text)
    except ValueError:
        return None

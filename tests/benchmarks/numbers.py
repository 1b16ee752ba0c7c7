"""Arithmetic of measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tests.benchmarks.benchmark import Figure

QUANTILES = (0.5, 0.9, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that is not exceeded by `share` of them."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def quantiles(name: str, values: Sequence[float], *, most_p50: float | None = None) -> list[Figure]:
    """Return p50, p90 and p99 of durations in seconds, in milliseconds."""
    return [
        Figure(
            name=f"{name}, p{round(share * 100)}",
            value=quantile(values, share) * 1000,
            unit="ms",
            most=most_p50 if share == QUANTILES[0] else None,
        )
        for share in QUANTILES
    ]


def median(name: str, rounds: Sequence[float], unit: str) -> Figure:
    """Return the median of several rounds."""
    return Figure(name=name, value=statistics.median(rounds), unit=unit, rounds=tuple(rounds))

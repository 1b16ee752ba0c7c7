"""How long to wait before trying again: the one place where back-off is decided."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Exponential back-off with full jitter.

    Attributes:
        first_s: Upper bound of the first wait, in seconds.
        longest_s: Upper bound of every wait, in seconds.
        attempts: Failures since the last success.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    attempts: int = 0

    def failed(self) -> float:
        """Count a failure and return how many seconds to wait."""
        bound = min(self.longest_s, self.first_s * 2 ** min(self.attempts, 30))
        self.attempts += 1
        return random.uniform(0, bound)  # noqa: S311 -- jitter is no secret

    def succeeded(self) -> None:
        """Start over with the shortest wait."""
        self.attempts = 0

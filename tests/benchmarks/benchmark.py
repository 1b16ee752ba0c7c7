"""What a benchmark is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is asked for.

    Attributes:
        seed: Decides about everything that is random.
        full: Whether sizes that take longer than a few minutes are wanted.
        directory: For files that do not outlive the run.
    """

    seed: int
    full: bool
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number.

    Attributes:
        name: What was measured.
        value: The number; of several rounds the median.
        unit: Its unit.
        rounds: The number of each round, in order, if there was more than one.
        most: What it must not exceed, if anything was promised.
    """

    name: str
    value: float
    unit: str
    rounds: tuple[float, ...] = ()
    most: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the number is as promised."""
        return self.most is None or self.value <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Something that can be measured.

    Attributes:
        name: What to call it on the command line.
        question: What it answers.
        sizes: How much it does, by name; those of the long form with `full`.
        run: Measures it.
    """

    name: str
    question: str
    sizes: Callable[[Settings], dict[str, float]]
    run: Callable[[Settings], Awaitable[Sequence[Figure]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one benchmark found.

    Attributes:
        name: Of the benchmark.
        question: What it answers.
        sizes: How much it did.
        figures: The numbers.
        load: Load average of one minute before and after.
        took_s: How long it took, in seconds.
    """

    name: str
    question: str
    sizes: dict[str, float]
    figures: tuple[Figure, ...]
    load: tuple[float, float]
    took_s: float

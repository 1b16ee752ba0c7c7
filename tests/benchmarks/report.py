"""What a run says, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.benchmark import Figure, Outcome

_FILE_WIDTH = 110

console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def show_facts(facts: Mapping[str, str]) -> None:
    """Print where the run takes place and what it was asked for."""
    grid = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        grid.add_row(name, fact)
    console.print(grid)


def show_progress(what: str) -> None:
    console.print(f"… {what}", style="dim")


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print all figures as one table."""
    table = Table("benchmark", "figure", "value", "unit", "rounds", "promised", "load")
    for column in (2, 4, 5):
        table.columns[column].justify = "right"
    for outcome in outcomes:
        for number, figure in enumerate(outcome.figures):
            load = f"{outcome.load[0]:.2f}…{outcome.load[1]:.2f}" if number == 0 else ""
            name = outcome.name if number == 0 else ""
            table.add_row(name, figure.name, *_cells(figure), load)
        table.add_section()
    console.print(table)


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    rounds = f"{_short(min(figure.rounds))}…{_short(max(figure.rounds))}" if figure.rounds else ""
    promised = ""
    if figure.most is not None:
        colour = "green" if figure.is_kept else "red"
        promised = f"[{colour}]≤ {_short(figure.most)}[/]"
    return _short(figure.value), figure.unit, rounds, promised


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def write_json(path: Path, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    """Write everything that was found to a file."""
    document = {"facts": dict(facts), "benchmarks": [asdict(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(document, indent=2) + "\n")

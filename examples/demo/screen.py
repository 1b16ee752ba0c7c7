"""What the demo prints: on a terminal, in a pipe or a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from examples.demo.evidence import Finding

_WIDTH_WITHOUT_TERMINAL = 110
_PANEL_WIDTH = 100
_SHOWN_EVERY = 8

console = Console(
    width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False, emoji=False
)


def explain(title: str, text: str) -> None:
    """Print what comes next."""
    console.print()
    console.print(
        Panel(Text(" ".join(text.split())), title=title, title_align="left", width=_PANEL_WIDTH)
    )


def say(text: str) -> None:
    """Print one line of what happens."""
    console.print(Text(f"  {text}"), soft_wrap=True)


def show_findings(findings: Iterable[Finding]) -> None:
    """Print what was checked."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        mark = Text("yes", style="green") if finding.is_true else Text("NO", style="bold red")
        table.add_row(f"  {finding.claim}", mark, Text(finding.fact))
    console.print(table)


class StepCounter:
    """Shows how far the long workflow is: a bar on a terminal, lines otherwise."""

    def __init__(self, total: int, bar: Progress) -> None:
        self._total = total
        self._bar = bar
        self._task = bar.add_task("", total=total)
        self._shown = 0

    def show(self, done: int) -> None:
        """Show how many steps are done."""
        self._bar.update(self._task, completed=done)
        is_worth_a_line = done - self._shown >= _SHOWN_EVERY or done == self._total != self._shown
        if not console.is_terminal and is_worth_a_line:
            self._shown = done
            say(f"{done} of {self._total} steps done")


@contextmanager
def counting_steps(total: int) -> Iterator[StepCounter]:
    """Show a counter for a while."""
    columns = (TextColumn("  steps"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield StepCounter(total, bar)

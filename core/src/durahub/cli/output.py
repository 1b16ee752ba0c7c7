"""What commands print: for people on a terminal, and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 200


def new_console(width: int | None = None) -> Console:
    """Return what prints tables on standard output; it takes no text for markup.

    Args:
        width: In characters, where there is no terminal. A cut line would lose what a script looks for.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    # Made anew each time, because tests and pipes replace sys.stdout.
    fixed = None if sys.stdout.isatty() else width or _WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stdout, width=fixed, highlight=False, emoji=False, markup=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of texts below headings, without lines around them, in as many columns as there are."""
    from rich.cells import cell_len  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415 - slow to import
    from rich.text import Text  # noqa: PLC0415 - slow to import

    cells = [tuple(map(on_one_line, row)) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    new_console(sum(widths) + 2 * len(widths)).print(table)


def print_json(document: object) -> None:
    """Print a document as JSON, indented."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_yaml(document: object) -> None:
    """Print a document as YAML, its keys in their order."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import

    yaml = YAML()
    yaml.width = sys.maxsize
    yaml.representer.add_representer(
        type(None), lambda maker, _: maker.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.dump(document, sys.stdout)


def on_one_line(text: str) -> str:
    """Return a text without line breaks and control characters: it may come from anybody's workflow."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)

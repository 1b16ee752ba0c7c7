"""Statements over many rows at once.

A statement for a hundred rows costs one hand-over of the interpreter lock instead of a hundred, which
counts as soon as the event loop is busy, and it costs half the time even when it is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

_SIZES = (64, 16, 4, 1)
"""Numbers of rows that a statement may have: few, so that SQLite's compiled statements are used again."""


def run_rows(
    connection: sqlite3.Connection, template: str, rows: Sequence[Sequence[Any]]
) -> list[Any]:
    """Run a statement for all rows and return what it selects or returns.

    Args:
        connection: Where.
        template: The statement, with `{rows}` where a list of row values belongs.
        rows: The values, all of the same width.
    """
    found: list[Any] = []
    for chunk in _chunks(rows):
        statement = _statement(template, len(chunk), len(chunk[0]))
        found += connection.execute(statement, tuple(chain.from_iterable(chunk))).fetchall()
    return found


def _chunks(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@lru_cache(maxsize=256)
def _statement(template: str, count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return template.replace("{rows}", ", ".join([row] * count))


def id_list(ids: Iterable[int]) -> str:
    """Return ids as the JSON array that `json_each` takes."""
    return f"[{','.join(map(str, ids))}]"

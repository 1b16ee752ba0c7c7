"""A connection and the thread it works on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """Runs whole functions on the connection's thread, in the order in which they were given.

    aiosqlite hands over one statement at a time, and each hand-over costs more than most statements. Its
    `_execute` is what all its own methods use to reach the thread; the dependency is pinned to the minor
    version for that reason.

    Args:
        opened: An open connection; this object closes it.
    """

    def __init__(self, opened: sqlite3.Connection) -> None:
        super().__init__(lambda: opened, iter_chunk_size=64)
        self._opened = opened
        # A process that ends without closing must not wait for this thread; a killed transaction is undone.
        self._thread.daemon = True
        self.pending = 0
        """How many calls wait for the thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns. Once begun it runs to its end, even if the call is cancelled."""
        self.pending += 1
        try:
            # A closure without arguments: aiosqlite's debug log prints them, and they hold payloads.
            result: T = await self._execute(lambda: work(self._opened))  # type: ignore[no-untyped-call]
        finally:
            self.pending -= 1
        return result


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool) -> Iterator[None]:
    """Commit what is done inside, or undo it if that raises; without `write`, see one snapshot."""
    # At once the only writer of all processes: a transaction that reads first could not become it later.
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk among them, have rolled back by themselves.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

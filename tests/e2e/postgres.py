"""A Postgres server that tests or benchmarks have for themselves, and what can be done to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.e2e.processes import wait_until

_START = Path(__file__).with_name("start_postgres.py")
_START_S = 60


class PostgresStore:
    """A server that nobody else uses.

    Attributes:
        url: How to connect.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self.url = ""

    @property
    def configuration(self) -> Mapping[str, Any]:
        """What goes into `storeConfiguration`, except for how long sessions may be silent."""
        return {"connectionString": self.url, "poolSize": 4}

    @property
    def faults(self) -> Mapping[str, Any]:
        """What can be done to it, by name."""
        return {"connections terminated": self._terminate, "store restarted": self._restart}

    def start(self) -> None:
        """Start it, and recover what a crash has left."""
        started = subprocess.run(
            (sys.executable, str(_START), str(self._data)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=_START_S,
            text=True,
        )
        self.url = started.stdout.strip()

    def crash(self) -> None:
        """End it without a checkpoint."""
        pid_file = self._data / "postmaster.pid"
        pid = int(pid_file.read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not _is_alive(pid), "the end of the server")

    async def _terminate(self) -> None:
        """End half of the connections, those that listen included."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND random() < 0.5"
            )
        finally:
            await connection.close()

    async def _restart(self) -> None:
        await asyncio.to_thread(self.crash)
        await asyncio.to_thread(self.start)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may have waited for it; a zombie is dead.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def postgres_store() -> Iterator[PostgresStore]:
    """Run a server, and remove it in the end."""
    # Not in pytest's own directory: as root the server runs as another user, who may not go there.
    data = Path(tempfile.gettempdir()) / f"durahub-server-{uuid.uuid4().hex}"
    store = PostgresStore(data)
    store.start()
    try:
        yield store
    finally:
        store.crash()
        shutil.rmtree(data)

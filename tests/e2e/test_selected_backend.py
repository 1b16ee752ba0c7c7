"""Only what the configuration selects is there: nothing of other backends is imported, and no port opened."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.processes import LogBook
from tests.e2e.sidecar import Setup, Sidecar

OPTIONAL = frozenset({"durahub_actors", "durahub_postgres", "durahub_sqlite", "redis", "asyncpg"})
LISTENING = "0A"


@pytest.mark.parametrize(
    ("backend", "imports", "ports"),
    [("sqlite", {"durahub_sqlite"}, 2), ("actors", {"durahub_actors"}, 3)],
)
def test_nothing_is_there_of_backends_that_are_not_selected(
    backend: str, imports: set[str], ports: int, tmp_path: Path, logs: LogBook
) -> None:
    plain = Setup.of(backend, tmp_path)
    # Python itself tells what is imported, until the process ends.
    command = (sys.executable, "-X", "importtime", *plain.command)
    sidecar = Sidecar(replace(plain, command=command), logs)
    try:
        sidecar.start()
        opened = listening_ports(sidecar.pid)
        assert sidecar.stop() == 0
    finally:
        sidecar.kill()
    imported = set(re.findall(r"^import time:.*\| +(\w+)", sidecar.output, re.MULTILINE))
    assert "durahub" in imported
    assert imported & OPTIONAL == imports
    assert {sidecar.http_port, sidecar.grpc_port} <= opened
    assert len(opened) == ports


def listening_ports(pid: int) -> set[int]:
    """Return the ports on which a process waits for connections."""
    process = Path("/proc") / str(pid)
    own = {str(fd.readlink()) for fd in (process / "fd").iterdir() if fd.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = fields = line.split()
            if state == LISTENING and f"socket:[{fields[9]}]" in own:
                found.add(int(local.rpartition(":")[2], 16))
    return found

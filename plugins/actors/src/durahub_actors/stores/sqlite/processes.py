"""Which process a lease belongs to, and whether that one has ended.

All who use the file are on one machine. So nobody has to wait for the lease of a process that was killed.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields of /proc/<pid>/stat behind the name."""

_GONE = frozenset("ZX")


def own_process() -> str:
    """Return a name of this process that no other has or will have; empty if the system has none."""
    pid = os.getpid()
    fields, surroundings = _fields(pid), _surroundings()
    return f"{surroundings}/{pid}/{fields[_STARTED]}" if fields and surroundings else ""


def has_ended(process: str) -> bool:
    """Return whether a process has ended for certain; false if there is no knowing.

    Args:
        process: What `own_process` returned there.
    """
    surroundings, _, name = process.partition("/")
    if not name or surroundings != _surroundings():
        # Another container may share the file, or it was copied from another machine.
        return False
    pid, _, started = name.partition("/")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    fields = _fields(int(pid))
    return bool(fields) and (fields[_STATE] in _GONE or fields[_STARTED] != started)


def _surroundings() -> str:
    """Return within what process ids are unique: one start of one machine, seen from one container."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()

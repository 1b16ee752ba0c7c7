"""Opening the file: the lock, the connections, and whether what is there may be used."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from dataclasses import dataclass, field
from pathlib import Path

from durahub.errors import BackendError

from durahub_sqlite.lock import FileLock
from durahub_sqlite.schema import find_version
from durahub_sqlite.settings import MEMORY, SqliteSettings

OLDEST_SQLITE = (3, 37, 0)
"""The first version with strict tables; all else that is used is older."""

BUSY_TIMEOUT_MS = 1_000
"""How long a call waits for another program, such as a backup, to let go of the file; then it is repeated."""

CHECKPOINT_PAGES = 4_000
"""Size of the write-ahead log, in pages of 4 KiB, from which on it is moved into the file."""

JOURNAL_BYTES = 64 * 1024 * 1024
"""The log's file is cut to this after a checkpoint, however large it became."""

CACHE_KIB = 16 * 1024

READERS = 2

_STATEMENTS = 256


@dataclass(slots=True)
class OpenFiles:
    """Everything that belongs to an open store; each connection is used by one thread at a time.

    Attributes:
        path: The file, resolved; None for memory.
        lock: The right to use the file; None for memory.
        writer: The only connection that writes.
        readers: Connections that can't write; none for memory, where the writer reads too.
        version: Version of the schema when it was opened; None if there was no task hub.
    """

    path: Path | None
    lock: FileLock | None = None
    writer: sqlite3.Connection = field(init=False)
    readers: list[sqlite3.Connection] = field(default_factory=list)
    version: int | None = None
    _identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close what is still open, then let go of the lock. Idempotent."""
        for connection in (*self.readers, self.writer):
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        if self.lock is not None:
            self.lock.release()

    def check_identity(self) -> None:
        """Refuse to go on with a file that is no longer the one at the path.

        Writing to a deleted file succeeds, and all of it is lost when the process ends.

        Raises:
            BackendError: The file was removed or replaced, or what keeps others from using it was.
        """
        if self.path is not None and self._identity != _identity_of(self.path):
            raise BackendError(
                f"{self.path} was removed or replaced while in use; nothing more is written:"
                " stop the process, put the file in its place, and start again"
            )

        if self.lock is not None and not self.lock.is_held():
            raise BackendError(
                f"the lock file of {self.path} was removed or replaced while in use, so that another"
                " process may use the file; nothing more is written: stop the process and start again"
            )

    def note_identity(self) -> None:
        """Remember which file is at the path."""
        if self.path is not None:
            self._identity = _identity_of(self.path)


def open_files(settings: SqliteSettings) -> OpenFiles:
    """Lock and open what the settings name; what was opened is closed again if this raises."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise BackendError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and at least {oldest} is needed"
        )
    path = settings.path
    if path is None:
        files = OpenFiles(path=None)
        files.writer = _connect(MEMORY)
        return files
    return _open_file(_resolved(path), settings)


def _resolved(path: Path) -> Path:
    """Return the path without symbolic links, so that all ways to a file lead to one lock.

    Raises:
        OSError: The links lead in a circle.
    """
    try:
        return path.resolve()
    except RuntimeError as error:
        # What Python says before 3.13; later, opening the file says it.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error


def _open_file(path: Path, settings: SqliteSettings) -> OpenFiles:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_unlockable(path)
    with contextlib.ExitStack() as undo:
        lock = FileLock(path)
        lock.acquire()
        undo.callback(lock.release)
        # SQLite itself would make it readable for everyone; its other files take over these rights.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        files = OpenFiles(path=path, lock=lock)
        files.writer = _connect(f"{path.as_uri()}?mode=rw")
        undo.callback(files.writer.close)
        # Before anything is changed: the file may belong to someone else.
        files.version = find_version(files.writer, str(path))
        _prepare_writer(files.writer, path, settings)
        for _ in range(READERS):
            reader = _connect(f"{path.as_uri()}?mode=ro")
            undo.callback(reader.close)
            files.readers.append(reader)
        files.note_identity()
        undo.pop_all()
    return files


def _refuse_unlockable(path: Path) -> None:
    """Refuse what is no file, or a file with several names: the lock is on the name."""
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


def _prepare_writer(writer: sqlite3.Connection, path: Path, settings: SqliteSettings) -> None:
    (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise BackendError(
            f"{path} can't use a write-ahead log (journal mode {mode}); it has to be on a local"
            " disk, not on a network file system"
        )
    writer.execute(f"PRAGMA synchronous = {settings.synchronous}")
    writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")


def _connect(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name,
        uri=name != MEMORY,
        timeout=BUSY_TIMEOUT_MS / 1000,
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


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino

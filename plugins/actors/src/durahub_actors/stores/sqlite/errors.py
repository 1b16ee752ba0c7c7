"""Where errors of SQLite and of the file system become errors of Durahub."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    TaskHubNotFoundError,
)

_PRIMARY = 0xFF
"""Mask of the primary result code; the rest of a code is detail."""

_TEMPORARY = {
    sqlite3.SQLITE_FULL: "the disk or the quota is full; free some space, work then goes on by itself",
    sqlite3.SQLITE_BUSY: "other processes kept the file locked for longer than busyTimeout",
    sqlite3.SQLITE_LOCKED: "another program holds a lock on a table; close it",
    sqlite3.SQLITE_IOERR: "reading or writing the file failed; check the disk and the system's log",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}

_DAMAGED = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a backup, or save what"
    " can be read with the sqlite3 shell's .recover",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; name another file, or move this one away",
}

_REFUSED = {
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened; check the path, and the rights of this user",
    sqlite3.SQLITE_READONLY: "the file or its directory can't be written; check the rights of this user",
    sqlite3.SQLITE_PERM: "access was denied; check the rights of this user",
    sqlite3.SQLITE_TOOBIG: "a value is too large for SQLite",
}


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what SQLite and the operating system raise inside into `BackendError`s.

    Args:
        place: What `StateStore.describe` returns.
    """
    try:
        yield
    except sqlite3.Error as error:
        if str(error).startswith("no such table"):
            message = f"{place} holds no state store; create it first"
            raise TaskHubNotFoundError(message) from error
        raise _translated(place, error) from error
    except UnicodeEncodeError as error:
        # Never with the text: it belongs to the user.
        raise BackendError(
            f"{place}: a text holds a lone surrogate, which is no Unicode character and can't be"
            " stored; the whole call was refused"
        ) from error
    except OverflowError as error:
        raise BackendError(f"{place}: a number does not fit into 64 bits") from error
    except OSError as error:
        detail = error.strerror or type(error).__name__
        at = "" if error.filename is None else f" at {error.filename}"
        raise BackendError(f"{place}: {detail}{at}; check the path and the rights on it") from error


def _translated(place: str, error: sqlite3.Error) -> BackendError:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code is None:
        # Raised by Python's own module: it reports undecodable text this way.
        if "decode" in str(error):
            return BackendCorruptionError(f"{place}: a stored text is not UTF-8: {error}")
        return BackendError(f"{place}: {error}")
    primary = code & _PRIMARY
    if primary in _TEMPORARY:
        return BackendUnavailableError(f"{place}: {_TEMPORARY[primary]} ({name})")
    if primary in _DAMAGED:
        return BackendCorruptionError(f"{place}: {_DAMAGED[primary]} ({name})")
    if primary in _REFUSED:
        return BackendError(f"{place}: {_REFUSED[primary]} ({name})")
    return BackendError(f"{place}: {error} ({name})")

"""The one place where errors of Postgres, of its driver and of the network become errors of Durahub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from durahub.errors import (
    BackendCorruptionError,
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
    TaskHubNotFoundError,
)

FENCED = "DH001"
"""What our functions raise for a session that is not alive."""

_RETRIED = frozenset({"40001", "40P01"})

_UNAVAILABLE = {
    "25006": "the server is read-only, probably a standby; check target_session_attrs and the fail-over",
    "40001": "other sessions kept changing the same rows",
    "40P01": "other sessions kept locking the same rows",
    "53000": "the server is out of resources",
    "53100": "the server's disk is full; free some space, work then goes on by itself",
    "53200": "the server is out of memory",
    "53300": "the server has too many connections; raise max_connections or lower poolSize",
    "53400": "a limit of the server's configuration is exceeded",
    "55P03": "a lock was not to be had in time",
    "57014": "the statement took longer than statementTimeout, or was cancelled; try again, or raise it",
    "57P01": "the server shut the connection down",
    "57P02": "the server crashed and restarts",
    "57P03": "the server is starting up or shutting down",
    "57P05": "the server closed an idle connection",
    "DH002": "a session has too much to handle that was forwarded to it; try again",
    "XX000": "the server failed inside; see its log",
    "0A000": "the schema was made anew",
    "58030": "the server failed to read or write a file; see its log",
}

_NO_HUB = frozenset({"3F000", "42704", "42883", "42P01"})
"""Schema, type, function or table that does not exist."""

_REFUSED = {
    "28000": "the server refuses this user; check the user, pg_hba.conf and sslmode",
    "28P01": "the server refuses the password; check user and password of connectionString",
    "3D000": "the database does not exist; create it, or name another one in connectionString",
    "42501": "the user lacks a right; grant what the message names, or use another user",
    "54000": "an id or a name is too long to be indexed; application and instance id"
    " may have about 1 KiB each",
}


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what the driver and the operating system raise inside into `BackendError`s.

    Args:
        place: What `Backend.describe` returns.
    """
    try:
        yield
    except asyncpg.DataError as error:
        raise _unfit(place, error) from None  # the driver repeats values, which belong to the user
    except asyncpg.PostgresError as error:
        raise _translated(place, error) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise BackendUnavailableError(f"{place}: the connection is lost: {error}") from error
    except TimeoutError as error:
        raise BackendUnavailableError(f"{place}: the server did not answer in time") from error
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise BackendUnavailableError(
            f"{place}: the server can't be reached: {detail}; check that it runs there, and the network"
        ) from error


def is_to_be_retried(error: asyncpg.PostgresError) -> bool:
    """Whether the transaction was undone only because of others, so that it may be run again at once."""
    return error.sqlstate in _RETRIED


def is_outdated(error: Exception) -> bool:
    """Whether what a connection remembers of the schema may be wrong: it was dropped or made anew."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in _NO_HUB | {"0A000", "XX000"}
    return isinstance(error, asyncpg.OutdatedSchemaCacheError)


def _unfit(place: str, error: asyncpg.DataError) -> BackendError:
    if isinstance(error.__cause__, UnicodeEncodeError):
        return BackendError(
            f"{place}: a text holds a lone surrogate, which is no Unicode character and can't be"
            " stored; the whole call was refused"
        )
    return BackendError(f"{place}: a value does not fit ({error.sqlstate})")


def _translated(place: str, error: asyncpg.PostgresError) -> BackendError:
    code = error.sqlstate or ""
    if code == FENCED:
        return SessionFencedError(
            "the session is not alive in this task hub; nothing was written: register a new one"
        )
    if code in _NO_HUB:
        return TaskHubNotFoundError(
            f"{place} holds no task hub that this program knows ({code}); create it first"
        )
    if code in _UNAVAILABLE:
        return BackendUnavailableError(f"{place}: {_UNAVAILABLE[code]} ({code})")
    if code[:2] in {"08", "57"}:
        return BackendUnavailableError(f"{place}: the connection is lost ({code})")
    if code[:2] == "XX":
        return BackendCorruptionError(f"{place}: {error.args[0]} ({code})")
    hint = _REFUSED.get(code)
    return BackendError(f"{place}: {f'{hint}: ' if hint else ''}{error.args[0]} ({code})")

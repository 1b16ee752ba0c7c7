"""Where errors of Postgres, of its driver and of the network become errors of Durahub."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from durahub.errors import (
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
    TaskHubNotFoundError,
)

_RETRIED = frozenset({"40001", "40P01"})

_NO_STORE = frozenset({"3F000", "42883", "42P01"})
"""Schema, function or table that does not exist."""

_OWN = {
    "DH001": "a lease is unknown or has ended",
    "DH002": "the name of the lease has been used before",
}

_UNAVAILABLE = {
    "25006": "the server is read-only, probably a standby; check target_session_attrs and the fail-over",
    "40001": "others kept changing the same rows",
    "40P01": "others kept locking the same rows",
    "53100": "the server's disk is full; free some space, work then goes on by itself",
    "53300": "the server has too many connections; raise max_connections or lower maxConns",
    "55P03": "a lock was not to be had in time",
    "57014": "the statement took longer than timeout, or was cancelled; try again, or raise it",
    "57P01": "the server shut the connection down",
    "57P02": "the server crashed and restarts",
    "57P03": "the server is starting up or shutting down",
    "58030": "the server failed to read or write a file; see its log",
    "XX000": "the server failed inside; see its log",
    "0A000": "the schema was made anew",
}

_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")

_REFUSED = {
    "28000": "the server refuses this user; check the user, pg_hba.conf and sslmode",
    "28P01": "the server refuses the password; check user and password",
    "3D000": "the database does not exist; create it, or name another one",
    "42501": "the user lacks a right; grant what the message names, or use another user",
    "54000": "an id or a name is too long to be indexed; each may have about 1 KiB",
}


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what the driver and the operating system raise inside into `BackendError`s.

    Args:
        place: What `StateStore.describe` returns.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        # Never with the text: it belongs to the user.
        raise BackendError(
            f"{place}: a text holds a lone surrogate, which is no Unicode character and can't be"
            " stored; the whole call was refused"
        ) from error
    except asyncpg.DataError as error:
        message = f"{place}: a value does not fit ({error.sqlstate})"
        raise BackendError(message) from None  # the driver repeats values, which belong to the user
    except asyncpg.PostgresError as error:
        raise _translated(place, error) from error
    except asyncpg.ClientConfigurationError as error:
        # Never with the driver's words: they repeat parts of the connection string.
        message = f"{place}: connectionString can't be used: {type(error).__name__}"
        raise BackendError(message) from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise BackendUnavailableError(f"{place}: the connection is lost: {error}") from error
    except ssl.SSLError as error:
        detail = error.reason or type(error).__name__
        raise BackendError(f"{place}: no secure connection: {detail}; check sslmode") from error
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


def _translated(place: str, error: asyncpg.PostgresError) -> BackendError:
    code = error.sqlstate or ""
    if code in _OWN:
        kind = SessionFencedError if code == "DH001" else BackendError
        return kind(_OWN[code])
    if code in _NO_STORE:
        return TaskHubNotFoundError(f"{place} holds no state store; create it first ({code})")
    if code in _UNAVAILABLE or code.startswith(_UNAVAILABLE_CLASSES):
        reason = _UNAVAILABLE.get(code, "the server can't do it now")
        return BackendUnavailableError(f"{place}: {reason} ({code})")
    reason = _REFUSED.get(code, "the server refuses it")
    shown = f": {error}" if code == "42501" else ""
    return BackendError(f"{place}: {reason}{shown} ({code})")

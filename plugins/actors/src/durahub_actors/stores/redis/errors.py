"""The one place where errors of Redis, of its client and of the network become errors of Durahub."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from durahub.errors import BackendError, BackendUnavailableError, TaskHubNotFoundError
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_UNAVAILABLE = {
    "BUSY": "the server is busy with a script of somebody",
    "CLUSTERDOWN": "the cluster does not serve all its slots",
    "LOADING": "the server is loading its data",
    "MASTERDOWN": "the server is a replica that lost its primary",
    "MISCONF": "the server can't write to its disk; see its log",
    "NOREPLICAS": "the server has fewer replicas than its min-replicas-to-write",
    "OOM": "the server's memory is full (maxmemory); raise it or purge instances, work then goes on by itself",
    "READONLY": "the server is a replica; a fail-over is under way, or redisHost names the wrong server",
    "TRYAGAIN": "the cluster is moving slots",
    "MOVED": "the cluster keeps moving slots",
    "ASK": "the cluster is moving a slot that is needed; this goes on when it has arrived",
}

_REFUSED = {
    "NOAUTH": "the server wants a password: set redisPassword, and redisUsername if it has users",
    "NOPERM": "the user lacks a right: allow it all keys and commands of the task hub, see the how-to",
    "NOPASS": "the server has no password: remove redisPassword, or set one there",
    "WRONGPASS": "the server refuses the user or the password: check redisUsername and redisPassword",
}

_CODE = re.compile(rf"\b({'|'.join((*_UNAVAILABLE, *_REFUSED))})\b")


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what the client and the operating system raise inside into `BackendError`s.

    Args:
        place: What `StateStore.describe` returns.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise translate(place, error) from error
    except UnicodeEncodeError:
        # Never with the text: it belongs to the user.
        raise BackendError(
            f"{place}: a lone surrogate is no Unicode character and can't be stored"
        ) from None


def translate(place: str, error: Exception) -> BackendError:
    """Return what an error of the client or the operating system is for our callers."""
    if str(error).startswith("NOHUB"):
        return TaskHubNotFoundError(f"{place} holds no task hub; create it first")
    name = _find_code(error)
    if name in _REFUSED:
        return BackendError(f"{place}: {_REFUSED[name]} ({name})")
    if name in _UNAVAILABLE:
        return BackendUnavailableError(f"{place}: {_UNAVAILABLE[name]} ({name})")
    return _translate_network(place, error)


def _translate_network(place: str, error: Exception) -> BackendError:
    text = str(error)
    certificate = _find_tls_error(error)
    if certificate is not None:
        reason = certificate.reason or type(certificate).__name__
        return BackendError(
            f"{place}: no secure connection: {reason}; check enableTLS, caCert, clientCert and the"
            " server's certificate"
        )
    if isinstance(error, AuthenticationError | AuthorizationError):
        return BackendError(f"{place}: the server refuses user or password: {text}")
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return BackendUnavailableError(f"{place}: the server did not answer in time")
    if isinstance(error, RedisConnectionError | OSError):
        return BackendUnavailableError(
            f"{place}: the connection is lost or can't be made: {text.rstrip('.')};"
            " check that the server runs there, and the network"
        )
    return BackendError(f"{place}: {text}")


def _find_code(error: Exception) -> str | None:
    if not isinstance(error, ResponseError | RedisConnectionError):
        return None
    if "called without any password" in str(error):
        return "NOPASS"
    if "access a non local key" in str(error):
        return "ASK"
    # Older servers say what stopped a script inside of a longer text.
    found = _CODE.search(f"{error.status_code or ''} {error}")
    return found[1] if found else None


def _find_tls_error(error: BaseException | None) -> ssl.SSLError | None:
    # The client wraps what the operating system says, and its text alone does not tell.
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error

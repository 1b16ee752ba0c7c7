"""Calls of the management API of a sidecar."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlencode, urlsplit

from durahub.cli.failures import EXIT_FAILURE, CommandError
from durahub.cli.workflow.exits import RefusedError, UnreachableError

Document: TypeAlias = dict[str, Any]
"""A JSON object."""

Query: TypeAlias = Sequence[tuple[str, str]]

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_HTTP_PORT = 3500

_FIRST_FAILURE = 400
_HTTP_PORT, _HTTPS_PORT = 80, 443


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call got.

    Attributes:
        status: The HTTP status, below 400.
        document: The body.
    """

    status: int
    document: Document


class Api(Protocol):
    """Whatever answers calls of the management API."""

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """Make one call and return its answer.

        Args:
            method: GET, POST or PUT.
            path: From the root, percent-encoded.
            query: Names and values.
            body: The JSON object to send; None for none.
            timeout_s: How long to wait for the answer.

        Raises:
            RefusedError: The answer is a refusal.
            UnreachableError: There was no answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a sidecar's HTTP API is.

    Attributes:
        host: Name or address.
        port: Port.
        tls: How to trust it and who to be; None for plain HTTP.
        token: What it may want as API token.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files for connections with TLS.

    Attributes:
        ca: Certificates of the authorities to trust, instead of those of the system.
        certificate: Presented to sidecars that ask for one.
        key: Its key, if that is not in the same file.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is any."""
        return (self.ca or self.certificate or self.key) is not None

    def context(self) -> ssl.SSLContext:
        """Return what to trust and what to present.

        Raises:
            CommandError: A file can't be read, or holds something else.
        """
        if self.key is not None and self.certificate is None:
            raise CommandError("a key belongs to a certificate", exit_code=EXIT_FAILURE)
        file = self.ca
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                file = self.certificate
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # and its subclass SSLError
            raise CommandError(
                f"{file}: no certificates can be read: {error.strerror or error}",
                exit_code=EXIT_FAILURE,
            ) from error
        return context


NO_TLS_FILES = TlsFiles()


def parse_endpoint(url: str, *, token: str | None, tls: TlsFiles = NO_TLS_FILES) -> Endpoint:
    """Return the endpoint that a URL names.

    Args:
        url: Such as `https://sidecar.example:3500`; a path is not looked at.
        token: API token.
        tls: Used if the URL is one of https.

    Raises:
        CommandError: The text is no such URL, or a file can't be used.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise CommandError(
            f"{url!r} is no endpoint; write such as http://127.0.0.1:3500", exit_code=EXIT_FAILURE
        )
    is_tls = parts.scheme == "https"
    return Endpoint(
        host=parts.hostname,
        port=port or (_HTTPS_PORT if is_tls else _HTTP_PORT),
        tls=tls.context() if is_tls else None,
        token=token,
    )


class HttpApi:
    """The API at an endpoint. Each call has a connection of its own; threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Answer:
        """Make one call; see `Api`."""
        target = f"{path}?{urlencode(query)}" if query else path
        sent = None if body is None else json.dumps(body).encode()
        headers = {} if sent is None else {"content-type": "application/json"}
        if self._endpoint.token is not None:
            headers["dapr-api-token"] = self._endpoint.token
        connection = self._connect(timeout_s)
        try:
            connection.request(method, target, body=sent, headers=headers)
            response = connection.getresponse()
            return read_answer(response.status, response.read(), where=str(self._endpoint))
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"no answer from the sidecar at {self._endpoint}: {_reason(error)}"
            ) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._endpoint.host, self._endpoint.port
        if self._endpoint.tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        return http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=self._endpoint.tls
        )


def read_answer(status: int, body: bytes, *, where: str) -> Answer:
    """Return an answer.

    Args:
        status: Its HTTP status.
        body: Its body.
        where: Who answered, for messages.

    Raises:
        RefusedError: It is a refusal.
        UnreachableError: It is none of the management API.
    """
    try:
        document = json.loads(body) if body else {}
    except ValueError:
        document = None
    if status < _FIRST_FAILURE and isinstance(document, dict):
        return Answer(status=status, document=document)
    if status == http.HTTPStatus.UNAUTHORIZED:
        raise RefusedError(
            f"{where} does not accept the API token; it is taken from DAPR_API_TOKEN",
            status=status,
            code="",
        )
    if isinstance(document, dict) and "errorCode" in document:
        code = str(document["errorCode"])
        message = f"{document.get('message') or 'refused'} ({code})"
        raise RefusedError(message, status=status, code=code)
    raise UnreachableError(
        f"{where} answers, with HTTP status {status}, but not as a durahub sidecar does"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__

"""Certificates of both servers, and whose certificates they ask for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from durahub.errors import ConfigError, StartupError

CERT_FLAG, KEY_FLAG, CLIENT_CA_FLAG = "--tls-cert-file", "--tls-key-file", "--tls-client-ca-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files.

    Attributes:
        certificate: The server's certificate, followed by those between it and the root.
        key: Its key, without a passphrase.
        client_ca: Roots of the certificates that clients have to present; None asks for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def from_flags(cls, certificate: str, key: str, client_ca: str) -> TlsFiles | None:
        """Return the files that three flags name; None if all are empty.

        Raises:
            ConfigError: One is there without the others that it needs.
        """
        if not (certificate or key or client_ca):
            return None
        for flag, value in ((CERT_FLAG, certificate), (KEY_FLAG, key)):
            if not value:
                raise ConfigError(
                    "for TLS, a certificate and its key are both needed", location=flag
                )
        return cls(
            certificate=Path(certificate),
            key=Path(key),
            client_ca=Path(client_ca) if client_ca else None,
        )


@dataclass(frozen=True, slots=True)
class Pems:
    """What the files held when they were read; the key is in no `repr`."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None

    def __repr__(self) -> str:
        return "Pems(***)"


class Tls:
    """TLS of both servers. The certificate may be replaced while they run, the clients' roots may not."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            StartupError: A file can't be read, is no PEM file, or key and certificate do not belong
                together; with the flag.
        """
        self._files = files
        self.pems = _read(files)
        self.context = _context(files)

    @property
    def asks_clients(self) -> bool:
        """Whether clients have to present a certificate."""
        return self.pems.client_ca is not None

    def reread(self) -> Pems:
        """Return what the files hold now, which is known to be usable; use it with `replace`.

        Raises:
            StartupError: They can't be used any more, or the clients' roots have changed.
        """
        found = _read(self._files)
        _context(self._files)
        if found.client_ca != self.pems.client_ca:
            raise StartupError(f"{CLIENT_CA_FLAG}: other roots need a restart")
        return found

    def replace(self, pems: Pems) -> None:
        """Present another certificate on new connections; those that are open stay."""
        self.pems = pems
        self.context.load_cert_chain(self._files.certificate, self._files.key, _no_passphrase)


def _read(files: TlsFiles) -> Pems:
    return Pems(
        _bytes(files.certificate, CERT_FLAG),
        _bytes(files.key, KEY_FLAG),
        None if files.client_ca is None else _bytes(files.client_ca, CLIENT_CA_FLAG),
    )


def _bytes(path: Path, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"{flag}: cannot read {path}: {error.strerror}") from None


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, _no_passphrase)
    except (ssl.SSLError, OSError, ValueError):
        # The library's own text names a place in its source code.
        raise StartupError(
            f"{CERT_FLAG} and {KEY_FLAG}: {files.certificate} and {files.key} are no PEM certificate"
            " with its key, or the key needs a passphrase"
        ) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError):
            raise StartupError(
                f"{CLIENT_CA_FLAG}: {files.client_ca} has no PEM certificate"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_passphrase() -> NoReturn:
    # Otherwise the library would ask for it on the terminal.
    raise ValueError("the key needs a passphrase")

"""A relay that speaks TLS to clients and nothing to the server, whose build may have none."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class Authority(NamedTuple):
    """A certificate of an authority of the test's own, and one of each side that it signed."""

    ca: Path
    server: Path
    client: Path


def make_authority(directory: Path) -> Authority:
    """Make certificates; those of the sides are followed by their keys."""
    ca, key = directory / "ca.pem", directory / "ca.key"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=test", "-keyout", key, "-out", ca),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    return Authority(ca, *(_sign(directory, name, ca, key) for name in ("server", "client")))


def _sign(directory: Path, name: str, ca: Path, ca_key: Path) -> Path:
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate),
        *("-CA", ca, "-CAkey", ca_key, "-addext", "subjectAltName=DNS:localhost"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True)


@asynccontextmanager
async def tls_relay(port: int, authority: Authority) -> AsyncIterator[int]:
    """Yield a port that leads to another one, for clients with a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.load_cert_chain(authority.server)
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()

"""A way to the server that counts what clients send, and how often they wait."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .pooler import message


@dataclass
class Relay:
    server: str
    url: str
    round_trips: int = 0
    statements: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self.server)
        (size,) = struct.unpack("!I", head := await reader.readexactly(4))
        server_writer.write(head + await reader.readexactly(size - 4))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, server_writer))
                group.create_task(self._back(server_reader, writer))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            server_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            sent = await message(reader)
            # Query, Sync and Flush: after these a client waits.
            self.round_trips += sent[:1] in (b"Q", b"S", b"H")
            # Query and Execute.
            self.statements += sent[:1] in (b"Q", b"E")
            writer.write(sent)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await message(reader))


@asynccontextmanager
async def relay(url: str, directory: Path) -> AsyncIterator[Relay]:
    """Serve as `directory` until the end; `url` names the Unix socket of the real server."""
    parsed = urlsplit(url)
    host = parse_qs(parsed.query)["host"][0]
    made = Relay(
        f"{host}/.s.PGSQL.{parsed.port or 5432}",
        f"postgresql://postgres@/postgres?host={directory}",
    )
    async with asyncio.TaskGroup() as group:
        connections: list[asyncio.Task[None]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(group.create_task(made.serve(reader, writer)))

        serving = await asyncio.start_unix_server(accept, directory / ".s.PGSQL.5432")
        yield made
        serving.close()
        for connection in connections:
            connection.cancel()

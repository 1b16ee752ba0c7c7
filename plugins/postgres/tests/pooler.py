"""A connection pooler in transaction mode, as strict as the strictest of them.

A client gets another server connection for each transaction, so whatever it left on the last one is not
there. Startup parameters that would be state are refused, as pgbouncer does.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

ALLOWED = {"user", "database", "client_encoding", "application_name"}
SERVERS = 3

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Pooler:
    server: str
    free: deque[Streams] = field(default_factory=deque)
    greeting: bytes = b""
    transactions: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        startup = await reader.readexactly(size - 4)
        if struct.unpack("!I", startup[:4])[0] == 80877102:
            return  # a cancellation, which this pooler does not pass on
        texts = startup[4:].rstrip(b"\0").split(b"\0")
        asked = {name.decode() for name in texts[::2]}
        if asked - ALLOWED:
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter\0\0"
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
            return
        while not self.free:
            self.free.extend([await self._connect(startup) for _ in range(SERVERS)])
        writer.write(self.greeting)
        while True:
            first = await message(reader)
            if first[:1] == b"X":
                return
            server = self.free.popleft()
            self.transactions += 1
            await self._transaction(first, (reader, writer), server)
            self.free.append(server)

    async def _transaction(self, first: bytes, client: Streams, server: Streams) -> None:
        async def forward() -> None:
            while True:
                server[1].write(await message(client[0]))

        server[1].write(first)
        async with asyncio.TaskGroup() as group:
            forwarding = group.create_task(forward())
            while True:
                answer = await message(server[0])
                client[1].write(answer)
                if answer[:1] == b"Z" and answer[5:] == b"I":
                    break
            forwarding.cancel()

    async def _connect(self, startup: bytes) -> Streams:
        reader, writer = await asyncio.open_unix_connection(self.server)
        writer.write(struct.pack("!I", len(startup) + 4) + startup)
        greeting = b""
        while True:
            part = await message(reader)
            if part[:1] == b"K":
                part = b"K" + struct.pack("!III", 12, 4711, 4711)
            greeting += part
            if part[:1] == b"Z":
                self.greeting = greeting
                return reader, writer


async def message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!I", head[1:])
    return head + await reader.readexactly(size - 4)


@asynccontextmanager
async def pooler(server: str, directory: Path) -> AsyncIterator[Pooler]:
    """Serve as `directory` until the end; `server` is the socket of the real server."""
    made = Pooler(server)
    async with AsyncExitStack() as stack:
        path = directory / ".s.PGSQL.5432"
        serving = await asyncio.start_unix_server(made.serve, path)
        stack.callback(serving.close)
        yield made
        for _, writer in made.free:
            writer.close()

"""The ways between the hosts of the actors backend, which a test can cut while the store stays in reach."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.chaos.replicas import Replica

LISTENING = "127.0.0.1"
"""Where hosts listen for each other."""
ADVERTISED = "127.0.0.2"
"""Where hosts look for each other: the same port, and a relay behind it."""


class Network:
    """A relay in front of each host's internal port.

    Cut off is a host from both sides: nothing passes on what leads to it, and on what it has opened itself.
    Connections stay open, and who waits for an answer waits. What was sent meanwhile arrives afterwards.

    Args:
        replicas: The hosts, by internal port.

    Attributes:
        passed: How many bytes hosts have sent or got, by their numbers.
    """

    def __init__(self, replicas: Mapping[int, Replica]) -> None:
        self._replicas = replicas
        self._alone: Replica | None = None
        self._healed = asyncio.Event()
        self.passed: Counter[int] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Relay until the block ends."""
        async with asyncio.TaskGroup() as group:
            servers, connections = [], []
            for port, replica in self._replicas.items():

                def accept(
                    reader: asyncio.StreamReader,
                    writer: asyncio.StreamWriter,
                    port: int = port,
                    replica: Replica = replica,
                ) -> None:
                    relayed = self._relay(reader, writer, port, replica)
                    connections.append(group.create_task(relayed))

                servers.append(await asyncio.start_server(accept, ADVERTISED, port))
            try:
                yield
            finally:
                for server in servers:
                    server.close()
                for connection in connections:
                    connection.cancel()

    def cut_off(self, replica: Replica) -> None:
        """Let nothing pass between a host and the others."""
        self._healed.clear()
        self._alone = replica

    def heal(self) -> None:
        """Let everything pass again."""
        self._alone = None
        self._healed.set()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, to: Replica
    ) -> None:
        ends = (to, await asyncio.to_thread(self._owner, writer.get_extra_info("peername")[1]))
        try:
            there, back = await asyncio.open_connection(LISTENING, port)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, back, ends))
                group.create_task(self._copy(there, writer, ends))
        except* ConnectionError:
            pass
        finally:
            back.close()
            writer.close()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[Replica | None, ...],
    ) -> None:
        while data := await reader.read(65_536):
            while self._alone is not None and self._alone in ends:
                await self._healed.wait()
            self.passed.update({end.number: len(data) for end in ends if end is not None})
            writer.write(data)
            await writer.drain()
        writer.close()

    def _owner(self, port: int) -> Replica | None:
        """Return the host that has opened a connection, by its port; None if that has ended already."""
        link = f"socket:[{_inode(port)}]"
        for replica in self._replicas.values():
            if replica.is_up and link in _links(replica.sidecar.pid):
                return replica
        return None


def _inode(port: int) -> str:
    # A socket for both families is among those of the newer one.
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            columns = line.split()
            if int(columns[1].rpartition(":")[2], 16) == port:
                return columns[9]
    return ""


def _links(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        # Some have been closed since the list was made.
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found

"""The other hosts, as far as this one can reach them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from durahub_actors.cluster.transport import HostChannel, TlsFiles

log = logging.getLogger("durahub.actors.cluster")

CALL_S = 1.0
"""How long a host may take for a call. One that is silent for longer counts as unreachable."""
PING_S = 1.0
"""How long to wait for the answer to a ping, and how often a host that can't be reached is tried again."""
MOST_UNTOLD = 1000
"""Most hints that wait for a host; the oldest ones are dropped, because each is only a hint."""

PING, CALL, TELL, LEAVE = "Ping", "Call", "Tell", "Leave"


class HostUnreachableError(Exception):
    """A call was sent and no answer came: whether it was carried out is unknown."""


class HostBusyError(Exception):
    """A host did not carry out a call: others have its actors, or the call was never sent."""


@dataclass(slots=True)
class _Peer:
    name: str
    address: str
    channel: HostChannel
    is_up: bool = False
    untold: deque[bytes] = field(default_factory=lambda: deque(maxlen=MOST_UNTOLD))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    was_tried: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Peers:
    """Reaches other hosts, and knows which can't be reached.

    A host takes part once it has answered a ping, and no longer after a call that it did not answer, until
    it answers a ping again. Nobody ever waits for a connection. Its life is `start`, calls, `stop`.

    Args:
        token: What calls carry.
        tls: As of the server.
    """

    def __init__(self, token: bytes, tls: TlsFiles | None) -> None:
        self._token = token
        self._tls = tls
        self._peers: dict[str, _Peer] = {}
        self._group = asyncio.TaskGroup()
        self._greeting = b""

    async def start(self) -> None:
        """Be ready to meet hosts."""
        await self._group.__aenter__()

    async def stop(self) -> None:
        """Have nothing more to do with any host."""
        for name in list(self._peers):
            await self.forget(name)
        await self._group.__aexit__(None, None, None)

    @property
    def reachable(self) -> tuple[str, ...]:
        """Names of the hosts that answer."""
        return tuple(name for name, peer in self._peers.items() if peer.is_up)

    async def meet(self, hosts: Mapping[str, str], greeting: bytes) -> None:
        """Take notice of which other hosts there are, with their addresses; the others have left.

        Args:
            hosts: All of them.
            greeting: How this host introduces itself, in a ping.
        """
        self._greeting = greeting
        for name in [one for one, peer in self._peers.items() if hosts.get(one) != peer.address]:
            await self.forget(name)
        for name, address in hosts.items():
            self.greeted(name, address)

    def greeted(self, name: str, address: str) -> None:
        """Take notice of a host."""
        if name in self._peers or not self._greeting:
            return
        peer = _Peer(name, address, HostChannel(address, self._token, self._tls))
        peer.task = self._group.create_task(self._keep_company(peer))
        self._peers[name] = peer

    async def introduced(self) -> None:
        """Return when each host has learned of this one, unless it can't be reached; after `PING_S` at most.

        Who is known to a host is told what that host has to tell from then on.
        """
        try:
            async with asyncio.timeout(PING_S):
                for peer in list(self._peers.values()):
                    await peer.was_tried.wait()
        except TimeoutError:
            return

    async def forget(self, name: str, *, grace_s: float = 0.0) -> None:
        """Have nothing more to do with a host.

        Args:
            name: Which.
            grace_s: How long calls in progress may take; then they end without an answer.
        """
        peer = self._peers.pop(name, None)
        if peer is None:
            return
        peer.is_up = False
        peer.was_tried.set()
        if peer.task is not None:
            peer.task.cancel()
        await peer.channel.close(grace_s)

    async def part(self, greeting: bytes) -> None:
        """Tell all hosts that this one leaves, so that they ask it nothing more."""
        calls = [peer.channel.call(LEAVE, greeting, PING_S) for peer in self._peers.values()]
        await asyncio.gather(*calls, return_exceptions=True)

    async def call(self, host: str, request: bytes) -> bytes:
        """Return a host's answer to a call.

        Raises:
            HostBusyError: There is no connection, and nothing was sent.
            HostUnreachableError: No answer came.
        """
        peer = self._peers.get(host)
        if peer is None:
            raise HostBusyError(host)
        if not peer.channel.is_connected:
            self._lose(peer, "the connection was lost")
            raise HostBusyError(host)
        try:
            return await peer.channel.call(CALL, request, CALL_S)
        except grpc.aio.AioRpcError as error:
            self._lose(peer, error.details())
            raise HostUnreachableError(host) from error
        except asyncio.CancelledError:
            # Also how a call ends when its channel is closed; that does not cancel who waits for it.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise HostUnreachableError(host) from None

    def tell(self, hint: bytes) -> None:
        """Let all hosts have a hint, some time soon, perhaps never."""
        for peer in self._peers.values():
            # One that has not answered yet is told as soon as it does.
            peer.untold.append(hint)
            peer.wake.set()

    def _lose(self, peer: _Peer, reason: str | None) -> None:
        if peer.is_up:
            log.warning(
                "a host can't be reached; its actors are worked with here meanwhile",
                extra={"host": peer.name, "address": peer.address, "error": reason},
            )
        peer.is_up = False
        peer.wake.set()

    async def _keep_company(self, peer: _Peer) -> None:
        """Ping a host until it answers, then pass hints on, for as long as it does."""
        while True:
            try:
                if not peer.is_up:
                    await peer.channel.call(PING, self._greeting, PING_S)
                    peer.is_up = True
                    log.info("met a host", extra={"host": peer.name, "address": peer.address})
                peer.was_tried.set()
                await self._pass_on(peer)
            except grpc.aio.AioRpcError as error:
                self._lose(peer, error.details())
                peer.was_tried.set()
                await asyncio.sleep(PING_S)

    async def _pass_on(self, peer: _Peer) -> None:
        while peer.is_up:
            while peer.untold:
                await peer.channel.call(TELL, peer.untold.popleft(), CALL_S)
            peer.wake.clear()
            await peer.wake.wait()

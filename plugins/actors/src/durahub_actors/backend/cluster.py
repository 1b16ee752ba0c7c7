"""Workflows that belong to other hosts: who they are, asking them, and answering them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from durahub.backend import BackendServices
from durahub.errors import BackendCorruptionError, BackendError, BackendUnavailableError
from durahub.types import AppId, InstanceKey, SessionId

from durahub_actors.backend.sessions import HOST, Sessions
from durahub_actors.cluster import (
    HostBusyError,
    HostServer,
    HostUnreachableError,
    Peers,
    TlsFiles,
    place,
)
from durahub_actors.cluster.peers import CALL, CALL_S, LEAVE, PING, TELL
from durahub_actors.runtime import LeaseEndedError
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import ActorId, Save, StateStore
from durahub_actors.workflows import wire
from durahub_actors.workflows.steps import Answer, Budget, Step, Visit

log = logging.getLogger("durahub.actors.cluster")

TOKEN_ACTOR = ActorId("dapr.internal.hub", "hosts")
TOKEN_KEY = "token"  # noqa: S105 - the name of a key

Steps = Mapping[ActorId, Sequence[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a host does when another one calls.

    Attributes:
        answer: Carries out steps; raises `HostBusyError` if it did nothing, otherwise as `Runtime.call`.
        hear: Passes a hint to the sessions of this process.
        run: Carries a call out to its end, even if the caller gives up.
    """

    answer: Callable[[wire.Call], Awaitable[list[Answer]]]
    hear: Callable[[wire.Told], None]
    run: Callable[[Callable[[], Awaitable[bytes]]], Awaitable[bytes]]


@dataclass(slots=True, kw_only=True)
class _Running:
    server: HostServer
    peers: Peers
    address: str


class _Greeting(msgspec.Struct, array_like=True, frozen=True):
    name: str
    address: str


_greeting = msgspec.msgpack.Decoder(_Greeting)


class Cluster:
    """The hosts of a task hub, as one of them sees the others. Its life is `start`, calls, `stop`.

    Where an actor belongs is a matter of speed only. If its host can't be reached, or does not know that it
    is its host, the actor is worked with where it is needed, and the store sees to it that of two who do so
    only one saves.

    Args:
        settings: Where to listen.
        store: Tells who lives, and holds the token.
        sessions: Knows the name of this host.
        services: The host's.
    """

    def __init__(
        self,
        settings: ActorsSettings,
        store: StateStore,
        sessions: Sessions,
        services: BackendServices,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sessions = sessions
        self._services = services
        self._running: _Running | None = None
        self._starting = asyncio.Lock()

    async def start(self, duties: Duties) -> None:
        """Listen for other hosts, if several can use the store and this one does not yet.

        Raises:
            StartupError: The address can't be used.
        """
        if not self._store.is_shared:
            return
        async with self._starting:
            if self._running is None:
                self._running = await self._listen(duties)
                self._sessions.address = self._running.address

    async def stop(self) -> None:
        """Say goodbye, give calls in progress some time, and end."""
        running, self._running = self._running, None
        if running is not None:
            await running.peers.part(self._greeting(running))
            await running.server.stop()
            await running.peers.stop()

    async def meet(self) -> None:
        """Take notice of which hosts there are."""
        running = self._running
        if running is None:
            return
        ours = self._sessions.host
        hosts = {
            lease.name: lease.data.decode()
            for lease in await self._store.leases()
            if lease.name.startswith(HOST) and lease.name != ours and lease.data
        }
        if self._running is running:
            await running.peers.meet(hosts, self._greeting(running))

    async def introduced(self) -> None:
        """Return when the hosts that were met have learned of this one, as far as they can be reached."""
        if self._running is not None:
            await self._running.peers.introduced()

    def tell(
        self,
        due: Collection[AppId],
        changed: Collection[InstanceKey],
        forwarded_to: SessionId | None = None,
    ) -> None:
        """Tell all other hosts what sessions may want to know."""
        if self._running is not None and (due or changed or forwarded_to):
            told = wire.Told(list(due), list(changed), forwarded_to)
            self._running.peers.tell(wire.encode(told))

    def elsewhere(self, actors: Collection[ActorId]) -> dict[str, list[ActorId]]:
        """Return those of the actors that belong to hosts that can be reached, by host."""
        running = self._running
        others = () if running is None else running.peers.reachable
        if not others:
            return {}
        ours = self._sessions.host
        hosts = (*others, ours)
        found: dict[str, list[ActorId]] = {}
        for actor in actors:
            host = place(actor, hosts)
            if host != ours:
                found.setdefault(host, []).append(actor)
        return found

    async def ask(self, host: str, steps: Steps, visit: Visit, budget: Budget) -> list[Answer]:
        """Return a host's answers, in the order of the steps.

        Raises:
            HostBusyError: Nothing was done; do it here.
            LeaseEndedError: As `Runtime.call`.
            BackendUnavailableError: Also if no answer came.
            BackendError: As the host raised it.
        """
        running = self._running
        if running is None:
            # This host has just left the others.
            raise HostBusyError(host)
        call = wire.Call(
            wire.FORMAT,
            visit.app_id,
            visit.lease,
            visit.host,
            visit.now,
            budget.instances,
            budget.activities,
            wire.tasks_of(steps, visit.owned, visit.settled),
        )
        try:
            data = await running.peers.call(host, wire.encode(call))
        except HostUnreachableError as error:
            raise BackendUnavailableError(
                f"host {host} of the actors backend did not answer; from now on its work is done here"
            ) from error
        reply = wire.decode_reply(data)
        if reply.problem:
            raise _error_of(reply)
        return wire.answers_of(reply)

    async def _listen(self, duties: Duties) -> _Running:
        settings, tls = self._settings, None
        if settings.internal_tls is not None:
            tls = TlsFiles(**dict(settings.internal_tls))
        token = await self._token()
        peers = Peers(token, tls)

        async def call(request: bytes) -> bytes:
            return await duties.run(lambda: _reply(duties, request))

        async def tell(request: bytes) -> bytes:
            duties.hear(wire.decode_told(request))
            return b""

        async def ping(request: bytes) -> bytes:
            greeting = _greeting.decode(request)
            peers.greeted(greeting.name, greeting.address)
            return b""

        async def leave(request: bytes) -> bytes:
            # It still answers what it was asked before.
            await peers.forget(_greeting.decode(request).name, grace_s=CALL_S)
            return b""

        server = HostServer({CALL: call, TELL: tell, PING: ping, LEAVE: leave}, token, tls)
        port = await server.start(
            settings.internal_address, self._services.internal_grpc_port or settings.internal_port
        )
        await peers.start()
        address = settings.advertised_address or settings.internal_address
        log.info("waiting for other hosts", extra={"address": address, "port": port})
        shown = f"[{address}]" if ":" in address else address
        return _Running(server=server, peers=peers, address=f"{shown}:{port}")

    async def _token(self) -> bytes:
        """Return the token of all hosts of the hub, after making one if there is none."""
        save = Save(
            actor=TOKEN_ACTOR,
            expected=None,
            etag="1",
            put={TOKEN_KEY: secrets.token_hex(32).encode()},
        )
        (state,) = await self._store.read([TOKEN_ACTOR], keys=(TOKEN_KEY,))
        if state is None:
            await self._store.write([save])
            (state,) = await self._store.read([TOKEN_ACTOR], keys=(TOKEN_KEY,))
        if state is None:
            raise BackendCorruptionError(f"{self._store.describe()} does not keep what is saved")
        return state.values[TOKEN_KEY]

    def _greeting(self, running: _Running) -> bytes:
        return msgspec.msgpack.encode(_Greeting(self._sessions.host, running.address))


async def _reply(duties: Duties, request: bytes) -> bytes:
    try:
        call = wire.decode_call(request)
        reply = wire.reply_of(await duties.answer(call))
    except HostBusyError:
        reply = wire.Reply(wire.BUSY)
    except LeaseEndedError as error:
        reply = wire.Reply(wire.LEASE, str(error))
    except BackendUnavailableError as error:
        reply = wire.Reply(wire.UNAVAILABLE, str(error))
    except BackendCorruptionError as error:
        reply = wire.Reply(wire.DAMAGED, str(error))
    except BackendError as error:
        reply = wire.Reply(wire.FAILED, str(error))
    return wire.encode(reply)


def _error_of(reply: wire.Reply) -> Exception:
    kinds: dict[str, type[Exception]] = {
        wire.BUSY: HostBusyError,
        wire.LEASE: LeaseEndedError,
        wire.UNAVAILABLE: BackendUnavailableError,
        wire.DAMAGED: BackendCorruptionError,
    }
    return kinds.get(reply.problem, BackendError)(reply.message)

"""Several hosts of the actors backend in one process, over one store, with real gRPC between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from durahub.backend import BackendServices, ClaimedInstance, CreateInstance, Operation, Result
from durahub.testing import ManualClock
from durahub.types import SessionId
from durahub_actors.backend import ActorsBackend
from durahub_actors.backend.cluster import Cluster
from durahub_actors.cluster import Peers, place
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import MemoryState, MemoryStateStore, Save, SaveResult
from durahub_actors.workflows.names import Names

from core.tests.engine.hub import until
from tests.making import Make

MANY = 1000


class WatchedStore(MemoryStateStore):
    """Remembers which instances its host has saved."""

    def __init__(self, state: MemoryState) -> None:
        super().__init__(state)
        self.saved: list[str] = []

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        self.saved += [save.actor.id for save in saves if save.etag is not None]
        return await super().write(saves)


class Host:
    """One host with one session.

    Attributes:
        state: What all hosts share.
        clock: The store's.
        store: This host's way to the state.
        session: For which its calls are made.
    """

    def __init__(self, state: MemoryState, clock: ManualClock, name: str, **settings: Any) -> None:
        self.state = state
        self.clock = clock
        self.store = WatchedStore(state)
        self.session = SessionId(name)
        self.backend = ActorsBackend(ActorsSettings.model_validate(settings), self.store)

    async def start(self, life_s: float = 3600) -> None:
        await self.backend.open(BackendServices(clock=self.clock))
        await self.backend.create_hub()
        await self.backend.register(Make.registration(self.session, life_s=life_s))

    @property
    def name(self) -> str:
        assert self.backend._opened is not None
        return self.backend._opened.core.sessions.host

    @property
    def cluster(self) -> Cluster:
        assert self.backend._opened is not None
        return self.backend._opened.core.cluster

    @property
    def peers(self) -> Peers:
        assert self.cluster._running is not None
        return self.cluster._running.peers

    @property
    def address(self) -> str:
        assert self.cluster._running is not None
        return self.cluster._running.address

    async def be_unreachable(self) -> None:
        """Close the port, as a network that lets nobody through would; the store is there."""
        assert self.cluster._running is not None
        await self.cluster._running.server.stop(0)

    async def do(self, *operations: Operation) -> tuple[Result, ...]:
        return (await self.backend.apply(self.session, operations)).results

    async def claim(self) -> list[ClaimedInstance]:
        return list((await self.backend.claim_instances(self.session, MANY)).instances)


@asynccontextmanager
async def hosts(*names: str, **settings: Any) -> AsyncIterator[list[Host]]:
    """Run hosts that have met each other."""
    state, clock = MemoryState(), ManualClock()
    started = [Host(state, clock, name, **settings) for name in names]
    try:
        for host in started:
            await host.start()
        await have_met(started)
        yield started
    finally:
        for host in started:
            await host.backend.close()


async def have_met(all_of_them: Sequence[Host]) -> None:
    """Return when each host reaches each other one, and nobody else."""

    def met(host: Host) -> bool:
        others = {one.name for one in all_of_them if one is not host}
        return set(host.peers.reachable) == others

    await until(lambda: all(map(met, all_of_them)))


def creations(ids: Iterable[str]) -> list[CreateInstance]:
    return [Make.creation(one) for one in ids]


def placed(ids: Iterable[str], among: Sequence[Host]) -> dict[Host, set[str]]:
    """Return which host each instance belongs to, as all hosts should see it."""
    by_name = {host.name: host for host in among}
    found: dict[Host, set[str]] = {host: set() for host in among}
    for one in ids:
        actor = Names().actor_of(Make.key(one))
        found[by_name[place(actor, by_name)]].add(one)
    return found

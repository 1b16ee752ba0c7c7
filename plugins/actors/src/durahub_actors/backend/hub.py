"""A task hub that is open: everything that works with one state store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from durahub.backend import BackendServices
from durahub.errors import BackendError

from durahub_actors.backend.applying import Applier
from durahub_actors.backend.claims import Claims
from durahub_actors.backend.clock import StoreClock
from durahub_actors.backend.cluster import Cluster
from durahub_actors.backend.core import Core
from durahub_actors.backend.forwarding import Forwarding
from durahub_actors.backend.outbox import Outbox
from durahub_actors.backend.reading import Reader
from durahub_actors.backend.sessions import Sessions, session_of
from durahub_actors.runtime import ActorLocks, GroupWriter, Runtime
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import Lease, StateStore
from durahub_actors.workflows.behaviour import Workflows
from durahub_actors.workflows.names import Names

log = logging.getLogger("durahub.actors")

IDLE_S = 60.0
"""After how many seconds without use a workflow leaves memory."""

FLUSH_DELAY_S = 0.05
"""How long what has been delivered waits for another write to come along, before it is removed by itself."""


class Hub:
    """One of each of what works with a store; made when the backend is opened.

    Args:
        store: The store, open.
        services: The host's.
        workflows: Names of actors.
        settings: From the configuration.
        owner: A name of this process that no other ever has.
        spawn: Carries out a call for which nobody waits.

    Attributes:
        core: What all share.
        claims: Takes what is due.
        applier: Carries out batches.
        forwarding: Carries what sessions hand to each other.
        reader: Reads.
    """

    def __init__(
        self,
        store: StateStore,
        services: BackendServices,
        workflows: Names,
        settings: ActorsSettings,
        owner: str,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        clock = StoreClock(services.clock)
        sessions = Sessions(store, clock, workflows)
        writer = GroupWriter(store, lambda: spawn(self._flush_soon))
        self._outbox = Outbox(store, writer, workflows, lambda: sessions.host)
        behaviour = Workflows(workflows, owner)
        self.core = Core(
            store=store,
            writer=writer,
            runtime=Runtime(store, behaviour, writer, clock.monotonic_s),
            locks=ActorLocks(),
            names=workflows,
            clock=clock,
            sessions=sessions,
            services=services,
            cluster=Cluster(settings, store, sessions, services),
            settled=self._outbox.settled,
        )
        self.claims = Claims(self.core)
        self.applier = Applier(self.core, self.claims, self._outbox)
        self.forwarding = Forwarding(self.core)
        self.reader = Reader(store, workflows)

    async def tend(self, ended: tuple[Lease, ...]) -> None:
        """Do what is to be done from time to time: deliver what others left, tidy up, let the idle go.

        Args:
            ended: Sessions that were found dead.
        """
        self.core.runtime.deactivate(IDLE_S)
        try:
            await self.core.cluster.meet()
            await self.forwarding.discard(session_of(lease) for lease in ended)
            await self._outbox.catch_up(self.applier.deliver)
            await self.core.writer.flush()
        except BackendError:
            log.warning("what is on its way will be delivered later", exc_info=True)

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_DELAY_S)
        try:
            await self.core.writer.flush()
        except BackendError:
            log.debug("what has been delivered is removed later", exc_info=True)

    async def part(self) -> None:
        """Answer other hosts no more, and ask them nothing; what is in progress may finish."""
        await self.core.cluster.stop()

    async def leave(self) -> None:
        """Give up what this process holds; never raises for a lost store."""
        try:
            await self.core.writer.flush()
            await self.core.sessions.leave()
        except BackendError:
            log.warning("could not sign off from the store", exc_info=True)

    async def forget(self) -> None:
        """Forget everything: the task hub has been deleted, and the token of its hosts with it."""
        await self.core.cluster.stop()
        self.core.runtime.forget()
        self.core.sessions.forget()
        self._outbox.forget()

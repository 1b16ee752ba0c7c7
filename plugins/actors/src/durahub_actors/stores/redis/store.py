"""The state store on Redis and Valkey, `state.redis`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime

from durahub.backend import SchemaStatus
from durahub.clock import Clock
from durahub.errors import BackendError
from redis.asyncio import Redis

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.redis import actors as state
from durahub_actors.stores.redis import reminders, schema
from durahub_actors.stores.redis.cluster import Cluster
from durahub_actors.stores.redis.connecting import Connector, make_tls_context
from durahub_actors.stores.redis.errors import translate_errors
from durahub_actors.stores.redis.examination import examine
from durahub_actors.stores.redis.hub import Hub, parse_time
from durahub_actors.stores.redis.keys import slot_of
from durahub_actors.stores.redis.nodes import Node, Servers, SingleServer
from durahub_actors.stores.redis.register import LeaseRegister
from durahub_actors.stores.redis.scripts import load_scripts
from durahub_actors.stores.redis.settings import RedisSettings
from durahub_actors.stores.saves import ActorId, ReminderId, Save, SaveResult
from durahub_actors.stores.views import ActorState, DueReminders, MarkedActor


class RedisStateStore(StateStore):
    """Keeps actors in Redis or Valkey: one server, one behind sentinels, or a cluster.

    The clock is the servers': of leases that of the one with the first bucket, of a reminder that of the one
    with its home. In a cluster a reminder is found late or early by what these clocks differ.

    Args:
        settings: Where, and how to connect.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._hub = Hub(settings.task_hub, settings.place)
        self._register = LeaseRegister(self._hub)
        self._is_open = False
        self._is_durable = True

    @property
    def is_durable(self) -> bool:
        """Whether the servers keep a file, as far as they let us know; True before `open`."""
        return self._is_durable

    @property
    def is_shared(self) -> bool:
        """Yes."""
        return True

    def describe(self) -> str:
        """Return addresses, database and task hub."""
        return self._settings.place

    async def open(self, clock: Clock) -> None:
        """Connect, and look whether the servers will do."""
        if self._is_open:
            raise BackendError(f"{self.describe()} is open already")
        await asyncio.to_thread(load_scripts)
        self._hub.attach(await self._find_servers())
        try:
            async with self._hub.lend_primaries() as nodes:
                self._is_durable = await examine(
                    nodes, self.describe(), is_cluster=self._settings.redis_type == "cluster"
                )
            await schema.require_known(self._hub)
        except BaseException:
            await self._hub.detach()
            raise
        self._is_open = True

    async def close(self) -> None:
        """Wait for calls in progress and close all connections."""
        self._is_open = False
        await self._hub.detach()

    async def create(self) -> None:
        """Create the task hub."""
        await schema.require_known(self._hub)
        await schema.create(self._hub)

    async def delete(self) -> None:
        """Remove all keys of the task hub."""
        await schema.delete(self._hub)

    async def status(self) -> SchemaStatus:
        """Return which schema version is there."""
        return await schema.status(self._hub)

    async def now(self) -> datetime:
        """Return the clock of the server with the first bucket."""
        (time,) = await self._hub.run([self._hub.bare_call(0, "TIME")])
        return parse_time(*time)

    # Actors

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        """Carry out saves, in one trip to each server."""
        with translate_errors(self.describe()):
            return await state.write(self._hub, saves)

    async def read(
        self, actors: Sequence[ActorId], *, keys: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> tuple[ActorState | None, ...]:
        """Return values of actors, in one trip to each server."""
        with translate_errors(self.describe()):
            return await state.read(self._hub, actors, keys, prefixes)

    async def marked(
        self,
        actor_type: str,
        index: str,
        *,
        after: tuple[int, str] | None,
        limit: int,
        key: str,
    ) -> tuple[MarkedActor, ...]:
        """Return actors by rank, in two or three trips to each server."""
        with translate_errors(self.describe()):
            return await state.find_marked(self._hub, actor_type, index, after, limit, key)

    # Reminders

    async def due(self, queue: str, limit: int) -> DueReminders:
        """Return what is due and held by nobody; one trip to each server if nothing is, else two or three."""
        return await reminders.find_due(self._hub, queue, limit)

    async def held(self, lease: str) -> tuple[ReminderId, ...]:
        """Return the reminders that a lease holds."""
        return await reminders.find_held(self._hub, lease)

    async def held_labels(self, queue: str) -> Mapping[str, int]:
        """Return how many reminders of a queue are held, by label."""
        return await reminders.count_labels(self._hub, queue)

    async def reminders(self, home: ActorId) -> tuple[ReminderId, ...]:
        """Return the reminders of an actor."""
        return await reminders.find_reminders(self._hub, home)

    # Leases

    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known to all buckets, and end others that are overdue."""
        return await self._register.acquire(lease)

    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Renew leases, in one trip to one server unless there is one to end."""
        return await self._register.renew(names)

    async def release(self, name: str) -> None:
        """End a lease in all buckets."""
        await self._register.release(name)

    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that live."""
        return await self._register.list()

    async def _find_servers(self) -> Servers:
        settings = self._settings
        context: ssl.SSLContext | None = None
        if settings.enable_tls:
            try:
                context = await asyncio.to_thread(make_tls_context, settings)
            except ssl.SSLError as error:
                raise BackendError(
                    f"{self.describe()}: caCert, clientCert or clientKey is no PEM, or they do not match"
                ) from error
        connector = Connector(settings, context)
        # A connection, and as many answers as a call waits for one after the other.
        patience_s = settings.dial_timeout + 2 * settings.read_timeout
        if settings.redis_type == "cluster":
            slots = [slot_of(tag) for tag in self._hub.tags]
            return Cluster(
                connector, settings.addresses, slots, most=settings.pool_size, patience_s=patience_s
            )
        sentinels: Sequence[Redis] = ()
        if settings.failover:
            client, sentinels = connector.connect_to_primary()
        else:
            client = connector.connect_to(*settings.addresses[0])
        return SingleServer(Node(client, most=settings.pool_size, patience_s=patience_s), sentinels)

"""The store: each call is one statement, which is one transaction and one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from durahub.backend import SchemaStatus
from durahub.clock import Clock, from_micros
from durahub.errors import BackendError

from durahub_actors.stores.contract import StateStore
from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.postgresql import queries
from durahub_actors.stores.postgresql.batch import to_parameters, to_results, to_rounds
from durahub_actors.stores.postgresql.connections import Connections
from durahub_actors.stores.postgresql.errors import translate_errors
from durahub_actors.stores.postgresql.schema import (
    SCHEMA_VERSION,
    drop,
    find_version,
    in_schema,
    upgrade,
)
from durahub_actors.stores.postgresql.settings import PostgresStoreSettings
from durahub_actors.stores.saves import ActorId, ReminderId, Save, SaveResult
from durahub_actors.stores.views import ActorState, DueReminders, MarkedActor


class PostgresStateStore(StateStore):
    """Keeps actors in a schema of a PostgreSQL database, whose clock is the store's.

    Args:
        settings: Where, and how.
    """

    def __init__(self, settings: PostgresStoreSettings) -> None:
        self._schema = settings.schema
        self._place = settings.place
        self._connections = Connections(settings, settings.place)

    @property
    def is_durable(self) -> bool:
        """Yes, as far as the server is."""
        return True

    @property
    def is_shared(self) -> bool:
        """Yes."""
        return True

    def describe(self) -> str:
        """Return host, database and schema."""
        return self._place

    async def open(self, clock: Clock) -> None:
        """Connect to the server; its clock is used, not this one."""
        if self._connections.is_open:
            raise BackendError(f"{self._place} is open already")
        await self._connections.open()

    async def close(self) -> None:
        """Wait for calls in progress and disconnect."""
        await self._connections.close()

    async def create(self) -> None:
        """Create the schema in one transaction, or bring it up to date."""
        async with self._connections.transaction() as connection:
            await upgrade(connection, self._schema, self._place)
        await self._connections.forget()

    async def delete(self) -> None:
        """Drop the schema in one transaction."""
        async with self._connections.transaction() as connection:
            await drop(connection, self._schema, self._place)
        await self._connections.forget()

    async def status(self) -> SchemaStatus:
        """Return the version in the database."""
        async with self._connections.transaction() as connection:
            found = await find_version(connection, self._schema, self._place)
        return SchemaStatus(found, SCHEMA_VERSION)

    async def now(self) -> datetime:
        """Return the server's time."""
        rows = await self._connections.call(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        )
        return from_micros(rows[0][0])

    # Actors

    async def write(self, saves: Sequence[Save]) -> tuple[SaveResult, ...]:
        """Carry out saves in one transaction; in as many as the most that are about one actor."""
        results: dict[int, SaveResult] = {}
        for places in to_rounds(saves) or [[]]:
            chosen = [saves[place] for place in places]
            with translate_errors(self._place):
                parameters = to_parameters(chosen)
            rows = await self._call(queries.WRITE, *parameters)
            if chosen:
                results.update(zip(places, to_results(chosen, rows[0]), strict=True))
        return tuple(results[place] for place in range(len(saves)))

    async def read(
        self, actors: Sequence[ActorId], *, keys: Sequence[str] = (), prefixes: Sequence[str] = ()
    ) -> tuple[ActorState | None, ...]:
        """Return values of actors, all of one moment."""
        types, ids = [actor.type for actor in actors], [actor.id for actor in actors]
        rows = await self._call(queries.READ, *map(self._encoded, (types, ids, keys, prefixes)))
        return queries.to_states(len(actors), rows)

    async def marked(
        self,
        actor_type: str,
        index: str,
        *,
        after: tuple[int, str] | None,
        limit: int,
        key: str,
    ) -> tuple[MarkedActor, ...]:
        """Return actors by rank, with a value of the same moment."""
        rank, actor_id = after or (-1, "")
        texts = self._encoded((actor_type, index, actor_id, key))
        rows = await self._call(queries.MARKED, texts[0], texts[1], rank, texts[2], limit, texts[3])
        return tuple(MarkedActor(id=row[0].decode(), rank=row[1], value=row[2]) for row in rows)

    # Reminders

    async def due(self, queue: str, limit: int) -> DueReminders:
        """Return what is due and held by nobody."""
        rows = await self._call(queries.DUE, *self._encoded([queue]), limit + 1)
        return queries.to_due(limit, rows)

    async def held(self, lease: str) -> tuple[ReminderId, ...]:
        """Return the reminders that a lease holds."""
        return queries.to_reminder_ids(await self._call(queries.HELD, *self._encoded([lease])))

    async def held_labels(self, queue: str) -> Mapping[str, int]:
        """Return how many reminders of a queue are held, by label."""
        rows = await self._call(queries.LABELS, *self._encoded([queue]))
        return {row[0].decode(): row[1] for row in rows}

    async def reminders(self, home: ActorId) -> tuple[ReminderId, ...]:
        """Return the reminders of an actor."""
        rows = await self._call(queries.REMINDERS, *self._encoded(home))
        return tuple(ReminderId(home, row[0].decode()) for row in rows)

    # Leases

    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known, and end what is overdue."""
        (name,) = self._encoded([lease.name])
        time_to_live = lease.time_to_live // queries.MICROSECOND
        return queries.to_beat(await self._call(queries.ACQUIRE, name, time_to_live, lease.data))

    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Renew leases, and end what else is overdue."""
        return queries.to_beat(await self._call(queries.RENEW, self._encoded(names)))

    async def release(self, name: str) -> None:
        """End a lease and free what it held."""
        await self._call(queries.RELEASE, *self._encoded([name]))

    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that live."""
        return tuple(queries.to_lease(*row) for row in await self._call(queries.LEASES))

    async def _call(self, statement: str, *parameters: object) -> list[Any]:
        return await self._connections.call(in_schema(self._schema, statement), *parameters)

    def _encoded(self, texts: Sequence[str]) -> list[bytes]:
        with translate_errors(self._place):
            return [text.encode() for text in texts]

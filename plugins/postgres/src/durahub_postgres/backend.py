"""The backend: each method of the contract as one call to the database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import asyncpg
from durahub.backend import (
    NATIVE,
    NO_ROOM,
    ActivityTask,
    Applied,
    Backend,
    BackendServices,
    Capabilities,
    EndedInstances,
    EndedQuery,
    Envelope,
    Heartbeat,
    Hint,
    InstanceClaims,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceView,
    Migration,
    Operation,
    Room,
    SchemaStatus,
    Session,
    Support,
    SupportLevel,
    WorkDue,
)
from durahub.errors import BackendError, SchemaVersionError, TaskHubNotFoundError
from durahub.types import InstanceKey, SessionId, TaskKey

from durahub_postgres import admin, queries, schema
from durahub_postgres.answers import applied_of, claims_of, tasks_of
from durahub_postgres.batch import Batch
from durahub_postgres.connections import Connections
from durahub_postgres.listening import listen
from durahub_postgres.sessions import beat_of, register_parameters
from durahub_postgres.settings import PostgresSettings
from durahub_postgres.text import from_stored, to_stored

CAPABILITIES = Capabilities(durable=NATIVE, multi_process=NATIVE, hints=NATIVE, limits=NATIVE)
"""What a database provides."""

SILENT_CAPABILITIES = Capabilities(
    durable=NATIVE,
    multi_process=NATIVE,
    hints=Support(SupportLevel.NONE, "the configuration says `notifications: off`"),
    limits=NATIVE,
)
"""Likewise with `notifications: off`."""

_APPLY = "SELECT * FROM {hub}.apply(" + ", ".join(f"${n}" for n in range(1, 20)) + ")"  # noqa: S608 - made of constants


class PostgresBackend(Backend):
    """Keeps one task hub in one schema of a Postgres database, for any number of processes."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._name = f"durahub {uuid.uuid4().hex[:12]}"
        self._place = schema.Hub(settings.schema_name, settings.place)
        self._connections: Connections | None = None
        self._version: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What of the optional parts this backend provides."""
        return SILENT_CAPABILITIES if self._settings.notifications == "off" else CAPABILITIES

    def describe(self) -> str:
        """Return which server, database and schema it is; never a user or a password."""
        return self._place.place

    @property
    def session_time_to_live(self) -> timedelta:
        """How long a session may be silent, as the settings say."""
        return timedelta(seconds=self._settings.session_time_to_live)

    # Life cycle

    async def open(self, services: BackendServices) -> None:
        """Connect, and look at what is there."""
        if self._connections is not None:
            raise BackendError(f"{self.describe()} is open already")
        connections = Connections(self._settings, self._place, self._name)
        await connections.open()
        try:
            async with connections.lend() as connection:
                self._version = await schema.find_version(connection, self._place)
            schema.require_known(self._place, self._version)
        except BaseException:
            await connections.close()
            raise
        self._connections = connections

    async def close(self) -> None:
        """Wait for calls in progress and close all connections."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    async def create_hub(self) -> None:
        """Create the schema, or bring an older one up to date; with `autoMigrate: false` only check it.

        Raises:
            TaskHubNotFoundError: There is none, and `autoMigrate` is off.
            SchemaVersionError: It is newer than this program; or older, and `autoMigrate` is off.
        """
        if not self._settings.auto_migrate:
            await self._check_version()
            return
        await self.migrate(lambda _: None)

    async def delete_hub(self) -> None:
        """Drop the schema with all that is in it."""
        async with self._opened().lend() as connection:
            await schema.drop(connection, self._place)
        self._version = None
        await self._opened().forget()

    async def schema_status(self) -> SchemaStatus:
        """Return which version the schema has."""
        async with self._opened().lend() as connection:
            return await schema.status(connection, self._place)

    async def pending_migrations(self) -> tuple[Migration, ...]:
        """Return the migrations that the schema lacks, with their SQL."""
        async with self._opened().lend() as connection:
            pending = await schema.find_pending(connection, self._place)
        return await asyncio.to_thread(self._described, pending)

    async def migrate(self, report: Callable[[str], None]) -> None:
        """Create the schema, or bring an older one up to date, also with `autoMigrate: false`."""
        while (done := await self._migrate_next()) is not None:
            await self._opened().forget()
            report(done.name)
        self._version = schema.current_version()

    async def grant_reader(self, role: str) -> None:
        """Let a role read the views; one that does not exist is created, without a login of its own."""
        async with self._opened().lend() as connection:
            await admin.grant_reader(connection, self._place, role)

    async def _migrate_next(self) -> schema.Migration | None:
        async with self._opened().lend() as connection:
            return await schema.migrate_next(connection, self._place)

    def _described(self, pending: tuple[schema.Migration, ...]) -> tuple[Migration, ...]:
        return tuple(Migration(one.name, schema.script_of(one, self._place)) for one in pending)

    async def _check_version(self) -> None:
        found = (await self.schema_status()).found
        current = schema.current_version()
        if found is None:
            raise TaskHubNotFoundError(
                f"{self.describe()} holds no task hub, and autoMigrate is off; create it with"
                " `durahub db migrate`"
            )
        schema.require_known(self._place, found)
        if found < current:
            raise SchemaVersionError(
                f"{self.describe()} has schema version {found}, this program needs {current}, and"
                " autoMigrate is off; upgrade it with `durahub db migrate`",
                found=found,
                supported=current,
            )
        self._version = found

    # Sessions

    async def register(self, session: Session) -> Heartbeat:
        """Make a session known, and fence the dead."""
        try:
            (row,) = await self._hub().call(
                "SELECT * FROM {hub}.register($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                *register_parameters(session, self._name),
            )
        except BackendError as error:
            if isinstance(error.__cause__, asyncpg.UniqueViolationError):
                raise BackendError(
                    f"session id {session.session_id!r} has been used before; ids of sessions are"
                    " unique for ever"
                ) from error
            raise
        return beat_of(row)

    async def heartbeat(self, session_id: SessionId) -> Heartbeat:
        """Prove that a session lives, and fence those that do not."""
        (row,) = await self._hub().call("SELECT * FROM {hub}.heartbeat($1)", to_stored(session_id))
        return beat_of(row)

    async def unregister(self, session_id: SessionId) -> None:
        """End a session."""
        await self._hub().call("SELECT FROM {hub}.unregister($1)", to_stored(session_id))

    async def release_except(
        self,
        session_id: SessionId,
        instances: AbstractSet[InstanceKey],
        tasks: AbstractSet[TaskKey],
    ) -> None:
        """Give back whatever the session owns except what is named."""
        await self._hub().call(
            "SELECT FROM {hub}.release_except($1, $2, $3)",
            to_stored(session_id),
            queries.stored_keys(list(instances)),
            [
                (*stored, to_stored(task.execution_id), task.task_id)
                for task in tasks
                for stored in queries.stored_keys([task.instance])
            ],
        )

    # Writing and claiming

    async def apply(
        self, session_id: SessionId, operations: Sequence[Operation], room: Room = NO_ROOM
    ) -> Applied:
        """Carry out a batch as one transaction in one round trip, and claim what became due by it."""
        batch = Batch()
        batch.add_all(operations)
        rows = await self._hub().call(
            _APPLY,
            to_stored(session_id),
            len(operations),
            room.instances,
            room.activities,
            *batch.parameters(),
        )
        return applied_of(rows)

    async def claim_instances(self, session_id: SessionId, limit: int) -> InstanceClaims:
        """Take due, unowned instances, longest due first."""
        return claims_of(
            await self._hub().call(
                "SELECT * FROM {hub}.claim_instances($1, $2)", to_stored(session_id), limit
            )
        )

    async def claim_activities(self, session_id: SessionId, limit: int) -> tuple[ActivityTask, ...]:
        """Take unowned activity tasks, oldest first."""
        return tasks_of(
            await self._hub().call(
                "SELECT * FROM {hub}.claim_activities($1, $2)", to_stored(session_id), limit
            )
        )

    # Forwarding

    async def owners(
        self, session_id: SessionId, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the session's application own what a name may mean."""
        rows = await self._hub().call(
            "SELECT {hub}.owners($1, $2, $3)",
            to_stored(session_id),
            to_stored(instance_id),
            task_id,
        )
        return tuple(SessionId(from_stored(row[0])) for row in rows)

    async def forward(self, session_id: SessionId, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a living session of the same application, and tell it."""
        (row,) = await self._hub().call(
            "SELECT {hub}.forward($1, $2, $3)", to_stored(session_id), to_stored(to), payload
        )
        return bool(row[0])

    async def take_forwarded(
        self, session_id: SessionId, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what the session has handled, and return what else waits for it."""
        rows = await self._hub().call(
            "SELECT number, payload FROM {hub}.take_forwarded($1, $2, $3)",
            to_stored(session_id),
            list(handled),
            limit,
        )
        return tuple(Envelope(number=row[0], payload=row[1]) for row in rows)

    # Reading

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool = False
    ) -> tuple[InstanceView | None, ...]:
        """Return the instances in the order of the keys."""
        return await queries.get(self._hub(), keys, payloads=payloads)

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys."""
        return await queries.history(self._hub(), keys)

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of the instances that a query selects."""
        return await queries.list_instances(self._hub(), query)

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return ended instances, the longest ended first."""
        return await queries.list_ended(self._hub(), query)

    async def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        """Yield what other sessions tell; without notifications wait until cancelled."""
        connections = self._hub()
        if connections.is_pooled:
            await asyncio.Event().wait()
            yield WorkDue()  # never reached
        async for hint in listen(connections, self._place, session_id):
            yield hint

    async def now(self) -> datetime:
        """Return the database's clock."""
        (row,) = await self._hub().call("SELECT {hub}.hub_now()")
        moment: datetime = row[0]
        return moment

    def _opened(self) -> Connections:
        if self._connections is None:
            raise BackendError(f"{self.describe()} is not open")
        return self._connections

    def _hub(self) -> Connections:
        connections = self._opened()
        if self._version != schema.current_version():
            raise TaskHubNotFoundError(
                f"{self.describe()} holds no task hub of schema version"
                f" {schema.current_version()}; create it first"
            )
        return connections

"""One of several processes on a task hub: creates the same workflows as the others and runs what it gets.

Each workflow runs three activities, one after the other, and sends messages to others meanwhile, so that the
batches of all processes want the same rows in all orders.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from durahub.backend import (
    ActivityTask,
    BackendServices,
    ClaimedInstance,
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    InstanceCreated,
    InstanceQuery,
    Message,
    Operation,
    Room,
    Session,
)
from durahub.clock import SystemClock
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus, SessionId, TaskKey
from durahub_postgres import PostgresBackend, PostgresSettings

APP = AppId("app")
COUNT = 60
ROUNDS = 3
ROOM = Room(instances=20, activities=20)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def key(number: int) -> InstanceKey:
    return InstanceKey(APP, f"i{number}")


class Replica:
    def __init__(self, backend: PostgresBackend, name: str) -> None:
        self.backend = backend
        self.session = SessionId(name)
        self.random = random.Random(name)

    async def create(self) -> list[str]:
        numbers = list(range(COUNT))
        self.random.shuffle(numbers)
        created = []
        for start in range(0, COUNT, 10):
            chosen = numbers[start : start + 10]
            batch = [
                CreateInstance(
                    key=key(number),
                    name="flow",
                    execution_id=ExecutionId(f"{number} of {self.session}"),
                    created_at=NOW,
                    start=Message(payload=b"start"),
                )
                for number in chosen
            ]
            applied = await self.backend.apply(self.session, batch)
            created += [
                one.key.instance_id
                for one, result in zip(batch, applied.results, strict=True)
                if isinstance(result, InstanceCreated)
            ]
        return created

    async def work(self) -> None:
        operations: list[Operation] = []
        while operations or not await self.is_over():
            self.random.shuffle(operations)
            applied = await self.backend.apply(self.session, operations, ROOM)
            claims = await self.backend.claim_instances(self.session, 20)
            tasks = await self.backend.claim_activities(self.session, 20)
            operations = [
                CommitActivity(task=task.key, result=Message(payload=b"result"))
                for task in (*applied.activities, *tasks)
            ]
            for claimed in (*applied.instances, *claims.instances):
                operations.append(await self.turn(claimed))
                if self.random.random() < 0.5:
                    operations.append(self.noise())

    async def is_over(self) -> bool:
        query = InstanceQuery(
            app_id=APP, statuses=(RuntimeStatus.PENDING, RuntimeStatus.RUNNING), page_size=1
        )
        return not (await self.backend.list_instances(query)).instances

    async def turn(self, claimed: ClaimedInstance) -> CommitTurn:
        (stored,) = await self.backend.history([claimed.record.key])
        assert stored is not None
        payloads = tuple(message.message.payload for message in claimed.messages)
        results = (*stored.events, *payloads).count(b"result")
        fields: dict[str, Any] = {"status": RuntimeStatus.RUNNING}
        if results == ROUNDS:
            fields = {"status": RuntimeStatus.COMPLETED, "completed_at": NOW, "output": "done"}
        elif set(payloads) & {b"start", b"result"}:
            fields["activities"] = (
                ActivityTask(
                    key=TaskKey(claimed.record.key, claimed.record.execution_id, results),
                    app_id=APP,
                    name="act",
                    payload=b"",
                ),
            )
        return CommitTurn(
            key=claimed.record.key,
            execution_id=claimed.record.execution_id,
            revision=claimed.record.revision,
            updated_at=NOW,
            consumed=tuple(message.message_id for message in claimed.messages),
            history=payloads,
            outgoing=tuple(self.noise() for _ in range(self.random.randrange(3))),
            **fields,
        )

    def noise(self) -> Deliver:
        return Deliver(key=key(self.random.randrange(COUNT)), messages=(Message(payload=b"noise"),))


async def main(url: str, schema: str, name: str) -> None:
    settings = PostgresSettings.model_validate({"connectionString": url, "schema": schema})
    backend = PostgresBackend(settings)
    await backend.open(BackendServices(clock=SystemClock()))
    await backend.create_hub()
    replica = Replica(backend, name)
    life = timedelta(minutes=5)
    await backend.register(
        Session(session_id=replica.session, app_id=APP, time_to_live=life, holder=name)
    )
    created = await replica.create()
    await replica.work()
    await backend.unregister(replica.session)
    await backend.close()
    sys.stdout.write(json.dumps(created))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

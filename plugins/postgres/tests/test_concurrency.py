"""Several processes and many calls at once: nothing twice, nothing lost, nobody stuck."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from durahub.backend import Delivered, InstanceCreated, InstanceExists
from durahub.types import SessionId

from . import replica
from .relay import relay

REPLICAS = 3


async def run(*arguments: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(replica.__file__)), *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    created: list[str] = json.loads(output)
    return created


async def test_replicas_run_everything_once(sql: Any, schema: str, postgres_url: str) -> None:
    created = await asyncio.gather(
        *(run(postgres_url, schema, f"replica {number}") for number in range(REPLICAS))
    )
    names = Counter(name for names in created for name in names)
    assert names == {f"i{number}": 1 for number in range(replica.COUNT)}
    rows = await sql.fetch(
        f"""
        SELECT i.status, i.history_length, count(h.seq) AS events, max(h.seq) + 1 AS next,
          count(*) FILTER (WHERE h.event = 'result') AS results,
          count(*) FILTER (WHERE h.event = 'start') AS starts
        FROM {schema}.instances AS i JOIN {schema}.history AS h USING (instance)
        GROUP BY i.instance
        """
    )
    assert len(rows) == replica.COUNT
    for row in rows:
        assert (row["status"], row["results"], row["starts"]) == (1, replica.ROUNDS, 1)
        assert row["history_length"] == row["events"] == row["next"]
    for table in ("activities", "messages"):
        assert await sql.fetchval(f"SELECT count(*) FROM {schema}.{table}") == 0
    assert await sql.fetchval(f"SELECT count(*) FROM {schema}.schedule WHERE owner > 0") == 0


async def test_batches_that_cross_do_not_block_one_another(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    other = await new_backend()
    await other.create_hub()
    await other.register(make.registration("other"))
    ids = [f"i{number}" for number in range(50)]
    await hub.apply(*(make.creation(one) for one in ids))

    async def deliver(backend: Any, session: str, names: list[str]) -> int:
        delivered = 0
        for _ in range(20):
            batch = [make.delivery(name, b"x") for name in names]
            applied = await backend.apply(SessionId(session), batch)
            delivered += applied.results.count(Delivered())
        return delivered

    counts = await asyncio.gather(
        deliver(hub.backend, make.session, ids),
        deliver(other, "other", ids[::-1]),
        deliver(other, "other", ids[25:] + ids[:25]),
    )
    assert counts == [1000, 1000, 1000]
    per_instance = await hub.sql.fetch(
        "SELECT count(*), max(message_id) FROM messages GROUP BY instance"
    )
    assert {tuple(row) for row in per_instance} == {(61, 61)}


async def test_one_of_many_creations_of_an_id_succeeds(
    hub: Any, make: Any, new_backend: Callable[..., Any]
) -> None:
    """The ids of children too: a turn that comes too late is refused as a whole, not the batch."""
    backends = [hub.backend, *[await new_backend() for _ in range(3)]]
    parents = []
    for number, backend in enumerate(backends):
        await backend.create_hub()
        session = SessionId(f"s{number}")
        await backend.register(make.registration(session))
        applied = await backend.apply(session, [make.creation(f"parent {number}")], make.room)
        parents.append(applied.instances[0])

    async def create(number: int) -> list[str]:
        names = [f"i{n}" for n in range(10)][:: 1 if number % 2 else -1]
        turn = make.turn(parents[number], children=(make.creation("child"),))
        batch = [turn, *(make.creation(name) for name in names), make.creation(f"own {number}")]
        applied = await backends[number].apply(SessionId(f"s{number}"), batch)
        assert all(isinstance(one, InstanceCreated | InstanceExists) for one in applied.results[1:])
        return [type(one).__name__ for one in applied.results]

    kinds = Counter(
        kind for found in await asyncio.gather(*map(create, range(4))) for kind in found
    )
    assert kinds == {
        "InstanceCreated": 10 + 4,
        "InstanceExists": 30,
        "TurnCommitted": 1,
        "ChildrenExist": 3,
    }


async def test_one_call_is_one_round_trip(
    trusting_postgres_url: str, tmp_path: Path, new_backend: Callable[..., Any], make: Any
) -> None:
    async with relay(trusting_postgres_url, tmp_path) as counted:
        backend = await new_backend(connectionString=counted.url)
        await backend.create_hub()
        await backend.register(make.registration())
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: backend.apply(make.session, [], make.room),
            lambda: backend.claim_instances(make.session, 10),
            lambda: backend.claim_activities(make.session, 10),
            lambda: backend.heartbeat(make.session),
            lambda: backend.get([make.key("i1")], payloads=True),
            lambda: backend.history([make.key("i1")]),
        ]
        for call in calls:  # the first call of a connection learns the types of its parameters
            await call()
        before = counted.round_trips
        for call in calls:
            await call()
        assert counted.round_trips == before + len(calls)
        batch = [make.creation(f"i{number}") for number in range(100)]
        applied = await backend.apply(make.session, batch, make.room)
        assert len(applied.instances) == 100
        assert counted.round_trips == before + len(calls) + 1

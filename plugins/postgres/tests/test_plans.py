"""Nothing on the way of work reads more than it needs, however many instances there are.

The functions' plans are made once per connection, here while all tables are empty; then the tables are
filled, and the server's own counters say how many rows each call reads. That sees a scan of a table and a
scan through the wrong index alike, and inside functions, where EXPLAIN does not look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from durahub.backend import (
    ClaimLimit,
    ClaimLimits,
    CommitActivity,
    Message,
    NextGeneration,
    ParkInstance,
    PurgeInstance,
    ReleaseActivity,
    ReleaseInstance,
    Room,
)
from durahub.types import AppId, ExecutionId, RuntimeStatus
from durahub_postgres.answers import applied_of, claims_of, tasks_of
from durahub_postgres.backend import _APPLY
from durahub_postgres.batch import Batch

TABLES = (
    "instances",
    "schedule",
    "payloads",
    "history",
    "messages",
    "timers",
    "activities",
    "forwarded",
)

FILL = """
INSERT INTO instances SELECT n, app, 'f' || n, 'flow' || n % 7, NULL, 'e' || n, 1,
  CASE WHEN n % 4 = 0 THEN 1 WHEN n % 4 = 1 THEN 3 ELSE 0 END,
  now() - n * interval '1 s', now(), now(), CASE WHEN n % 4 < 2 THEN now() - n * interval '1 s' END,
  NULL, NULL, NULL, NULL, NULL, NULL, 1, 3, NULL
FROM generate_series(1000001, 1000000 + $1) AS n, (VALUES ('app'), ('other')) AS a(app)
WHERE (n % 10 = 0) = (app = 'other');
INSERT INTO schedule SELECT instance, CASE WHEN status = 0 THEN w END, NULL,
  CASE WHEN status = 0 THEN w END, CASE WHEN instance % 50 = 3 THEN 4711 END, 9, app_id, name
FROM (SELECT *, CASE WHEN instance % 3 = 0 THEN now() - instance * interval '1 s'
  ELSE now() + instance * interval '1 s' END AS w FROM instances WHERE instance > 1000000) AS i;
INSERT INTO payloads SELECT instance, 'in' FROM instances WHERE instance > 1000000;
INSERT INTO history SELECT instance, s, 'event' FROM instances, generate_series(0, 2) AS s
WHERE instance > 1000000;
INSERT INTO messages SELECT instance, 9, now(), NULL, 'message' FROM instances
WHERE instance > 1000000 AND status = 0;
INSERT INTO timers SELECT instance, 1, now() + interval '1 h', 'timer' FROM instances
WHERE instance > 1000000 AND status = 0;
INSERT INTO activities (instance, owner, task_id, execution_id, app_id, name, payload)
SELECT instance, CASE WHEN instance % 50 = 3 THEN 4711 END, 1, execution_id, app_id,
  'act' || instance % 7, 'task' FROM instances WHERE instance > 1000000 AND status = 0;
INSERT INTO forwarded (session, payload)
SELECT 4711 + n % 100, 'envelope' FROM generate_series(1, $1) AS n;
"""

Calls = dict[str, Callable[[], Awaitable[Any]]]


class Direct:
    """Calls the functions on one connection, as the backend does, and counts what they read."""

    def __init__(self, hub: Any, make: Any) -> None:
        self.hub = hub
        self.make = make
        self.most: dict[str, dict[str, int]] = {}

    async def call(self, name: str, function: str, *parameters: object) -> list[Any]:
        places = ", ".join(f"${number + 1}" for number in range(len(parameters)))
        statement = f"SELECT * FROM {self.hub.schema}.{function}({places})"
        return await self._counted(name, statement, parameters)

    async def apply(
        self, name: str, *operations: Any, room: Room | None = None, session: str | None = None
    ) -> Any:
        batch = Batch()
        batch.add_all(operations)
        room = room or self.make.room
        statement = _APPLY.replace("{hub}", self.hub.schema)
        head = (session or self.make.session, len(operations), room.instances, room.activities)
        return applied_of(await self._counted(name, statement, (*head, *batch.parameters())))

    async def _counted(
        self, name: str, statement: str, parameters: tuple[object, ...]
    ) -> list[Any]:
        connection = self.hub.sql
        async with connection.transaction():
            before = await self._read()
            rows: list[Any] = await connection.fetch(statement, *parameters)
            after = await self._read()
        self.most[name] = {table: after[table] - before[table] for table in TABLES}
        return rows

    async def _read(self) -> dict[str, int]:
        rows = await self.hub.sql.fetch(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0)"
            " FROM pg_stat_xact_user_tables WHERE schemaname = $1",
            self.hub.schema,
        )
        return dict(rows)


async def work(direct: Direct, make: Any, tag: str) -> None:
    """Do everything that the contract knows, with about ten instances."""
    now = await direct.hub.backend.now()
    creations = [make.creation(f"{tag}{number}") for number in range(10)]
    created = await direct.apply("create", *creations)
    one, two, three, four, five, six, *_ = created.instances
    applied = await direct.apply(
        "turns",
        make.turn(one, timers=(make.timer(1, now), make.timer(2, now))),
        make.turn(two, activities=tuple(make.task(two, number) for number in range(5))),
        make.turn(
            three, children=(make.creation(f"{tag}c"),), outgoing=(make.delivery(f"{tag}0"),)
        ),
        make.turn(
            four,
            history=(),
            next_generation=NextGeneration(
                execution_id=ExecutionId(f"{tag}next"), input="x", start=Message(payload=b"x")
            ),
        ),
        make.turn(five, status=RuntimeStatus.COMPLETED, output="done"),
    )
    assert await direct.call("owner", "owners", make.session, f"{tag}5", None)
    assert await direct.call("task owner", "owners", make.session, f"{tag}1", 0)
    first, *others = applied.activities
    await direct.apply(
        "results",
        *(CommitActivity(task=task.key, result=Message(payload=b"r")) for task in others),
        ReleaseActivity(task=first.key),
        make.delivery(f"{tag}9", b"hello", expedite=True),
    )
    await direct.apply(
        "releases",
        ReleaseInstance(key=six.record.key),
        ParkInstance(key=created.instances[6].record.key, reason="why", updated_at=now),
        room=Room(),
    )
    claims_of(await direct.call("claim", "claim_instances", make.session, 10))
    tasks_of(await direct.call("claim tasks", "claim_activities", make.session, 10))
    keys = [(make.app, f"{tag}{number}") for number in range(10)]
    await direct.call("get", "read_instances", keys, True)
    await direct.call("history", "read_histories", keys)
    page = (make.app, [0, 1, 3], None, 0, None, 10)
    await direct.call("list", "list_instances", *page)
    await direct.call("ended", "list_ended", make.app, 1, 10)
    await direct.call("heartbeat", "heartbeat", make.session)
    await direct.call("release except", "release_except", make.session, keys[:3], [])
    assert await direct.call("forward", "forward", make.session, "limited", b"x") == [(True,)]
    envelopes = await direct.call("take", "take_forwarded", "limited", [], 10)
    assert envelopes
    numbers = [envelope["number"] for envelope in envelopes]
    await direct.call("handle", "take_forwarded", "limited", numbers, 10)
    await direct.apply("purge", *(PurgeInstance(key=make.key(one), force=True) for _, one in keys))


LIMITS = ClaimLimits(
    instances=ClaimLimit(total=1000, by_name={"flow1": 0, "flow2": 3}),
    activities=ClaimLimit(by_name={"act1": 0, "act2": 3}),
)


async def claim_within_limits(direct: Direct) -> tuple[Any, ...]:
    claims = claims_of(await direct.call("claim limited", "claim_instances", "limited", 10))
    return claims.instances, tasks_of(
        await direct.call("claim tasks limited", "claim_activities", "limited", 10)
    )


async def overtake(direct: Direct, make: Any, tag: str) -> None:
    """A total lets a batch claim nothing along while so much else has been due for longer."""
    creations = [make.creation(f"{tag}{number}", name="new") for number in range(10)]
    created = await direct.apply("create limited", *creations, session="limited")
    assert created.instances == ()
    await direct.apply(
        "purge limited", *(PurgeInstance(key=one.key, force=True) for one in creations)
    )


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
async def test_calls_read_what_they_need(hub: Any, make: Any, count: int) -> None:
    direct = Direct(hub, make)
    await hub.backend.register(make.registration("limited", limits=LIMITS, life_s=3600))
    await work(direct, make, "warm")
    await claim_within_limits(direct)
    await direct.apply("create limited", make.creation("warm"), session="limited")
    await hub.sql.execute(FILL.replace("$1", str(count)), timeout=1200)
    for _ in range(2):  # before and after the server knows how much there is
        await work(direct, make, "w")
        assert await claim_within_limits(direct) != ((), ())
        await overtake(direct, make, "o")
        for name, tables in direct.most.items():
            for table, rows in tables.items():
                assert rows <= 250, f"{name} reads {rows} rows of {table}"
        await hub.sql.execute("ANALYZE", timeout=600)
        await hub.sql.execute("DISCARD PLANS")


async def test_index_serves_each_view_by_key(hub: Any) -> None:
    await hub.sql.execute(FILL.replace("$1", "20000"), timeout=600)
    await hub.sql.execute("ANALYZE")
    for view in ("v_instances", "v_history"):
        plan = await hub.sql.fetch(
            f"EXPLAIN SELECT * FROM {view} WHERE app_id = $1 AND instance_id = $2",
            AppId("app"),
            "f1000001",
        )
        text = "\n".join(row[0] for row in plan)
        assert "instances_key" in text
        assert "Seq Scan on instances" not in text
        assert "Seq Scan on history" not in text

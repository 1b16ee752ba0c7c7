"""What was acknowledged is there after a kill -9, and every operation is there whole or not at all."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from durahub.backend import BackendServices, Session
from durahub.testing import ManualClock
from durahub.types import AppId, InstanceKey, SessionId
from durahub_sqlite import SqliteBackend

KILLS = 12

# Each batch creates instances, and runs the first turn of those of the batch before: three events, one
# activity, one timer, one child each. A line is printed after each acknowledgement.
WORKER = """
import asyncio, sys
from datetime import timedelta
from durahub.backend import *
from durahub.clock import SystemClock
from durahub.types import *
from durahub_sqlite import SqliteBackend, SqliteSettings

path, session, prefix = sys.argv[1:]
clock = SystemClock()

def creation(name):
    return CreateInstance(
        key=InstanceKey("app", name), name="flow", execution_id=f"{name}/1", input=name,
        created_at=clock.now(), start=Message(payload=b"start"),
    )

def turn(claimed):
    record = claimed.record
    return CommitTurn(
        key=record.key, execution_id=record.execution_id, revision=record.revision,
        status=RuntimeStatus.RUNNING, updated_at=clock.now(), custom_status=record.key.instance_id,
        consumed=tuple(stored.message_id for stored in claimed.messages),
        history=(b"1", b"2", b"3"),
        timers=(Timer(timer_id=1, due_at=clock.now() + timedelta(days=1), payload=b"timer"),),
        activities=(ActivityTask(
            key=TaskKey(record.key, record.execution_id, 1), app_id="other", name="a", payload=b"p",
        ),),
        children=(creation("child-" + record.key.instance_id),),
    )

async def main():
    backend = SqliteBackend(SqliteSettings(connection_string=path))
    await backend.open(BackendServices(clock=clock))
    await backend.create_hub()
    await backend.register(Session(
        session_id=session, app_id="app", time_to_live=timedelta(seconds=9), holder="child",
    ))
    claimed, number = (), 0
    while True:
        names = [f"{prefix}-{number + n}" for n in range(5)]
        number += 5
        turns = [turn(one) for one in claimed if not one.record.key.instance_id.startswith("child")]
        room = Room(instances=1000)
        applied = await backend.apply(session, [*map(creation, names), *turns], room)
        assert all(isinstance(one, InstanceCreated | TurnCommitted) for one in applied.results)
        claimed = applied.instances
        print("created", *names, flush=True)
        print("turned", *(one.key.instance_id for one in turns), flush=True)

asyncio.run(main())
"""


async def run_and_kill(path: Path, number: int, after_s: float) -> dict[str, set[str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, str(path), f"session-{number}", f"run{number}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    await asyncio.sleep(after_s)
    process.kill()
    rest = await process.stdout.read()
    assert await process.wait() < 0
    acknowledged: dict[str, set[str]] = {"created": set(), "turned": set()}
    for line in (first + rest).decode().splitlines(keepends=True):
        if line.endswith("\n"):
            kind, *names = line.split()
            acknowledged[kind].update(names)
    return acknowledged


async def test_acknowledged_operations_survive_kill_and_each_is_whole(
    path: Path, new_backend: Callable[[], SqliteBackend]
) -> None:
    moments = random.Random()
    created: set[str] = set()
    turned: set[str] = set()
    for number in range(KILLS):
        acknowledged = await run_and_kill(path, number, moments.uniform(0, 0.15))
        created |= acknowledged["created"]
        turned |= acknowledged["turned"]
    assert len(turned) > KILLS

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = contents(connection)
    assert created <= found.keys()
    assert {found[name] for name in turned} == {AFTER_TURN}
    parents = {name for name in found if not name.startswith("child-")}
    assert {found[name] for name in parents} <= {BEFORE_TURN, AFTER_TURN}
    with_children = {name.removeprefix("child-") for name in found.keys() - parents}
    assert with_children == {name for name in parents if found[name] == AFTER_TURN}

    await assert_nothing_is_owned(new_backend(), len(found))


# Revision, events, messages, timers, activity tasks, whether the custom status is there.
BEFORE_TURN = (0, 0, 1, 0, 0, 0)
AFTER_TURN = (1, 3, 0, 1, 1, 1)


def contents(connection: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
    rows = connection.execute(
        """
        SELECT instance_id, revision,
          (SELECT count(*) FROM history AS h WHERE h.instance = i.instance),
          (SELECT count(*) FROM messages AS m WHERE m.instance = i.instance),
          (SELECT count(*) FROM timers AS t WHERE t.instance = i.instance),
          (SELECT count(*) FROM activities AS a WHERE a.instance = i.instance),
          (SELECT count(custom_status) FROM payloads AS p WHERE p.instance = i.instance)
        FROM instances AS i
        """
    )
    return {name: tuple(counts) for name, *counts in rows}


async def assert_nothing_is_owned(backend: SqliteBackend, instances: int) -> None:
    """What the dead owned can be claimed, with what waits for it."""
    clock = ManualClock()
    clock.advance(timedelta(days=36_500))
    await backend.open(BackendServices(clock=clock))
    session = SessionId("after")
    heartbeat = await backend.register(
        Session(session_id=session, app_id=AppId("app"), time_to_live=timedelta(9), holder="test")
    )
    assert heartbeat.fenced == (f"session-{KILLS - 1}",)
    claims = await backend.claim_instances(session, 1_000_000)
    assert len(claims.instances) == instances
    histories = await backend.history([claimed.record.key for claimed in claims.instances])
    assert all(histories)
    assert InstanceKey(AppId("app"), "run0-0") in {one.record.key for one in claims.instances}

"""Fills a task hub on Postgres with instances that wait."""

from __future__ import annotations

import asyncpg
from durahub.backend import BackendServices
from durahub.clock import SystemClock
from durahub_postgres import PostgresBackend, PostgresSettings

_FILL = """
SET search_path = durahub;
SELECT setseed({seed} / 2147483648.0);
CREATE TEMPORARY TABLE waiting AS
  SELECT nextval('instance_numbers') AS instance, n AS number, now() AS at,
    CASE WHEN n % 2 = 1 THEN now() + interval '1 h' + random() * interval '30 d' END AS due_at
  FROM generate_series(0, {count} - 1) AS n;
INSERT INTO instances (instance, app_id, instance_id, name, execution_id, generation, status,
    created_at, last_updated_at, started_at, revision, history_length)
  SELECT instance, '{app}', 'waiting-' || number, 'flow' || number % 7, 'run-' || number, 1, 0,
    at, at, at, 1, 3 FROM waiting;
INSERT INTO schedule (instance, wake_at, last_message, app_id, name)
  SELECT instance, due_at, 1, '{app}', 'flow' || number % 7 FROM waiting;
INSERT INTO payloads (instance, input) SELECT instance, 'x' FROM waiting;
INSERT INTO history (instance, seq, event)
  SELECT instance, seq, repeat('e', 100)::bytea FROM waiting, generate_series(0, 2) AS seq;
INSERT INTO timers (instance, timer_id, due_at, payload)
  SELECT instance, 1, due_at, 'timer' FROM waiting WHERE due_at IS NOT NULL;
"""
"""What the first turn leaves of an instance; nothing reads the events of one that waits."""

_FILL_S = 1800


async def fill(url: str, app: str, count: int, seed: int) -> None:
    """Create instances that have begun: half of them wait for a timer, half for an event.

    Past the backend, because there may be a million. The timers are due in an hour at the earliest.

    Args:
        url: The database; its task hub `durahub` is made.
        app: The application that they belong to.
        count: How many: `waiting-0`, `waiting-1`, …
        seed: Below 2**31; decides when the timers are due.
    """
    backend = PostgresBackend(PostgresSettings.model_validate({"connectionString": url}))
    await backend.open(BackendServices(clock=SystemClock()))
    await backend.create_hub()
    await backend.close()
    connection = await asyncpg.connect(url)
    try:
        script = _FILL.format(app=app, count=count, seed=seed)
        await connection.execute(script, timeout=_FILL_S)
        await connection.execute("VACUUM ANALYZE", timeout=_FILL_S)
    finally:
        await connection.close()

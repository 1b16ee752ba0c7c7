"""Whatever is done, this backend and the reference backend give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from durahub.backend import BackendServices, Room
from durahub.errors import SessionFencedError
from durahub.testing import ManualClock, MemoryBackend, MemorySettings

from ...sqlite.tests.test_reference import (  # noqa: TID252 - one script for every backend
    Script,
    claim,
    compare_everything,
    in_order,
)

STEPS = 60
SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 200))]

CLOCK = """
CREATE TABLE hub.hands (now timestamptz NOT NULL);
CREATE OR REPLACE FUNCTION hub.hub_now() RETURNS timestamptz
LANGUAGE sql VOLATILE AS 'SELECT now FROM hub.hands';
CREATE OR REPLACE FUNCTION hub.hub_up_since() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$SELECT timestamptz '-infinity'$$;
"""


@pytest.fixture
async def backend(new_backend: Callable[..., Any], sql: Any, schema: str) -> Any:
    """A task hub whose clock is a table, so that both backends live at the same time."""
    made = await new_backend()
    await made.create_hub()
    await sql.execute(CLOCK.replace("hub.", f"{schema}."))
    return made


@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_same_answers_as_the_reference(
    backend: Any, make: Any, sql: Any, schema: str, *, seed: int, limited: bool
) -> None:
    clock = ManualClock()
    script = Script(seed, clock, make, limited=limited)
    reference = MemoryBackend(MemorySettings())
    await reference.open(BackendServices(clock=clock))
    await reference.create_hub()
    backends = (backend, reference)
    await sql.execute(f"INSERT INTO {schema}.hands VALUES ($1)", clock.now())
    session = make.session
    first = script.registration(session)
    for one in backends:
        await one.register(first)
    for step in range(STEPS):
        clock.advance(timedelta(seconds=script.random.randrange(5)))
        await sql.execute(f"UPDATE {schema}.hands SET now = $1", clock.now())
        operations = script.batch()
        room = script.random.choice([Room(), Room(instances=100, activities=100)])
        outcomes = [await one.apply(session, operations, room) for one in backends]
        assert in_order(outcomes[0]) == in_order(outcomes[1])
        script.learn(outcomes[0].instances, outcomes[0].activities)
        if script.random.random() < 0.3:
            await claim(backends, session, script)
        if script.random.random() < 0.1:
            named = set(script.random.sample(script.keys, 3)), set(script.tasks)
            for one in backends:
                await one.release_except(session, *named)
        if script.random.random() < 0.1:
            life = timedelta(seconds=script.random.choice([1, 1000]))
            successor = replace(script.registration(f"s{step}"), time_to_live=life)
            fenced = [(await one.register(successor)).fenced for one in backends]
            assert fenced[0] == fenced[1]
            if session not in fenced[0]:
                for one in backends:
                    await one.unregister(session)
            for one in backends:
                with pytest.raises(SessionFencedError):
                    await one.apply(session, operations)
            session = successor.session_id
        await compare_everything(backends, script)

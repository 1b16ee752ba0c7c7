"""Whatever is done, this backend and the reference backend give the same answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from durahub.backend import BackendServices, Room, Session
from durahub.errors import SessionFencedError
from durahub.testing import ManualClock, MemoryBackend, MemorySettings
from durahub.types import SessionId
from durahub_actors.backend import ActorsBackend
from durahub_actors.settings import ActorsSettings
from durahub_actors.stores import MemoryStateStore

from plugins.sqlite.tests.conftest import Make
from plugins.sqlite.tests.test_reference import (
    SEEDS,
    STEPS,
    Script,
    claim,
    compare_everything,
    in_order,
)


@pytest.mark.parametrize("seed", SEEDS)
async def test_same_answers_as_the_reference(seed: int) -> None:
    clock = ManualClock()
    script = Script(seed, clock, Make, limited=False)
    backends = (
        ActorsBackend(ActorsSettings(), MemoryStateStore()),
        MemoryBackend(MemorySettings(exclusive=True)),
    )
    session: Session = script.registration("first")
    for backend in backends:
        await backend.open(BackendServices(clock=clock))
        await backend.create_hub()
        await backend.register(session)
    session_id = session.session_id
    for step in range(STEPS):
        clock.advance(timedelta(seconds=script.random.randrange(5)))
        operations = script.batch()
        room = script.random.choice([Room(), Room(instances=100, activities=100)])
        outcomes = [await backend.apply(session_id, operations, room) for backend in backends]
        assert in_order(outcomes[0]) == in_order(outcomes[1])
        script.learn(outcomes[0].instances, outcomes[0].activities)
        if script.random.random() < 0.3:
            await claim(backends, session_id, script)
        if script.random.random() < 0.1:
            named = set(script.random.sample(script.keys, 3)), set(script.tasks)
            for backend in backends:
                await backend.release_except(session_id, *named)
        if script.random.random() < 0.05:
            successor = script.registration(f"s{step}")
            fenced = [await backend.register(successor) for backend in backends]
            assert fenced[0] == fenced[1]
            for backend in backends:
                with pytest.raises(SessionFencedError):
                    await backend.apply(session_id, operations)
            session_id = SessionId(f"s{step}")
        await compare_everything(backends, script)
    for backend in backends:
        await backend.close()

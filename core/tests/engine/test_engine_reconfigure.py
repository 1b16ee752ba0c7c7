"""Limits and retention that change while an engine runs."""

from __future__ import annotations

import asyncio

from durahub.engine import Engine, RetentionPolicy

from .hub import finished, running, settled, start, until
from .limiting import Gauge
from .purging import left
from .retaining import AT_ONCE, HOUR, keep
from .worker import fan_out, nothing_to_do, working

NOTHING = keep()


def use(engine: Engine, policy: RetentionPolicy) -> None:
    engine.reconfigure(
        max_concurrent_workflows=None, max_concurrent_activities=None, retention=policy
    )


async def test_a_new_policy_holds_for_what_has_ended_already() -> None:
    async with running() as engine, working(engine, {"Flow": nothing_to_do}):
        await start(engine, "early")
        await finished(engine, "early")
        use(engine, keep(AT_ONCE))
        await until(lambda: "early" not in left(engine))
        use(engine, NOTHING)
        await start(engine, "late")
        await finished(engine, "late")
        await asyncio.sleep(0.7)
        assert "late" in left(engine)
        use(engine, keep(HOUR))
        await settled()
        assert "late" in left(engine)


async def test_other_limits_hold_from_now_on_and_what_runs_goes_on() -> None:
    gauge = Gauge(hold=frozenset({"charge"}))
    async with (
        running(max_concurrent_activities=2) as engine,
        working(engine, fan_out(6), gauge),
    ):
        await start(engine, "a")
        await until(lambda: gauge.running["charge"] == 2)
        engine.reconfigure(
            max_concurrent_workflows=None, max_concurrent_activities=5, retention=NOTHING
        )
        await until(lambda: gauge.running["charge"] == 5)
        engine.reconfigure(
            max_concurrent_workflows=None, max_concurrent_activities=1, retention=NOTHING
        )
        await settled()
        assert gauge.running["charge"] == 5
        gauge.open.set()
        await finished(engine, "a")
        assert gauge.most["charge"] == 5

"""MOD: any sequence of calls has the outcome that it has on the store in memory."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

from durahub_actors.stores import MemoryStateStore
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from durahub_conformance.state_stores.law import law
from durahub_conformance.state_stores.model import Pair, Step, steps
from durahub_conformance.state_stores.stand import Stand

EXAMPLES = 30

PHASES = (Phase.generate, Phase.shrink)
"""Without an explanation, which takes longer than all else."""


class ModelLaws:
    """The law above all others."""

    @law("MOD-01")
    async def test_agrees_with_the_memory_store(self, stand: Stand) -> None:
        """Every sequence of saves and ends of leases has the results and the effects of the reference."""
        loop = asyncio.get_running_loop()
        model = MemoryStateStore()
        await model.open(stand.harness.store_clock())
        await model.create()
        numbers = itertools.count()
        origin = await stand.store.now()

        # Hypothesis is synchronous: it runs in a thread, and its examples on this loop.
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=PHASES,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(st.lists(steps(), min_size=4, max_size=20))
        def agree(program: list[Step]) -> None:
            pair = Pair(stand.store, model, space=f"space-{next(numbers)}", origin=origin)
            running = asyncio.run_coroutine_threadsafe(pair.run(program), loop)
            running.result(timedelta(seconds=60).total_seconds())

        await asyncio.to_thread(agree)

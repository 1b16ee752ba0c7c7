"""Replicas come and go in order while workflows run, and how steadily these end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.run import Chaos, Fault

IN, OUT = "scaled in", "scaled out"


@dataclass
class Scaling(Chaos):
    """One replica, then all, then another one, and so on; the first one has started before.

    Attributes:
        longest_gap_s: Longest time in which no workflow ended while replicas came and went.
        per_s: How many ended in a second, on average.
    """

    longest_gap_s: float = 0.0
    per_s: float = 0.0

    @property
    def faults(self) -> Mapping[str, Fault]:
        """Nothing but coming and going."""
        return {IN: self._scale_in, OUT: self._scale_out}

    async def _rage(self, each: int, pause_s: float) -> None:
        began_s = time.monotonic()
        for _ in range(each):
            for name in (OUT, IN):
                await asyncio.sleep(pause_s)
                await self.faults[name]()
                self.done[name] += 1
        await asyncio.sleep(pause_s)
        ended_s = time.monotonic()
        moments = [began_s, *(one for one in self.ended_at_s if one > began_s), ended_s]
        self.longest_gap_s = max(later - earlier for earlier, later in itertools.pairwise(moments))
        self.per_s = (len(moments) - 2) / (ended_s - began_s)

    async def _scale_out(self) -> None:
        absent = [replica for replica in self.replicas if not replica.is_up]
        await asyncio.gather(*(replica.start() for replica in absent))

    async def _scale_in(self) -> None:
        stays = self.done[OUT] % len(self.replicas)
        leaving = [replica for number, replica in enumerate(self.replicas) if number != stays]
        await asyncio.gather(*(replica.stop() for replica in leaving))

"""Notices when the process did not run for a while: stopped, frozen with its machine, or asleep."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from durahub.clock import SystemClock

log = logging.getLogger("durahub.engine.pauses")

LOOK_EVERY_S = 1.0

LONGEST_UNNOTICED_S = 10.0
"""Pauses from here on count; workers wait longer than this for an answer to what they send."""


async def watch_for_pauses(on_pause: Callable[[float], None]) -> None:
    """Call `on_pause` with the length in seconds of each pause of this process, until cancelled."""
    # The real clocks, both: one stands still while a machine sleeps, the other while it is frozen.
    clock = SystemClock()
    while True:
        wall, monotonic_s = clock.now(), clock.monotonic_s()
        await asyncio.sleep(LOOK_EVERY_S)
        away_s = max(clock.monotonic_s() - monotonic_s, (clock.now() - wall).total_seconds())
        if away_s - LOOK_EVERY_S > LONGEST_UNNOTICED_S:
            log.warning("the process did not run for a while", extra={"seconds": round(away_s)})
            on_pause(away_s)

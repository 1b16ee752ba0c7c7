"""Removes ended instances when they have been kept long enough.

What is due is asked of the store, in the order of the ends, so that a policy also holds for what ended
before it was made, or while no sidecar ran, and nothing has to be kept in mind for each instance. When
to ask is told by what the store answers and by what ends in this sidecar.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from durahub.backend import (
    Backend,
    EndedQuery,
    InstanceRecord,
    Purged,
    PurgeInstance,
)
from durahub.clock import Clock
from durahub.engine.expiry import RetentionPolicy, examine, portions
from durahub.engine.lane import StoreLane
from durahub.engine.options import EngineOptions
from durahub.engine.retry import Backoff
from durahub.engine.watchers import Watchers
from durahub.errors import BackendError
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus

log = logging.getLogger("durahub.engine.retention")

PURGED_AT_ONCE = 200
"""Most instances of one batch of purges: what waits behind it in the lane waits for all of them."""

EVENTS_AT_ONCE = 10_000
"""Most events in the histories of one batch of purges, unless one instance alone has more."""

PURGED_PER_SWEEP = 10_000
"""Purges of one status after which the others get their turn."""

SHORTEST_PAUSE_S = 0.5
"""Time between two sweeps of one status: what becomes due meanwhile is removed together."""

LONGEST_BREAK_S = 1.0
"""Longest break after a batch of purges, however long it took."""

SEEN_BY_ALL = timedelta(seconds=0.5)
"""Least time between an end and its removal where calls in other sidecars may wait for the end."""

REFUSED_IN_LOG = 10
"""Most instances that one line of the log names."""


@dataclass(slots=True)
class _Round:
    """The sweeps for one terminal status.

    Attributes:
        status: Which.
        period: How long such instances are kept.
        due_s: When something is due, in monotonic seconds.
        not_before_s: No sweep before this moment, whatever is due.
        refused: What the store can't remove.
        backoff: How long to wait after the store failed.
    """

    status: RuntimeStatus
    period: timedelta
    due_s: float
    not_before_s: float
    refused: set[tuple[InstanceKey, ExecutionId]] = field(default_factory=set)
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def next_s(self) -> float:
        """When to sweep next, in monotonic seconds."""
        return max(self.due_s, self.not_before_s)


class Retention:
    """Sweeps ended instances of one application out of the store.

    Several sidecars may do so at once: each purge names the generation that had ended, and one that
    somebody else was faster with is no error.
    """

    def __init__(
        self,
        backend: Backend,
        lane: StoreLane,
        watchers: Watchers,
        clock: Clock,
        options: EngineOptions,
    ) -> None:
        self._backend = backend
        self._lane = lane
        self._watchers = watchers
        self._clock = clock
        self._app_id = options.app_id
        self._sweep_s = options.retention_sweep.total_seconds()
        self._pause_s = min(SHORTEST_PAUSE_S, self._sweep_s)
        self._wake = asyncio.Event()
        self._rounds: dict[RuntimeStatus, _Round] = {}
        self.change(options.retention)

    def change(self, policy: RetentionPolicy) -> None:
        """Go by another policy from now on, also for what has ended already."""
        least = SEEN_BY_ALL if self._backend.capabilities.multi_process else timedelta(0)
        now_s = self._clock.monotonic_s()
        self._rounds = {
            status: _Round(status, max(period, least), due_s=now_s, not_before_s=now_s)
            for status, period in policy.periods.items()
        }
        self._wake.set()

    def expect(self, status: RuntimeStatus, completed_at: datetime) -> None:
        """Take into account that an instance ends, so that it is removed in time."""
        upcoming = self._rounds.get(status)
        if upcoming is None:
            return
        left_s = (upcoming.period - (self._clock.now() - completed_at)).total_seconds()
        due_s = self._clock.monotonic_s() + max(0.0, left_s)
        if due_s < upcoming.due_s:
            upcoming.due_s = due_s
            self._wake.set()

    async def run(self) -> None:
        """Remove what is due, until cancelled; nothing is half removed then.

        A store that fails is asked again later. An instance that the store can't remove is left alone
        from then on, and holds up no other.
        """
        while True:
            for due in await self._next_rounds():
                if self._rounds.get(due.status) is due:
                    await self._sweep(due)

    async def _next_rounds(self) -> list[_Round]:
        """Wait until something is due, and return which rounds."""
        while True:
            self._wake.clear()
            if not self._rounds:
                await self._wake.wait()
                continue
            next_s = min(upcoming.next_s for upcoming in self._rounds.values())
            try:
                async with asyncio.timeout(max(0.0, next_s - self._clock.monotonic_s())):
                    await self._wake.wait()
            except TimeoutError:
                return [due for due in self._rounds.values() if due.next_s <= next_s]

    async def _sweep(self, due: _Round) -> None:
        # First, because what ends while this sweep goes on counts for the next one.
        due.due_s = self._clock.monotonic_s() + self._sweep_s
        pause_s = self._pause_s
        try:
            await self._remove_expired(due)
        except BackendError as error:
            if not due.backoff.attempts:
                log.warning(
                    "the retention policy can't be carried out, trying again",
                    extra={"status": due.status.name, "error": str(error)},
                )
            pause_s = due.backoff.failed()
            self._look_again(due, pause_s)
        else:
            due.backoff.succeeded()
        due.not_before_s = self._clock.monotonic_s() + pause_s

    async def _remove_expired(self, due: _Round) -> None:
        count = 0
        try:
            more = True
            while more and count < PURGED_PER_SWEEP:
                removed, more = await self._remove_first(due)
                count += removed
                if more and not removed:
                    break  # others are at it, or somebody waits for all of them
            if more:
                self._look_again(due, 0.0)
        finally:
            if count:
                log.info(
                    "ended instances removed by the retention policy",
                    extra={"status": due.status.name, "count": count},
                )

    async def _remove_first(self, due: _Round) -> tuple[int, bool]:
        """Remove what is due of the longest ended; return how many, and whether more may be due."""
        limit = PURGED_AT_ONCE + len(due.refused)
        query = EndedQuery(app_id=self._app_id, status=due.status, limit=limit)
        found = await self._backend.list_ended(query)
        expiry = examine(found, due.period)
        if expiry.next_in is not None:
            self._look_again(due, expiry.next_in.total_seconds())
        removable = (record for record in expiry.expired if _run(record) not in due.refused)
        removed = 0
        for portion in portions(
            removable, most_instances=PURGED_AT_ONCE, most_events=EVENTS_AT_ONCE
        ):
            began_s = self._clock.monotonic_s()
            removed += await self._remove(due, portion)
            # Half of the time at least belongs to the others that use the lane. Not after an outage.
            took_s = self._clock.monotonic_s() - began_s
            await asyncio.sleep(min(took_s, LONGEST_BREAK_S))
        return removed, len(expiry.expired) == limit

    async def _remove(self, due: _Round, portion: Sequence[InstanceRecord]) -> int:
        free = [record for record in portion if not self._watchers.is_watched(record.key)]
        if len(free) < len(portion):
            # A call that has been told of an end still has to read the result.
            self._look_again(due, 0.0)
        outcomes = await asyncio.gather(*map(self._purge, free))
        refused = {
            _run(record): outcome
            for record, outcome in zip(free, outcomes, strict=True)
            if isinstance(outcome, BackendError)
        }
        if refused:
            due.refused.update(refused)
            log.warning(
                "ended instances can't be removed and are left alone",
                extra={
                    "count": len(refused),
                    "instances": [key.instance_id for key, _ in refused][:REFUSED_IN_LOG],
                    "error": str(next(iter(refused.values()))),
                },
            )
        return sum(outcome is True for outcome in outcomes)

    async def _purge(self, record: InstanceRecord) -> bool | BackendError:
        """Remove an instance; False if it is gone already, the error if the store can't."""
        purge = PurgeInstance(key=record.key, execution_id=record.execution_id)
        try:
            result = await self._lane.write(purge)
        except BackendError as error:
            return error
        return isinstance(result, Purged)

    def _look_again(self, due: _Round, in_s: float) -> None:
        due.due_s = min(due.due_s, self._clock.monotonic_s() + in_s)


def _run(record: InstanceRecord) -> tuple[InstanceKey, ExecutionId]:
    return record.key, record.execution_id

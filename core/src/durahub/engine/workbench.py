"""What this sidecar has in flight: starts what was claimed, and knows how much more fits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from durahub.backend import (
    ActivityTask,
    ClaimedInstance,
    Operation,
    ReleaseActivity,
    ReleaseInstance,
    Room,
)
from durahub.engine.dispatch import Dispatcher
from durahub.engine.lane import StoreLane
from durahub.engine.options import UNLIMITED_IN_FLIGHT, EngineOptions
from durahub.errors import BackendError
from durahub.types import InstanceKey, TaskKey

log = logging.getLogger("durahub.engine.workbench")

Key = TypeVar("Key", InstanceKey, TaskKey)

URGENT_ROOM = 100
"""Instances to claim without any worker when something may be due that needs none."""

CLAIM_AT_ONCE = 256
"""Most instances, and most activity tasks, claimed at once: their size is known only afterwards."""


class Workbench:
    """Runs every claimed instance and activity task in a task of its own.

    The runners are given later by `equip`, because they write through the lane that claims for us.
    """

    def __init__(self, options: EngineOptions, dispatcher: Dispatcher) -> None:
        self.limit(options.max_concurrent_workflows, options.max_concurrent_activities)
        self._dispatcher = dispatcher
        self._bytes_limit = options.in_flight_bytes
        self._bytes = 0
        self._turns: dict[InstanceKey, asyncio.Task[None]] = {}
        self._activities: dict[TaskKey, asyncio.Task[None]] = {}
        self._is_closed = False
        self._stuck: set[InstanceKey | TaskKey] = set()

    def limit(self, workflows: int | None, activities: int | None) -> None:
        """Take on no more turns and activities than this; None for no limit set."""
        self._instance_limit = workflows or UNLIMITED_IN_FLIGHT
        self._activity_limit = activities or UNLIMITED_IN_FLIGHT

    def equip(
        self,
        group: asyncio.TaskGroup,
        lane: StoreLane,
        run_turn: Callable[[ClaimedInstance], Awaitable[None]],
        run_activity: Callable[[ActivityTask], Awaitable[None]],
    ) -> None:
        """Say where tasks live, where to give work back, and how work is done."""
        self._group = group
        self._lane = lane
        self._run_turn = run_turn
        self._run_activity = run_activity

    def room(self, *, urgent: bool) -> Room:
        """Return how much more may be claimed: nothing without a worker, unless it is urgent."""
        if self._is_closed or self._bytes > self._bytes_limit:
            return Room()
        instances = min(CLAIM_AT_ONCE, max(0, self._instance_limit - len(self._turns)))
        if not self._dispatcher.connected_workers:
            return Room(instances=min(URGENT_ROOM, instances) if urgent else 0)
        return Room(
            instances=instances,
            activities=min(CLAIM_AT_ONCE, max(0, self._activity_limit - len(self._activities))),
        )

    def accept(
        self, instances: Sequence[ClaimedInstance], activities: Sequence[ActivityTask]
    ) -> None:
        """Start the turns and activities that were claimed."""
        for claimed in instances:
            work = self._turn(claimed)
            self._start(self._turns, claimed.record.key, work, _inbox_bytes(claimed))
        for task in activities:
            self._start(self._activities, task.key, self._activity(task), len(task.payload))

    def holding(self) -> tuple[AbstractSet[InstanceKey], AbstractSet[TaskKey]]:
        """Return the instances and activity tasks in flight."""
        return self._turns.keys(), self._activities.keys()

    def close(self) -> None:
        """Take on nothing more."""
        self._is_closed = True

    async def abort(self) -> None:
        """Stop everything in flight, and return when it has stopped."""
        tasks = [*self._turns.values(), *self._activities.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, timeout_s: float) -> None:
        """Return when nothing is in flight, or after `timeout_s` seconds."""
        tasks = [*self._turns.values(), *self._activities.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def _start(
        self,
        place: dict[Key, asyncio.Task[None]],
        key: Key,
        work: Coroutine[Any, Any, None],
        size_bytes: int,
    ) -> None:
        task = self._group.create_task(work)
        place[key] = task
        self._bytes += size_bytes
        task.add_done_callback(lambda done: self._finished(place, key, done, size_bytes))

    def _finished(
        self,
        place: dict[Key, asyncio.Task[None]],
        key: Key,
        task: asyncio.Task[None],
        size_bytes: int,
    ) -> None:
        self._bytes -= size_bytes
        if place.get(key) is task:
            del place[key]
        if key in self._stuck:
            # Only now that it is not at hand any more does the lane give it back.
            self._stuck.discard(key)
            self._lane.doubt()
        self._lane.room_freed()

    async def _turn(self, claimed: ClaimedInstance) -> None:
        try:
            await self._run_turn(claimed)
        except BackendError as error:
            # Given back to be tried again; a store that is down holds this write up meanwhile.
            log.warning("turn failed", extra={"error": str(error)})
            await self._give_back(claimed.record.key, ReleaseInstance(key=claimed.record.key))

    async def _activity(self, task: ActivityTask) -> None:
        try:
            await self._run_activity(task)
        except BackendError as error:
            log.warning("activity failed", extra={"error": str(error)})
            await self._give_back(task.key, ReleaseActivity(task=task.key))

    async def _give_back(self, key: InstanceKey | TaskKey, release: Operation) -> None:
        try:
            await self._lane.write(release)
        except BackendError as error:
            log.warning("could not be given back", extra={"error": str(error)})
            self._stuck.add(key)


def _inbox_bytes(claimed: ClaimedInstance) -> int:
    messages = sum(len(stored.message.payload) for stored in claimed.messages)
    return messages + sum(len(timer.payload) for timer in claimed.timers)

"""The one lane to the store: group commit of all writes, and claims.

Whatever waits is written with one `apply`, while the next batch gathers. Claims take the same lane, so at
any moment it is known which answers from the store are outstanding, and after one that never came
everything that is not at hand can be given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Protocol

from durahub.backend import (
    NO_ROOM,
    ActivityTask,
    Backend,
    ChildrenExist,
    ClaimedInstance,
    CommitTurn,
    CreateInstance,
    Deliver,
    Operation,
    ParkInstance,
    ReleaseInstance,
    Result,
    Room,
)
from durahub.clock import Clock
from durahub.engine.batches import exclusive_keys
from durahub.engine.retry import Backoff
from durahub.errors import (
    BackendError,
    BackendUnavailableError,
    SessionFencedError,
    ShuttingDownError,
)
from durahub.types import InstanceKey, SessionId, TaskKey

log = logging.getLogger("durahub.engine.lane")

MAX_BATCH = 1000
"""Most operations of one batch."""


class Intake(Protocol):
    """Where claimed work goes."""

    def room(self, *, urgent: bool) -> Room:
        """Return how much may be claimed now; `urgent`: something that needs no worker may be due."""
        ...

    def accept(
        self, instances: Sequence[ClaimedInstance], activities: Sequence[ActivityTask]
    ) -> None:
        """Start what was claimed."""
        ...

    def holding(self) -> tuple[AbstractSet[InstanceKey], AbstractSet[TaskKey]]:
        """Return what is at hand."""
        ...


class StoreLane:
    """Carries writes to the store and claims from it, one call at a time."""

    def __init__(
        self,
        backend: Backend,
        intake: Intake,
        clock: Clock,
        *,
        safety_poll_s: float,
        is_limited: bool,
        renew: Callable[[], Awaitable[SessionId]],
    ) -> None:
        """Make a lane that is idle until `run`.

        Args:
            backend: The store.
            intake: Takes what is claimed.
            clock: Tells how long until something is due.
            safety_poll_s: Longest time between two looks for due work, in seconds.
            is_limited: Whether the session has limits, so that writing may make room for what it left.
            renew: Replaces the session after it was fenced, and returns the new one's id.
        """
        self._backend = backend
        self._intake = intake
        self._clock = clock
        self._safety_poll_s = safety_poll_s
        self._is_limited = is_limited
        self._renew = renew
        self._session_id = SessionId("")
        self._waiting: deque[tuple[Operation, asyncio.Future[Result]]] = deque()
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._look = True
        self._next_look_s: float = 0.0
        self._is_unsure = False
        self._given_back: set[InstanceKey] = set()
        self._is_fenced = False
        self._is_closed = False
        self._is_starved = False
        self._alone = 0
        self._backoff = Backoff()

    @property
    def is_healthy(self) -> bool:
        """Whether the last call to the store was answered."""
        return self._backoff.attempts == 0

    async def write(self, operation: Operation) -> Result:
        """Make one operation durable and return what became of it.

        Waits while the store is unavailable. A cancelled call's operation may still take effect.

        Raises:
            ShuttingDownError: The lane is closed; nothing was written.
            BackendError: The store can't take this operation, whoever asks how often.
        """
        if self._is_closed:
            raise ShuttingDownError
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, future))
        self._drained.clear()
        self._wake.set()
        return await future

    def look(self) -> None:
        """Look for due work soon: something may have become due, or there is room for more."""
        self._look = True
        self._wake.set()

    def expect(self, due_at: datetime) -> None:
        """Look for due work at a moment: what was just given back becomes due then by itself."""
        self._look_by((due_at - self._clock.now()).total_seconds())

    def room_freed(self) -> None:
        """Look for due work if some may have been left for want of room."""
        if self._is_starved:
            self._is_starved = False
            self.look()

    def use_session(self, session_id: SessionId) -> None:
        """Write and claim for this session from now on."""
        self._session_id = session_id

    async def run(self) -> None:
        """Carry out what waits, until cancelled."""
        while True:
            await self._idle()
            try:
                await self._once()
            except BackendUnavailableError as error:
                self._is_unsure = True
                self._look = True
                delay_s = self._backoff.failed()
                log.warning("store unavailable, trying again", extra={"error": str(error)})
                await asyncio.sleep(delay_s)
            except SessionFencedError:
                log.warning("session was fenced, starting a new one")
                self._is_fenced = True
                self._look = True
            else:
                if self._backoff.attempts:
                    log.info("store available again")
                self._backoff.succeeded()

    async def drain(self) -> None:
        """Return when everything that waits now is written."""
        await self._drained.wait()

    def close(self) -> None:
        """Take no more writes; those that still wait are given up."""
        self._is_closed = True
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(ShuttingDownError())
        self._waiting.clear()

    async def _idle(self) -> None:
        if self._waiting or self._look or self._is_unsure:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.0, self._next_look_s - self._clock.monotonic_s())):
                await self._wake.wait()
        except TimeoutError:
            self._look = True

    async def _once(self) -> None:
        if self._is_fenced:
            self._session_id = await self._renew()
            self._given_back.clear()
            self._is_fenced = self._is_unsure = False
        if self._waiting:
            await self._write_batch()
        if self._is_unsure:
            await self._release_unknown()
        if not self._waiting:
            self._drained.set()
        if self._look:
            await self._claim()

    async def _release_unknown(self) -> None:
        """Give back what an answer that never came may have claimed for us.

        That may be an instance whose commit took effect by the call without an answer, and which was
        claimed anew with it: whatever has been written since does not count as at hand.
        """
        instances, tasks = self._intake.holding()
        await self._backend.release_except(self._session_id, instances - self._given_back, tasks)
        self._given_back.clear()
        self._is_unsure = False

    async def _write_batch(self) -> None:
        batch = self._take_batch()
        operations = [operation for operation, _ in batch]
        urgent = any(isinstance(op, Deliver) and op.expedite for op in operations)
        # Until it is known what belongs to us, nothing more is taken on.
        room = NO_ROOM if self._is_unsure else self._intake.room(urgent=urgent)
        try:
            applied = await self._backend.apply(self._session_id, operations, room)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except BackendError as error:
            if error.retryable or isinstance(error, SessionFencedError) or len(batch) > 1:
                self._waiting.extendleft(reversed(batch))
            if error.retryable or isinstance(error, SessionFencedError):
                raise
            self._isolate(batch, error)
            return
        # Results first: a turn that was committed puts its history back before the next one starts.
        for (_, future), result in zip(batch, applied.results, strict=True):
            if not future.done():
                future.set_result(result)
        if self._is_unsure:
            self._given_back.update(
                operation.key
                for operation, result in zip(operations, applied.results, strict=True)
                if isinstance(operation, CommitTurn | ReleaseInstance | ParkInstance)
                and not isinstance(result, ChildrenExist)  # then the turn goes on
            )
        self._intake.accept(applied.instances, applied.activities)
        self._note_leftovers(room, len(applied.instances), len(applied.activities))
        self._expect_starts(operations)
        if self._is_limited:
            # It may have given back a place that something older waits for, and never claims past that.
            self._look = True

    def _note_leftovers(self, room: Room, instances: int, activities: int) -> None:
        """See to it that what may have been left for want of room is claimed: now, or when some is freed."""
        full = instances >= room.instances, activities >= room.activities
        if not any(full):
            return
        self._is_starved = True
        now = self._intake.room(urgent=False)
        if (full[0] and instances and now.instances) or (full[1] and activities and now.activities):
            self._look = True

    def _isolate(
        self, batch: list[tuple[Operation, asyncio.Future[Result]]], error: BackendError
    ) -> None:
        """Find the operation that the store can't take, so that it holds back no other."""
        if len(batch) > 1:
            self._alone = len(batch)
            return
        ((_, future),) = batch
        if not future.done():
            future.set_exception(error)

    def _take_batch(self) -> list[tuple[Operation, asyncio.Future[Result]]]:
        """Take what waits, in order, leaving for the next batch what may not be in the same one."""
        batch: list[tuple[Operation, asyncio.Future[Result]]] = []
        held_back: list[tuple[Operation, asyncio.Future[Result]]] = []
        taken: set[InstanceKey] = set()
        most = 1 if self._alone else MAX_BATCH
        self._alone = max(0, self._alone - 1)
        while self._waiting and len(batch) < most:
            entry = self._waiting.popleft()
            keys = exclusive_keys(entry[0])
            if taken.isdisjoint(keys):
                batch.append(entry)
            else:
                held_back.append(entry)
            # Also what was held back keeps later ones back: their order stays.
            taken.update(keys)
        self._waiting.extendleft(reversed(held_back))
        return batch

    async def _claim(self) -> None:
        room = self._intake.room(urgent=False)
        self._look = False
        self._is_starved = not room.instances or not room.activities
        if not room.instances and not room.activities:
            self._next_look_s = self._clock.monotonic_s() + self._safety_poll_s
            return
        claims = await self._backend.claim_instances(self._session_id, room.instances)
        self._intake.accept(claims.instances, ())
        tasks: tuple[ActivityTask, ...] = ()
        if room.activities:
            tasks = await self._backend.claim_activities(self._session_id, room.activities)
            self._intake.accept((), tasks)
        self._note_leftovers(room, len(claims.instances), len(tasks))
        self._next_look_s = self._clock.monotonic_s() + self._safety_poll_s
        if claims.next_due_at is not None:
            self._look_by((claims.next_due_at - claims.now).total_seconds())

    def _expect_starts(self, operations: Sequence[Operation]) -> None:
        """Look again when something that was just created is to start."""
        moments = [
            creation.not_before
            for operation in operations
            for creation in _creations(operation)
            if creation.not_before is not None
        ]
        if moments:
            self._look_by((min(moments) - self._clock.now()).total_seconds())

    def _look_by(self, delay_s: float) -> None:
        moment_s = self._clock.monotonic_s() + max(0.0, delay_s)
        if moment_s < self._next_look_s:
            self._next_look_s = moment_s
            self._wake.set()


def _creations(operation: Operation) -> Sequence[CreateInstance]:
    if isinstance(operation, CreateInstance):
        return (operation,)
    return operation.children if isinstance(operation, CommitTurn) else ()

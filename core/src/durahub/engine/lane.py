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
    BackendCorruptionError,
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
        self._is_roomless = False
        self._damage = Backoff()
        self._intake_opens_s = 0.0
        self._is_release_damaged = False

    @property
    def is_healthy(self) -> bool:
        """Whether the store answered the last call, and the last claim did not meet damage."""
        return self._backoff.attempts == 0 and self._damage.attempts == 0

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

    def doubt(self) -> None:
        """Give back, soon, whatever belongs to the session and is not at hand."""
        self._is_unsure = True
        self._wake.set()

    async def run(self) -> None:
        """Carry out what waits, until cancelled.

        A store that finds damage when it is claimed from is claimed from less and less often, until it
        does no more; writes go on meanwhile.
        """
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
        if self._waiting or self._may_release or self._may_claim:
            return
        is_put_off = self._look or self._is_unsure
        until_s = self._intake_opens_s if is_put_off else self._next_look_s
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.0, until_s - self._clock.monotonic_s())):
                await self._wake.wait()
        except TimeoutError:
            self._look = True

    async def _once(self) -> None:
        if self._is_fenced:
            self._session_id = await self._renew()
            self._given_back.clear()
            self._is_fenced = self._is_unsure = self._is_release_damaged = False
        if self._waiting:
            await self._write_batch()
        if not self._waiting:
            self._drained.set()
        try:
            if self._may_release:
                await self._release_unknown()
            if self._may_claim:
                await self._claim()
        except BackendCorruptionError as error:
            self._put_off_intake(error)

    @property
    def _may_release(self) -> bool:
        return self._is_unsure and (not self._is_release_damaged or self._is_intake_open)

    @property
    def _may_claim(self) -> bool:
        return self._look and not self._is_unsure and self._is_intake_open

    @property
    def _is_intake_open(self) -> bool:
        return self._clock.monotonic_s() >= self._intake_opens_s

    def _put_off_intake(self, error: BackendCorruptionError) -> None:
        self._intake_opens_s = self._clock.monotonic_s() + self._damage.failed()
        self._look = True
        log.error(
            "the store is damaged: what waits in it can't be claimed, and is tried again",
            extra={"error": str(error)},
        )

    async def _release_unknown(self) -> None:
        """Give back what an answer that never came may have claimed for us.

        That may be an instance whose commit took effect by the call without an answer, and which was
        claimed anew with it: whatever has been written since does not count as at hand.
        """
        instances, tasks = self._intake.holding()
        held = instances - self._given_back
        try:
            await self._backend.release_except(self._session_id, held, tasks)
        except BackendCorruptionError:
            self._is_release_damaged = True
            raise
        self._given_back.clear()
        self._is_unsure = self._is_release_damaged = False

    async def _write_batch(self) -> None:
        batch = self._take_batch()
        operations = [operation for operation, _ in batch]
        urgent = any(isinstance(op, Deliver) and op.expedite for op in operations)
        # Until it is known what belongs to us, nothing more is taken on.
        is_roomless = self._is_unsure or self._is_roomless
        room = NO_ROOM if is_roomless else self._intake.room(urgent=urgent)
        self._is_roomless = False
        try:
            applied = await self._backend.apply(self._session_id, operations, room)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except BackendError as error:
            if error.retryable or isinstance(error, SessionFencedError):
                self._waiting.extendleft(reversed(batch))
                raise
            self._isolate(batch, room, error)
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
        # Limits: it may have given back a place that something older waits for, and never claims past that.
        self._look = self._look or is_roomless or self._is_limited

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
        self,
        batch: list[tuple[Operation, asyncio.Future[Result]]],
        room: Room,
        error: BackendError,
    ) -> None:
        """Find the operation that the store can't take, so that it holds back no other."""
        # Contrary to its contract, a damaged store may have written or claimed something all the same.
        self._is_unsure = self._is_unsure or isinstance(error, BackendCorruptionError)
        if len(batch) > 1 or room != NO_ROOM:
            # Alone first; then without claiming anything, because it may be that which failed.
            self._waiting.extendleft(reversed(batch))
            self._alone += len(batch)
            self._is_roomless = len(batch) == 1
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
        self._next_look_s = self._clock.monotonic_s() + self._safety_poll_s
        if not room.instances and not room.activities:
            return
        damage: BackendCorruptionError | None = None
        instances = 0
        try:
            instances = await self._claim_instances(room.instances)
        except BackendCorruptionError as error:
            # Activity tasks may be sound all the same.
            damage = error
        tasks = await self._claim_activities(room.activities)
        self._note_leftovers(room, instances, tasks)
        if damage is not None:
            # What was claimed before the damage was met belongs to us, and nobody told us of it.
            self._is_unsure = True
            await self._release_unknown()
            raise damage
        self._damage.succeeded()

    async def _claim_instances(self, limit: int) -> int:
        claims = await self._backend.claim_instances(self._session_id, limit)
        self._intake.accept(claims.instances, ())
        if claims.next_due_at is not None:
            self._look_by((claims.next_due_at - claims.now).total_seconds())
        return len(claims.instances)

    async def _claim_activities(self, limit: int) -> int:
        if not limit:
            return 0
        tasks = await self._backend.claim_activities(self._session_id, limit)
        self._intake.accept((), tasks)
        return len(tasks)

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

"""The engine: runs the workflows of one application on one task hub."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from durahub.backend import (
    Backend,
    BackendServices,
    Forwarded,
    Heartbeat,
    InstanceChanged,
    Session,
)
from durahub.clock import Clock
from durahub.engine.activities import ActivityRunner
from durahub.engine.answers import Answers
from durahub.engine.client import Client
from durahub.engine.damage import PASSING, report_damage
from durahub.engine.dispatch import Dispatcher
from durahub.engine.expiry import RetentionPolicy
from durahub.engine.lane import StoreLane
from durahub.engine.occupied import settle_occupied
from durahub.engine.options import UNLIMITED_IN_FLIGHT, EngineOptions
from durahub.engine.parking import Parkings
from durahub.engine.pauses import watch_for_pauses
from durahub.engine.residents import Residents
from durahub.engine.retention import Retention
from durahub.engine.retry import Backoff
from durahub.engine.stalled import Retrials
from durahub.engine.streams import ItemName
from durahub.engine.turns import TurnRunner, TurnServices
from durahub.engine.watchers import Watchers
from durahub.engine.workbench import Workbench
from durahub.errors import (
    BackendError,
    SessionFencedError,
)
from durahub.protocol import messages as pb
from durahub.types import SessionId

log = logging.getLogger("durahub.engine")

HEARTBEATS_PER_LIFE = 3
"""Heartbeats that may get lost within a session's time to live, plus one."""

SHORTEST_BEAT_S = 0.05
"""Least time between two heartbeats, however soon somebody else is overdue."""


class Engine:
    """Connects workers and clients with a backend.

    Life: `start`, work, `close_streams`, `stop`; `start` and `stop` from the same task. An error that
    the engine can't handle cancels that task, so that a broken engine never goes on half-way.

    Attributes:
        client: What clients may ask.
    """

    def __init__(self, backend: Backend, options: EngineOptions, clock: Clock) -> None:
        self._backend = backend
        self._options = options
        self._clock = clock
        wanted = options.session_time_to_live
        self._time_to_live = backend.session_time_to_live if wanted is None else wanted
        self._session: Session | None = None
        self._dispatcher = Dispatcher(
            grace_s=options.worker_grace.total_seconds(),
            ping_s=options.health_ping.total_seconds(),
            on_room=self._worker_connected,
        )
        self._residents = Residents(backend, options.cached_history_bytes)
        self._workbench = Workbench(options, self._dispatcher)
        self._lane = StoreLane(
            backend,
            self._workbench,
            clock,
            safety_poll_s=options.safety_poll.total_seconds(),
            is_limited=bool(options.limits),
            renew=self._renew_session,
        )
        self._answers = Answers(
            backend,
            self._dispatcher,
            safety_poll_s=options.safety_poll.total_seconds(),
            on_fenced=self._lane.doubt,
        )
        self._watchers = Watchers(backend)
        self._retention = Retention(backend, self._lane, self._watchers, clock, options)
        self.client = Client(backend, self._lane, self._watchers, clock, options.app_id)
        self._retrials = Retrials(
            backend,
            self._lane,
            options.app_id,
            has_worker=lambda: self.connected_workers > 0,
            safety_poll_s=options.safety_poll.total_seconds(),
        )
        self._parkings = Parkings()
        self._is_started = False

    @property
    def is_ready(self) -> bool:
        """Whether requests can be carried out now: started, and the store answers."""
        return self._is_started and self._lane.is_healthy

    @property
    def connected_workers(self) -> int:
        """Number of open worker streams."""
        return self._dispatcher.connected_workers

    @property
    def parked(self) -> Mapping[str, int]:
        """How many instances this sidecar has parked since it was made, by the kind of reason."""
        return self._parkings.counts

    def _services(self) -> BackendServices:
        return BackendServices(
            clock=self._clock,
            settle_occupied=partial(settle_occupied, self._backend, self._clock),
            components=self._options.components,
            internal_grpc_port=self._options.internal_grpc_port,
        )

    async def start(self) -> None:
        """Open the backend, create the task hub if need be, and begin to work.

        Raises:
            BackendError: The store can't be used, or not with these options; it is closed again.
        """
        await self._backend.open(self._services())
        try:
            await self._backend.create_hub()
            self._lane.use_session(await self._register())
        except BaseException:
            await self._backend.close()
            raise
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._equip()
        self._background = [
            self._group.create_task(work)
            for work in (
                self._lane.run(),
                self._dispatcher.run(),
                self._keep_session(),
                self._look_for_lost_hints(),
                self._answers.run(),
                self._retrials.run(),
                watch_for_pauses(self._recover_from_pause),
            )
        ]
        self._sweeps = self._group.create_task(self._retention.run())
        self._hints = self._group.create_task(self._follow_hints())
        self._is_started = True
        log.info("Workflow engine started", extra={"backend": self._backend.describe()})

    def reconfigure(
        self,
        *,
        max_concurrent_workflows: int | None,
        max_concurrent_activities: int | None,
        retention: RetentionPolicy,
    ) -> None:
        """Go by other limits of this sidecar, and by another retention policy, from now on.

        What is in flight goes on, and counts for the new limits.

        Args:
            max_concurrent_workflows: Most turns in flight; None for no limit set.
            max_concurrent_activities: Most activities in flight; None for no limit set.
            retention: How long ended instances are kept, also those that have ended already.
        """
        self._workbench.limit(max_concurrent_workflows, max_concurrent_activities)
        self._lane.room_freed()
        self._retention.change(retention)

    async def close_streams(self) -> None:
        """End all worker streams and accept none from now on; claim nothing more."""
        self._workbench.close()
        self._dispatcher.close()

    async def stop(self, timeout_s: float) -> None:
        """Finish what is being written, give back what this sidecar owns, and close the backend.

        Args:
            timeout_s: How long what is in flight may take to finish; then it is given up, and done
                again by whoever claims it next.
        """
        self._is_started = False
        self._sweeps.cancel()
        await self.close_streams()
        await self._workbench.drain(timeout_s)
        await self._workbench.abort()
        try:
            async with asyncio.timeout(timeout_s):
                await self._lane.drain()
                await self._answers.drain()
                await self._end_background()
                if self._session is not None:
                    await self._backend.unregister(self._session.session_id)
        except (TimeoutError, BackendError) as error:
            log.warning(
                "the session could not be ended; it ends by its time to live",
                extra={"error": str(error)},
            )
        await self._end_background()
        await self._group.__aexit__(None, None, None)
        self._lane.close()
        await self._backend.close()
        log.info("Workflow engine stopped")

    async def _end_background(self) -> None:
        # A lane that goes on finds its session ended, and would begin another one that nobody ends.
        self._answers.close()
        tasks = (*self._background, self._hints)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def work_items(
        self, request: pb.GetWorkItemsRequest, *, items_limit: int = UNLIMITED_IN_FLIGHT
    ) -> AsyncGenerator[bytes, None]:
        """Yield serialised work items for one worker; closing the iterator disconnects it.

        Args:
            request: What the worker asked for.
            items_limit: Most items that it is given before it answers one.

        Raises:
            ShuttingDownError: The sidecar stops.
        """
        return self._dispatcher.serve(
            stateful_history=pb.WORKER_CAPABILITY_STATEFUL_HISTORY in request.capabilities,
            health_ping=pb.WORKER_CAPABILITY_HEALTH_PING in request.capabilities,
            items_limit=items_limit,
        )

    async def complete_workflow(self, response: pb.WorkflowResponse) -> None:
        """Take a worker's answer to a turn, whichever sidecar of the application asked for it.

        One that belongs here may be lost with this process, and is then asked for again; one that belongs
        elsewhere is with the store when this returns.
        """
        name = ItemName(response.instanceId, None)
        await self._answers.take(name, response)

    async def complete_activity(self, response: pb.ActivityResponse) -> None:
        """Take an activity's result, whichever sidecar of the application asked for it.

        When this returns it is durable, or with the store for the sidecar that asked, or nobody wants it.

        A result that names no instance is ignored, and a warning is logged: task ids are unique within an
        instance only, and whoever guessed would now and then fail another instance's activity.
        """
        if not response.instanceId:
            log.warning(
                "a worker's answer to an activity names no instance, so that its workflow goes on waiting; "
                "Dapr's JavaScript SDK before 3.17 answers like this when an activity fails",
                extra={"task_id": response.taskId},
            )
        name = ItemName(response.instanceId, response.taskId)
        await self._answers.take(name, response)

    def _equip(self) -> None:
        turns = TurnRunner(
            TurnServices(
                backend=self._backend,
                lane=self._lane,
                dispatcher=self._dispatcher,
                residents=self._residents,
                watchers=self._watchers,
                retrials=self._retrials,
                retention=self._retention,
                parkings=self._parkings,
                clock=self._clock,
                options=self._options,
            )
        )
        activities = ActivityRunner(self._lane, self._dispatcher, self._clock)
        self._workbench.equip(self._group, self._lane, turns.run, activities.run)
        self._answers.equip(self._group)

    async def _register(self) -> SessionId:
        self._session = Session(
            session_id=SessionId(uuid.uuid4().hex),
            app_id=self._options.app_id,
            time_to_live=self._time_to_live,
            holder=f"{socket.gethostname()}, process {os.getpid()}",
            limits=self._options.limits,
        )
        session_id = self._session.session_id
        await self._backend.register(self._session)
        self._dispatcher.use_session(session_id)
        self._answers.use_session(session_id)
        return session_id

    async def _renew_session(self) -> SessionId:
        """Start over after the session was fenced: nothing in flight belongs to us any more."""
        await self._workbench.abort()
        self._residents.clear()
        session_id = await self._register()
        self._hints.cancel()
        self._hints = self._group.create_task(self._follow_hints())
        return session_id

    async def _keep_session(self) -> None:
        interval_s = self._time_to_live.total_seconds() / HEARTBEATS_PER_LIFE
        backoff = Backoff(longest_s=interval_s)
        while True:
            try:
                if self._session is not None:
                    beat = await self._backend.heartbeat(self._session.session_id)
                    if beat.fenced:
                        self._lane.look()
                    delay_s = _until_next_beat_s(beat, interval_s)
                else:
                    delay_s = interval_s
                backoff.succeeded()
            except SessionFencedError:
                # The lane finds out too, and renews the session; without a worker it would not ask.
                self._lane.doubt()
                delay_s = interval_s
            except PASSING as error:
                report_damage("heartbeat", error)
                delay_s = backoff.failed()
            await asyncio.sleep(delay_s)

    async def _follow_hints(self) -> None:
        while True:
            assert self._session is not None
            try:
                async for hint in self._backend.wakeups(self._session.session_id):
                    if isinstance(hint, InstanceChanged):
                        await self._watchers.look([hint.key])
                    elif isinstance(hint, Forwarded):
                        self._answers.look()
                    else:
                        self._lane.look()
            except (*PASSING, SessionFencedError) as error:
                report_damage("following hints", error)
                await asyncio.sleep(self._options.safety_poll.total_seconds())

    async def _look_for_lost_hints(self) -> None:
        while True:
            await asyncio.sleep(self._options.safety_poll.total_seconds())
            try:
                await self._watchers.look_at_all()
            except PASSING as error:
                report_damage("watching", error)

    def _recover_from_pause(self, seconds: float) -> None:
        """Ask for answers again that were sent in vain while this process did not run.

        Workers give up after half a minute and do not repeat them, and their streams live on.
        """
        self._dispatcher.reconnect(f"the sidecar did not run for {seconds:.0f} s; connect again")
        self._lane.look()

    def _worker_connected(self) -> None:
        self._lane.look()
        self._retrials.worker_connected()


def _until_next_beat_s(beat: Heartbeat, interval_s: float) -> float:
    """Return when to send the next heartbeat: in time, or as soon as another session may be overdue.

    Where all live, the others' own heartbeats come earlier and nothing is sent more often.
    """
    if beat.next_overdue_at is None:
        return interval_s
    overdue_s = (beat.next_overdue_at - beat.now).total_seconds()
    return min(interval_s, max(overdue_s, SHORTEST_BEAT_S))

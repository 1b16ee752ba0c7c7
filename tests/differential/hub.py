"""A task hub that carries out programs and tells what anyone could have observed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from durahub.backend import Backend
from durahub.engine import Engine, EngineOptions
from durahub.errors import RequestError
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.testing import ManualClock
from durahub.types import AppId

from core.tests.engine.hub import until
from core.tests.engine.making import kinds
from core.tests.engine.worker import Worker, working
from tests.differential.flows import FLOWS
from tests.differential.programs import (
    IDS,
    LoseWorker,
    Purge,
    Raise,
    Rerun,
    Restart,
    Resume,
    Start,
    Step,
    Suspend,
    Terminate,
    Wait,
)

WATCHED = (*IDS, "again", *(f"{name}/{number}" for name in (*IDS, "again") for number in (0, 1)))
QUIET_ROUNDS = 3
PATIENCE_S = 0.3


class TickingClock(ManualClock):
    """Never tells one moment twice: how those are listed that were created at one is the backend's."""

    def now(self) -> datetime:
        self.advance(timedelta(microseconds=1))
        return super().now()


async def observe(
    new_backend: Callable[[], Backend], program: list[Step], app_id: AppId
) -> list[Any]:
    """Return what clients of an application see after each step of a program."""
    async with Hub.opened(new_backend, app_id) as hub:
        return [await hub.step(step) for step in program]


class Hub:
    """One store with one sidecar and one worker at a time, on a clock that only the program moves."""

    def __init__(self, new_backend: Callable[[], Backend], app_id: AppId) -> None:
        self._new_backend = new_backend
        self._app_id = app_id
        self._clock = TickingClock()
        self._running = AsyncExitStack()
        self._engine: Engine
        self._worker: Worker

    @classmethod
    @asynccontextmanager
    async def opened(cls, new_backend: Callable[[], Backend], app_id: AppId) -> AsyncIterator[Hub]:
        """Start a hub, and stop it in the end."""
        hub = cls(new_backend, app_id)
        await hub._start()
        try:
            yield hub
        finally:
            await hub._running.aclose()

    async def step(self, step: Step) -> Any:
        """Carry out one step, let everything happen that follows from it, and look."""
        answer = await self._answer(step)
        return step, answer, await self._look()

    async def _start(self) -> None:
        options = EngineOptions(app_id=self._app_id, worker_grace=timedelta(hours=1))
        self._engine = Engine(self._new_backend(), options, self._clock)
        await self._engine.start()
        self._running.push_async_callback(self._engine.stop, 1)
        self._worker = await self._running.enter_async_context(working(self._engine, FLOWS))

    async def _answer(self, step: Step) -> str:
        match step:
            case Wait(seconds):
                self._clock.advance(timedelta(seconds=seconds))
                await self._settle()
                return "waited"
            case LoseWorker():
                self._worker.leave()
                await until(lambda: not self._engine.connected_workers)
                self._worker = await self._running.enter_async_context(working(self._engine, FLOWS))
                await self._settle()
                return "another worker"
            case Restart():
                await self._running.aclose()
                await self._start()
                await self._settle()
                return "another sidecar"
            case _:
                return await self._call(step)

    async def _call(self, step: Step) -> str:
        """Make a client's call; one that still waits when nothing happens any more is given up."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_outcome(self._request(step)))
            # It reads as well, which nothing shows: only much later is it sure to wait for more.
            await asyncio.wait([task], timeout=0.005)
            await self._settle()
            await asyncio.wait([task], timeout=PATIENCE_S)
            await self._settle()
            if not task.done():
                task.cancel()
                return "still waiting"
        return task.result()

    def _request(self, step: Step) -> Coroutine[Any, Any, Any]:  # noqa: PLR0911 -- one per step
        client = self._engine.client
        match step:
            case Start(instance_id, name, delay_s, unique):
                request = pb.CreateInstanceRequest(
                    instanceId=instance_id, name=name, enforceUniqueInstanceId=unique
                )
                if delay_s is not None:
                    moment = self._clock.now() + timedelta(seconds=delay_s)
                    request.scheduledStartTimestamp.CopyFrom(to_timestamp(moment))
                return client.start(request)
            case Raise(instance_id, name, times):
                return self._raise(pb.RaiseEventRequest(instanceId=instance_id, name=name), times)
            case Suspend(instance_id):
                return client.suspend(pb.SuspendRequest(instanceId=instance_id))
            case Resume(instance_id):
                return client.resume(pb.ResumeRequest(instanceId=instance_id))
            case Terminate(instance_id, recursive):
                return client.terminate(
                    pb.TerminateRequest(instanceId=instance_id, recursive=recursive)
                )
            case Purge(instance_id, recursive, force):
                return client.purge(
                    pb.PurgeInstancesRequest(
                        instanceId=instance_id, recursive=recursive, force=force
                    )
                )
            case Rerun(instance_id, event_id, new_id):
                return client.rerun(
                    pb.RerunWorkflowFromEventRequest(
                        sourceInstanceID=instance_id, eventID=event_id, newInstanceID=new_id
                    )
                )
            case _:
                raise AssertionError(step)

    async def _raise(self, request: pb.RaiseEventRequest, times: int) -> str:
        for _ in range(times):
            await self._engine.client.raise_event(request)
        return "raised"

    async def _settle(self) -> None:
        """Return when nothing happens any more until time passes or a client calls."""
        lane, workbench = self._engine._lane, self._engine._workbench
        quiet = 0
        async with asyncio.timeout(20):
            while quiet < QUIET_ROUNDS:
                lane.look()
                # One look at a time: a store may take longer to answer than we to ask again.
                while lane._look:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.001)
                await lane.drain()
                busy = any(workbench.holding()) or lane._look or lane._waiting
                quiet = 0 if busy else quiet + 1

    async def _look(self) -> Any:
        client = self._engine.client
        listing = await client.list_ids(pb.ListInstanceIDsRequest())
        return list(listing.instanceIds), [await self._view(name) for name in WATCHED]

    async def _view(self, instance_id: str) -> Any:
        client = self._engine.client
        found = await client.get(
            pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        )
        if not found.exists:
            return None
        state = found.workflowState
        history = pb.GetInstanceHistoryResponse.FromString(
            await client.history(pb.GetInstanceHistoryRequest(instanceId=instance_id))
        )
        return (
            instance_id,
            state.name,
            pb.OrchestrationStatus.Name(state.workflowStatus),
            state.output.value,
            state.failureDetails.errorMessage,
            state.parentInstanceId.value,
            # How news is spread over turns depends on the moment and promises nothing.
            [kind for kind in kinds(history.events) if kind != "workflowStarted"],
        )


async def _outcome(call: Coroutine[Any, Any, Any]) -> str:
    try:
        answer = await call
    except RequestError as error:
        return f"{type(error).__name__}: {error}"
    return str(answer).strip()

"""Engines on memory stores that obey tests: counted, delayed, interrupted, killed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from durahub.backend import Applied, Heartbeat, InstanceView, Operation
from durahub.clock import Clock, SystemClock
from durahub.engine import Engine, EngineOptions
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp
from durahub.testing import MemoryBackend, MemorySettings, MemoryStore
from durahub.testing.memory_rows import InstanceRow
from durahub.types import InstanceKey

from .making import APP, text

T = TypeVar("T")
Step = Callable[[str], Awaitable[None]]

FOR_EVER = timedelta(hours=1)
SOON_S = 0.02


async def nothing(_: str) -> None:
    """Do nothing at a step."""


class WatchedBackend(MemoryBackend):
    """A memory backend that counts its calls and lets a test act before and after each of them.

    Attributes:
        before: Called with the method's name before its effect.
        after: Called with the method's name after its effect; what it raises is an answer lost.
        calls: How often each method was called.
        batches: The operations of every `apply`.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(MemorySettings(), store)
        self.before: Step = nothing
        self.after: Step = nothing
        self.calls: Counter[str] = Counter()
        self.batches: list[Sequence[Operation]] = []

    @property
    def store(self) -> MemoryStore:
        return self._store

    async def _around(self, name: str, call: Coroutine[Any, Any, T]) -> T:
        self.calls[name] += 1
        try:
            await self.before(name)
        except BaseException:
            call.close()
            raise
        result = await call
        await self.after(name)
        return result

    async def register(self, *args: Any) -> Heartbeat:
        return await self._around("register", super().register(*args))

    async def heartbeat(self, *args: Any) -> Heartbeat:
        return await self._around("heartbeat", super().heartbeat(*args))

    async def release_except(self, *args: Any) -> None:
        return await self._around("release_except", super().release_except(*args))

    async def apply(self, session_id: Any, operations: Any, *args: Any) -> Applied:
        self.batches.append(operations)
        return await self._around("apply", super().apply(session_id, operations, *args))

    async def claim_instances(self, *args: Any) -> Any:
        return await self._around("claim_instances", super().claim_instances(*args))

    async def claim_activities(self, *args: Any) -> Any:
        return await self._around("claim_activities", super().claim_activities(*args))

    async def owners(self, *args: Any) -> Any:
        return await self._around("owners", super().owners(*args))

    async def forward(self, *args: Any) -> bool:
        return await self._around("forward", super().forward(*args))

    async def take_forwarded(self, *args: Any) -> Any:
        return await self._around("take_forwarded", super().take_forwarded(*args))

    async def get(self, *args: Any, **options: Any) -> tuple[InstanceView | None, ...]:
        return await self._around("get", super().get(*args, **options))

    async def history(self, *args: Any) -> Any:
        return await self._around("history", super().history(*args))

    async def list_instances(self, *args: Any) -> Any:
        return await self._around("list_instances", super().list_instances(*args))

    async def list_ended(self, *args: Any) -> Any:
        return await self._around("list_ended", super().list_ended(*args))


def jitter(source: random.Random) -> Step:
    """Return a step that takes a few turns of the loop, as a real store would."""

    async def step(_: str) -> None:
        for _ in range(source.randrange(4)):
            await asyncio.sleep(0)

    return step


def options(**changes: Any) -> EngineOptions:
    fields: dict[str, Any] = {
        "app_id": APP,
        "safety_poll": timedelta(seconds=SOON_S),
        "worker_grace": timedelta(seconds=SOON_S),
        "session_time_to_live": timedelta(seconds=10),
    }
    return EngineOptions(**{**fields, **changes})


@asynccontextmanager
async def running(
    backend: MemoryBackend | None = None, *, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[Engine]:
    """Run an engine, and stop it well in the end."""
    engine = Engine(backend or WatchedBackend(), options(**changes), clock or SystemClock())
    async with asyncio.timeout(15):
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(0.5)


async def kill(engine: Engine) -> None:
    """End an engine as a crash would: nothing is written, given back or unregistered."""
    for task in list(engine._group._tasks):
        task.cancel()
    await engine._group.__aexit__(None, None, None)


async def until(condition: Callable[[], bool], within_s: float = 5) -> None:
    """Wait for what the loop brings about."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- nothing tells of what tests look at
            await asyncio.sleep(0.002)


async def settled(turns: int = 50) -> None:
    """Let everything that can happen now happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


def row(engine: Engine, instance_id: str) -> InstanceRow:
    return store_of(engine).instances[InstanceKey(APP, instance_id)]


def store_of(engine: Engine) -> MemoryStore:
    backend = engine._backend
    assert isinstance(backend, MemoryBackend)
    return backend._store


# Clients


async def start(
    engine: Engine,
    instance_id: str,
    name: str = "Flow",
    value: str | None = None,
    *,
    at: datetime | None = None,
    unique: bool = False,
) -> str:
    request = pb.CreateInstanceRequest(
        instanceId=instance_id,
        name=name,
        input=text(value),
        scheduledStartTimestamp=to_timestamp(at) if at else None,
        enforceUniqueInstanceId=unique,
    )
    return (await engine.client.start(request)).instanceId


async def get(engine: Engine, instance_id: str) -> pb.GetInstanceResponse:
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
    return await engine.client.get(request)


async def status(engine: Engine, instance_id: str) -> str:
    found = (await get(engine, instance_id)).workflowState.workflowStatus
    return pb.OrchestrationStatus.Name(found).removeprefix("ORCHESTRATION_STATUS_")


async def finished(engine: Engine, instance_id: str) -> pb.WorkflowState:
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
    async with asyncio.timeout(8):
        return (await engine.client.wait_for_completion(request)).workflowState


async def tell(engine: Engine, instance_id: str, name: str, data: str | None = None) -> None:
    request = pb.RaiseEventRequest(instanceId=instance_id, name=name, input=text(data))
    await engine.client.raise_event(request)


async def terminate(
    engine: Engine, instance_id: str, output: str | None = None, *, recursive: bool = False
) -> None:
    request = pb.TerminateRequest(instanceId=instance_id, output=text(output), recursive=recursive)
    await engine.client.terminate(request)


async def suspend(engine: Engine, instance_id: str) -> None:
    await engine.client.suspend(pb.SuspendRequest(instanceId=instance_id))


async def resume(engine: Engine, instance_id: str) -> None:
    await engine.client.resume(pb.ResumeRequest(instanceId=instance_id))


async def purge(
    engine: Engine, instance_id: str, *, recursive: bool = False, force: bool = False
) -> int:
    request = pb.PurgeInstancesRequest(instanceId=instance_id, recursive=recursive, force=force)
    return (await engine.client.purge(request)).deletedInstanceCount


async def rerun(
    engine: Engine, source_id: str, event_id: int, new_id: str | None = None, **fields: Any
) -> str:
    request = pb.RerunWorkflowFromEventRequest(
        sourceInstanceID=source_id, eventID=event_id, newInstanceID=new_id, **fields
    )
    return (await engine.client.rerun(request)).newInstanceID


async def history(engine: Engine, instance_id: str) -> list[pb.HistoryEvent]:
    raw = await engine.client.history(pb.GetInstanceHistoryRequest(instanceId=instance_id))
    return list(pb.GetInstanceHistoryResponse.FromString(raw).events)

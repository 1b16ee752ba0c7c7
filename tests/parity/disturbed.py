"""A backend that passes everything on to another one, and lets a test act around each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

from durahub.backend import Backend, Capabilities, Hint
from durahub.types import SessionId

Step = Callable[[str], Awaitable[None]]


async def nothing(_: str) -> None:
    """Do nothing at a step."""


def _passed_on(name: str) -> Any:
    async def call(self: DisturbedBackend, *args: Any, **options: Any) -> Any:
        self.calls[name] += 1
        await self.before(name)
        result = await getattr(self.inner, name)(*args, **options)
        await self.after(name)
        return result

    return call


class DisturbedBackend(Backend):
    """Counts calls, and lets `before` and `after` delay or fail them.

    What `before` raises is a call that never reached the store; what `after` raises is an answer lost.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.before: Step = nothing
        self.after: Step = nothing
        self.calls: Counter[str] = Counter()

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def describe(self) -> str:
        return self.inner.describe()

    @property
    def session_time_to_live(self) -> timedelta:
        return self.inner.session_time_to_live

    def wakeups(self, session_id: SessionId) -> AsyncIterator[Hint]:
        return self.inner.wakeups(session_id)

    async def close(self) -> None:
        await self.inner.close()

    open = _passed_on("open")
    create_hub = _passed_on("create_hub")
    delete_hub = _passed_on("delete_hub")
    schema_status = _passed_on("schema_status")
    register = _passed_on("register")
    heartbeat = _passed_on("heartbeat")
    unregister = _passed_on("unregister")
    release_except = _passed_on("release_except")
    apply = _passed_on("apply")
    claim_instances = _passed_on("claim_instances")
    claim_activities = _passed_on("claim_activities")
    get = _passed_on("get")
    history = _passed_on("history")
    list_instances = _passed_on("list_instances")
    list_ended = _passed_on("list_ended")
    now = _passed_on("now")

"""Background tasks that belong to an object."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

ResultT = TypeVar("ResultT")


class OwnedTasks:
    """A task group for the `async with` block of the object that owns it.

    Like `asyncio.TaskGroup` it waits for its tasks when the block ends, and a task that fails ends the
    block. Unlike there, an error or a cancellation of the block itself passes through as it is and ends
    no task: the owner has told them to end, in its own way.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    def start(self, work: Coroutine[Any, Any, ResultT], *, name: str) -> asyncio.Task[ResultT]:
        """Run `work` as a task of this group."""
        return self._group.create_task(work, name=name)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # When a task failed, the group raises that, in place of the cancellation that it caused.
        await self._group.__aexit__(None, None, None)

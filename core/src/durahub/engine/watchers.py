"""Calls that wait for an instance to reach a status: pushed, never polled by the waiting call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from durahub.backend import Backend
from durahub.errors import InstanceNotFoundError
from durahub.types import InstanceKey, RuntimeStatus

Condition = Callable[[RuntimeStatus], bool]


class Watchers:
    """Tells waiting calls what has become of the instances they wait for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiting: dict[InstanceKey, list[tuple[Condition, asyncio.Future[RuntimeStatus]]]] = {}

    async def wait(self, key: InstanceKey, condition: Condition) -> RuntimeStatus:
        """Return the first status from now on that meets a condition.

        Cancelling the call ends the waiting and nothing else.

        Raises:
            InstanceNotFoundError: There is no such instance, or it was purged meanwhile.
        """
        future: asyncio.Future[RuntimeStatus] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        # Listening before looking: what changes in between is not missed.
        self._waiting.setdefault(key, []).append(entry)
        try:
            await self.look([key])
            return await future
        finally:
            self._forget(key, entry)

    async def look(self, keys: list[InstanceKey]) -> None:
        """Read the present status of instances and tell whoever waits for them."""
        for key, view in zip(keys, await self._backend.get(keys), strict=True):
            self.tell(key, None if view is None else view.record.status)

    async def look_at_all(self) -> None:
        """Read the status of everything that is waited for: the net under lost hints."""
        if self._waiting:
            await self.look(list(self._waiting))

    def tell(self, key: InstanceKey, status: RuntimeStatus | None) -> None:
        """Note that an instance has a status now; None: it does not exist."""
        for condition, future in self._waiting.get(key, ()):
            if future.done():
                continue
            if status is None:
                future.set_exception(InstanceNotFoundError())
            elif condition(status):
                future.set_result(status)

    def _forget(
        self, key: InstanceKey, entry: tuple[Condition, asyncio.Future[RuntimeStatus]]
    ) -> None:
        entries = self._waiting[key]
        entries.remove(entry)
        if not entries:
            del self._waiting[key]

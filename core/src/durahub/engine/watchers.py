"""Calls that wait for an instance to reach a status: pushed, never polled by the waiting call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from durahub.backend import Backend
from durahub.engine.state import RequestIdentity
from durahub.errors import InstanceNotFoundError
from durahub.types import InstanceKey, RuntimeStatus

Condition = Callable[[RuntimeStatus], bool]


@dataclass(slots=True, eq=False)
class Watch:
    """One call that waits.

    Attributes:
        watchers: Who tells.
        key: The instance.
        condition: What its status has to be.
        request: Something that the call has sent: the wait also ends when it has been dealt with.
        result: The status at the end of the wait.
    """

    watchers: Watchers
    key: InstanceKey
    condition: Condition
    request: RequestIdentity | None
    result: asyncio.Future[RuntimeStatus] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def outcome(self) -> RuntimeStatus:
        """Return the first status since the watch began, or now, that ends the wait.

        Raises:
            InstanceNotFoundError: There is no such instance, or it was purged meanwhile.
        """
        if not self.result.done():
            await self.watchers.look([self.key])
        return await self.result


class Watchers:
    """Tells waiting calls what has become of the instances they wait for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiting: dict[InstanceKey, list[Watch]] = {}

    @contextmanager
    def watch(
        self, key: InstanceKey, condition: Condition, *, request: RequestIdentity | None = None
    ) -> Iterator[Watch]:
        """Watch an instance inside; what changes after the beginning is not missed."""
        watch = Watch(self, key, condition, request)
        self._waiting.setdefault(key, []).append(watch)
        try:
            yield watch
        finally:
            watches = self._waiting[key]
            watches.remove(watch)
            if not watches:
                del self._waiting[key]

    async def look(self, keys: list[InstanceKey]) -> None:
        """Read the present status of instances and tell whoever waits for them."""
        for key, view in zip(keys, await self._backend.get(keys), strict=True):
            self.tell(key, None if view is None else view.record.status)

    async def look_at_all(self) -> None:
        """Read the status of everything that is waited for: the net under lost hints."""
        if self._waiting:
            await self.look(list(self._waiting))

    def tell(
        self,
        key: InstanceKey,
        status: RuntimeStatus | None,
        taken: Collection[RequestIdentity] = (),
    ) -> None:
        """Note that an instance has a status now; None: it does not exist.

        Args:
            key: The instance.
            status: Its status.
            taken: Requests that were dealt with on the way there.
        """
        for watch in self._waiting.get(key, ()):
            if watch.result.done():
                continue
            if status is None:
                # The waiting call may be gone already, and then nobody reads this.
                watch.result.set_exception(InstanceNotFoundError())
                watch.result.exception()
            elif watch.condition(status) or watch.request in taken:
                watch.result.set_result(status)

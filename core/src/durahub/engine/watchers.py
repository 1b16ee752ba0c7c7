"""Calls that wait for an instance to reach a status: pushed, never polled by the waiting call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from durahub.backend import Backend, InstanceRecord
from durahub.engine.state import RequestIdentity
from durahub.errors import BackendCorruptionError, InstanceNotFoundError
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
        revision: The instance's revision before the call sent its request.
        result: The status at the end of the wait.
    """

    watchers: Watchers
    key: InstanceKey
    condition: Condition
    request: RequestIdentity | None
    revision: int | None = None
    result: asyncio.Future[RuntimeStatus] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def outcome(self) -> RuntimeStatus:
        """Return the first status since the watch began, or now, that ends the wait.

        Raises:
            InstanceNotFoundError: There is no such instance, or it was purged meanwhile.
            BackendCorruptionError: What is stored of it does not decode.
        """
        if not self.result.done():
            await self.watchers.look([self.key])
        return await self.result

    def fail(self, error: Exception) -> None:
        """End the wait with an error, unless it is over."""
        if not self.result.done():
            self.result.set_exception(error)
            # The waiting call may be gone already, and then nobody reads this.
            self.result.exception()

    def is_over(
        self, record: InstanceRecord, taken: Collection[RequestIdentity], *, settled: bool
    ) -> bool:
        """Return whether a new sight of the instance ends the wait."""
        if self.condition(record.status) or self.request in taken:
            return True
        return settled and self.revision is not None and record.revision > self.revision


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

    def is_watched(self, key: InstanceKey) -> bool:
        """Return whether a call waits for an instance, or has been told and still reads the result."""
        return key in self._waiting

    async def look(self, keys: list[InstanceKey], *, settled: bool = False) -> None:
        """Read how instances stand and tell whoever waits for them; nothing is read if nobody does.

        The wait for an instance that can't be read because it is damaged ends with that error.

        Args:
            keys: Which; those that no call waits for are not read.
            settled: It is long ago that the waiting calls sent their requests: a turn that was committed
                since, by whatever sidecar, has dealt with them.
        """
        watched = [key for key in keys if self.is_watched(key)]
        if not watched:
            return
        try:
            views = await self._backend.get(watched)
        except BackendCorruptionError as error:
            if len(watched) == 1:
                self._fail(watched[0], error)
            else:
                for key in watched:
                    await self.look([key], settled=settled)
            return
        for key, view in zip(watched, views, strict=True):
            self.tell(key, None if view is None else view.record, settled=settled)

    async def look_at_all(self) -> None:
        """Read how everything stands that is waited for: the net under lost hints."""
        await self.look(list(self._waiting), settled=True)

    def _fail(self, key: InstanceKey, error: BackendCorruptionError) -> None:
        for watch in self._waiting.get(key, ()):
            watch.fail(error)

    def tell(
        self,
        key: InstanceKey,
        record: InstanceRecord | None,
        *,
        taken: Collection[RequestIdentity] = (),
        settled: bool = False,
    ) -> None:
        """Note how an instance stands now.

        Args:
            key: The instance.
            record: Its record; only status and revision count. None: it does not exist.
            taken: Requests that were dealt with on the way there.
            settled: See `look`.
        """
        for watch in self._waiting.get(key, ()):
            if watch.result.done():
                continue
            if record is None:
                watch.fail(InstanceNotFoundError())
            elif watch.is_over(record, taken, settled=settled):
                watch.result.set_result(record.status)

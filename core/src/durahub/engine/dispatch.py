"""Work items and the worker streams that take them.

Every item is with at most one stream at a time. A stream that goes away gives its items back at once, and
what it may still answer under the old completion token is ignored.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from collections.abc import Set as AbstractSet

from durahub.engine.options import UNLIMITED_IN_FLIGHT
from durahub.engine.streams import ItemName, Response, WorkerStream, WorkItem, new_token
from durahub.errors import RequestError, ShuttingDownError, StreamEndedError
from durahub.protocol import messages as pb
from durahub.types import SessionId

log = logging.getLogger("durahub.engine.dispatch")

HEALTH_PING = pb.WorkItem(healthPing=pb.HealthPing()).SerializeToString()
"""The item that asks for nothing; it only shows that the stream is alive."""


class NoWorkerError(Exception):
    """No worker is connected; the item is given back."""


class Dispatcher:
    """Gives work items to connected workers and takes their answers."""

    def __init__(self, *, grace_s: float, ping_s: float, on_room: Callable[[], None]) -> None:
        """Make a dispatcher without streams.

        Args:
            grace_s: How long an item waits for a worker while there is none.
            ping_s: After so long without an item a worker that wants to be pinged is.
            on_room: Called when a worker connects.
        """
        self._grace_s = grace_s
        self._ping_s = ping_s
        self._on_room = on_room
        self._streams: dict[int, WorkerStream] = {}
        self._connections = 0
        self._tokens = itertools.count(1)
        self._session_id = SessionId("")
        self._pending: deque[WorkItem] = deque()
        self._by_name: dict[ItemName, list[WorkItem]] = {}
        self._orphaned = asyncio.Event()
        self._is_closed = False

    def has_worker_beside(self, streams: AbstractSet[int]) -> bool:
        """Return whether a worker is connected through a stream that is not one of these."""
        return any(number not in streams for number in self._streams)

    def forget_history(self, instance_id: str) -> None:
        """Forget what streams were sent of an instance that has ended."""
        for stream in self._streams.values():
            stream.watermarks.pop(instance_id, None)

    @property
    def connected_workers(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    async def ask(
        self,
        name: ItemName,
        frame: Callable[[WorkerStream, str], bytes],
        avoid: AbstractSet[int] = frozenset(),
    ) -> tuple[Response, WorkItem]:
        """Have a worker do something, and return its answer with the item to `settle`.

        Waits as long as it takes; a worker that goes away is replaced by the next one. Streams whose
        numbers are in `avoid` are asked only if there are no others.

        Raises:
            NoWorkerError: No worker was connected for the grace period.
        """
        loop = asyncio.get_running_loop()
        item = WorkItem(name, frame, loop.create_future(), loop.create_future(), avoid=avoid)
        self._by_name.setdefault(name, []).append(item)
        self._assign(item)
        try:
            return await item.response, item
        except BaseException:
            self.settle(item)
            raise
        finally:
            self._forget(item)

    def settle(self, item: WorkItem) -> None:
        """Let the call that brought an answer return: what it brought is durable, or void."""
        if not item.settled.done():
            item.settled.set_result(None)

    def use_session(self, session_id: SessionId) -> None:
        """Have tokens tell this session from now on; nothing is with a worker."""
        self._session_id = session_id

    async def complete(self, name: ItemName, token: str, response: Response) -> bool:
        """Take a worker's answer, and return once it is durable or known to be void.

        Returns:
            Whether it answers something that is in flight here.
        """
        item = self.accept(name, token, response)
        if item is not None and name.task_id is not None:
            # Not awaited itself: a caller that is cancelled must not cancel it for the others.
            await asyncio.wait([item.settled])
        return item is not None

    def accept(self, name: ItemName, token: str, response: Response) -> WorkItem | None:
        """Take a worker's answer, and return what it answers.

        An answer to nothing that is in flight is ignored, and so is one with the token of another
        dispatch: None. Without a token it counts for whatever of that name is with a worker (old SDKs).
        """
        item = self._find(name, token)
        if item is None:
            return None
        if token and item.stream is not None:
            item.stream.returns_tokens = True
        if not item.response.done():
            item.response.set_result(response)
        return item

    async def serve(
        self,
        *,
        stateful_history: bool,
        health_ping: bool = False,
        items_limit: int = UNLIMITED_IN_FLIGHT,
    ) -> AsyncGenerator[bytes, None]:
        """Yield serialised work items for one worker until it goes away.

        Closing the iterator gives back, at once, everything that the worker has not answered.

        Args:
            stateful_history: The worker keeps histories and takes deltas.
            health_ping: The worker wants an item now and then, if only an empty one.
            items_limit: Most items that the worker is given before it answers one.

        Raises:
            ShuttingDownError: The sidecar stops.
            StreamEndedError: The worker is to connect again.
        """
        stream = WorkerStream(
            self._connections + 1,
            stateful_history,
            items_limit,
            self._ping_s if health_ping else None,
        )
        if self._is_closed:
            raise ShuttingDownError
        self._connections += 1
        self._streams[stream.number] = stream
        self._assign_pending()
        self._on_room()
        try:
            while True:
                if not await stream.woken():
                    yield HEALTH_PING
                    stream.note_sent()
                    continue
                while stream.outbox and stream.ending is None:
                    item = stream.outbox.popleft()
                    if item in stream.in_flight:
                        yield item.frame(stream, item.token)
                        stream.note_sent()
                    self._assign_pending()
                if stream.ending is not None:
                    raise stream.ending
        finally:
            self._disconnect(stream)

    async def run(self) -> None:
        """Give items back that no worker came for, until cancelled."""
        while True:
            await self._orphaned.wait()
            await asyncio.sleep(self._grace_s)
            self._orphaned.clear()
            if not self._streams:
                self._give_back()

    def close(self) -> None:
        """End all streams and give back what waits; accept no stream from now on."""
        self._is_closed = True
        self._end_streams(ShuttingDownError())
        self._give_back()

    def reconnect(self, reason: str) -> None:
        """Have all workers connect anew, which gives everything they have not answered to them again."""
        self._end_streams(StreamEndedError(reason))

    def _end_streams(self, ending: RequestError) -> None:
        for stream in self._streams.values():
            stream.ending = ending
            stream.wake.set()

    def _give_back(self) -> None:
        waiting, self._pending = self._pending, deque()
        for item in waiting:
            if not item.response.done():
                item.response.set_exception(NoWorkerError())

    def _assign(self, item: WorkItem) -> None:
        stream = self._choose(item)
        if stream is None:
            self._pending.append(item)
            if self._is_closed:
                self._give_back()
            elif not self._streams:
                self._orphaned.set()
            return
        item.stream = stream
        item.asked = stream.number
        item.token = new_token(self._session_id, next(self._tokens))
        stream.in_flight.add(item)
        stream.outbox.append(item)
        stream.wake.set()

    def _choose(self, item: WorkItem) -> WorkerStream | None:
        name = item.name
        wanted = [stream for stream in self._streams.values() if stream.number not in item.avoid]
        open_streams = [
            stream
            for stream in wanted or self._streams.values()
            if stream.has_room and not self._would_confuse(stream, item)
        ]
        if not open_streams:
            return None
        if name.task_id is None:
            # Turns of one instance stay with one stateful stream, which then needs only deltas.
            stateful = [stream for stream in open_streams if stream.stateful_history]
            if stateful:
                return max(stateful, key=lambda stream: hash((name.instance_id, stream.number)))
        return min(open_streams, key=lambda stream: len(stream.in_flight))

    def _would_confuse(self, stream: WorkerStream, item: WorkItem) -> bool:
        """Return whether an answer without a token could then be meant for either of two items.

        Equal names have, for example, the activities that two applications' instances of one id sent.
        """
        return not stream.returns_tokens and any(
            other.is_known_by_name for other in self._by_name[item.name]
        )

    def _assign_pending(self) -> None:
        # Each once: what only a stream without room may take goes back to the end.
        for _ in range(len(self._pending)):
            if not any(stream.has_room for stream in self._streams.values()):
                return
            self._assign(self._pending.popleft())

    def _disconnect(self, stream: WorkerStream) -> None:
        del self._streams[stream.number]
        stream.ending = stream.ending or StreamEndedError("the stream is closed")
        for item in list(stream.in_flight):
            stream.in_flight.discard(item)
            item.stream = None
            item.token = ""
            if not item.response.done():
                self._assign(item)
        # What waited for this stream in particular need not wait any more.
        self._assign_pending()

    def _find(self, name: ItemName, token: str) -> WorkItem | None:
        items = self._by_name.get(name, ())
        if not token:
            last = items[-1] if items else None
            return next((item for item in items if item.is_known_by_name), last)
        for item in items:
            if item.token == token:
                return item
        return None

    def _forget(self, item: WorkItem) -> None:
        items = self._by_name[item.name]
        items.remove(item)
        if not items:
            del self._by_name[item.name]
        if item.stream is None:
            if item in self._pending:
                self._pending.remove(item)
            return
        item.stream.in_flight.discard(item)
        item.stream = None
        self._assign_pending()

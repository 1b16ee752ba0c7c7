"""Worker streams, and the work items on them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from durahub.errors import RequestError
from durahub.protocol import messages as pb
from durahub.types import SessionId

OUTBOX_ITEMS = 64
"""Items that wait for one stream at most; the others go to whoever takes them first."""

Response = pb.WorkflowResponse | pb.ActivityResponse


class ItemName(NamedTuple):
    """What a response says that it answers.

    Attributes:
        instance_id: The instance.
        task_id: The activity task; None for a turn.
    """

    instance_id: str
    task_id: int | None


def new_token(session_id: SessionId, number: int) -> str:
    """Return the completion token of a session's dispatch of that number."""
    return f"{session_id}-{number}"


def session_of(token: str) -> SessionId | None:
    """Return whose dispatch a completion token is of, or None if it is not one of ours."""
    session_id, _, number = token.rpartition("-")
    return SessionId(session_id) if session_id and number.isdecimal() else None


@dataclass(slots=True, eq=False)
class Watermark:
    """How much of a history a stream has been sent."""

    execution_id: str
    events: int


@dataclass(slots=True, eq=False)
class WorkerStream:
    """One open GetWorkItems call.

    Attributes:
        number: Counts the streams of this sidecar.
        stateful_history: The worker keeps histories and takes deltas.
        limit: Most items in flight.
        ping_s: After so long without an item the worker is pinged; None: never.
        returns_tokens: Its answers carry completion tokens, as far as is known: those of old SDKs don't.
    """

    number: int
    stateful_history: bool
    limit: int
    ping_s: float | None = None
    in_flight: set[WorkItem] = field(default_factory=set)
    outbox: deque[WorkItem] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    watermarks: dict[str, Watermark] = field(default_factory=dict)
    ending: RequestError | None = None
    ping_at_s: float | None = None
    returns_tokens: bool = field(init=False)

    def __post_init__(self) -> None:
        # An SDK that keeps histories is recent enough.
        self.returns_tokens = self.stateful_history
        self.note_sent()

    @property
    def has_room(self) -> bool:
        """Whether another item may be given to the stream."""
        return (
            self.ending is None
            and len(self.in_flight) < self.limit
            and len(self.outbox) < OUTBOX_ITEMS
        )

    async def woken(self) -> bool:
        """Wait until there may be something to send; False if a ping is due instead."""
        try:
            async with asyncio.timeout_at(self.ping_at_s):
                await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True

    def note_sent(self) -> None:
        """Note that the worker was sent something just now."""
        if self.ping_s is not None:
            self.ping_at_s = asyncio.get_running_loop().time() + self.ping_s


@dataclass(slots=True, eq=False)
class WorkItem:
    """Something for a worker to do.

    Attributes:
        name: What a response will call it.
        frame: Makes the serialised item for a stream, with a completion token.
        response: The worker's answer.
        settled: Done once the answer is durable.
        token: The present dispatch's completion token.
        stream: Who has it.
        avoid: Numbers of streams that are not asked while there are others.
        asked: Number of the stream that had it last.
    """

    name: ItemName
    frame: Callable[[WorkerStream, str], bytes]
    response: asyncio.Future[Response]
    settled: asyncio.Future[None]
    token: str = ""
    stream: WorkerStream | None = None
    avoid: AbstractSet[int] = frozenset()
    asked: int = 0

    @property
    def is_known_by_name(self) -> bool:
        """Whether it is with a worker whose answer will tell it from others only by its name."""
        return self.stream is not None and not self.stream.returns_tokens

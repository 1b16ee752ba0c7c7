"""Who listens for hints: what sessions of one process tell each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from collections.abc import Set as AbstractSet

from durahub.backend import Forwarded, Hint, InstanceChanged, Session, WorkDue
from durahub.types import AppId, InstanceKey, SessionId

MOST_WAITING = 1000
"""Most hints kept for one listener; more are lost, which is allowed."""


class Listeners:
    """The sessions that wait for hints in one process."""

    def __init__(self) -> None:
        self._queues: list[tuple[Session, asyncio.Queue[Hint]]] = []

    async def listen(self, session: Session) -> AsyncIterator[Hint]:
        """Yield the hints for a session until cancelled."""
        entry = (session, asyncio.Queue[Hint](MOST_WAITING))
        self._queues.append(entry)
        try:
            while True:
                yield await entry[1].get()
        finally:
            self._queues.remove(entry)

    def tell(self, teller: SessionId, due: Iterable[AppId], changed: Iterable[InstanceKey]) -> None:
        """Tell every other session which applications have work, and which instances changed."""
        apps = frozenset(due)
        changes = [InstanceChanged(key) for key in changed]
        for session, queue in self._queues:
            if session.session_id == teller:
                continue
            hints: list[Hint] = [*changes, WorkDue()] if session.app_id in apps else [*changes]
            for hint in hints[: queue.maxsize - queue.qsize()]:
                queue.put_nowait(hint)

    def tell_limited(
        self, teller: SessionId, vacated: AbstractSet[AppId], is_waiting: Callable[[AppId], bool]
    ) -> None:
        """Tell every other session with limits whose application has a place more for what waits."""
        for session, queue in self._queues:
            if session.session_id == teller or not session.limits or queue.full():
                continue
            if session.app_id in vacated and is_waiting(session.app_id):
                queue.put_nowait(WorkDue())

    def tell_of_envelope(self, to: SessionId) -> None:
        """Tell a session that something was forwarded to it."""
        for session, queue in self._queues:
            if session.session_id == to and not queue.full():
                queue.put_nowait(Forwarded())

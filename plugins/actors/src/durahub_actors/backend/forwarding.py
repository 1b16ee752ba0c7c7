"""What sessions of one application hand to each other, and who owns what a name may mean."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable

from durahub.backend import MOST_FORWARDED, Envelope
from durahub.clock import EPOCH
from durahub.errors import BackendUnavailableError
from durahub.types import SessionId

from durahub_actors.backend.core import Core
from durahub_actors.backend.sessions import Member, lease_of
from durahub_actors.runtime import LeaseEndedError
from durahub_actors.stores import (
    ActorId,
    Refusal,
    Refused,
    Reminder,
    ReminderId,
    Save,
)
from durahub_actors.workflows.names import WAKE, task_key

ENVELOPE = "envelope-"
_NUMBER_BITS = 62


class Forwarding:
    """Envelopes are reminders whose home is the session that they are for, in a queue of its own."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def forward(self, member: Member, to: SessionId, payload: bytes) -> bool:
        """Keep bytes for a session; see `Backend.forward`.

        Raises:
            LeaseEndedError: The session that forwards was declared dead, or this process.
            BackendUnavailableError: Too much waits for the other one.
        """
        target = await self._core.sessions.find(to)
        if target is None or target.app_id != member.app_id:
            return False
        if len(await self._core.store.reminders(self._home(to))) >= MOST_FORWARDED:
            raise BackendUnavailableError(f"{MOST_FORWARDED} envelopes wait for session {to!r}")
        rank = self._core.clock.next_rank()
        # Due at once by any clock; only their order counts.
        reminder = Reminder(queue=self._queue(to), due_at=EPOCH, order=rank, payload=payload)
        save = Save(
            actor=self._home(to),
            leases=(lease_of(to),),
            remind={f"{ENVELOPE}{secrets.randbits(_NUMBER_BITS)}": reminder},
        )
        # Its own lease apart, to tell which of the two has ended.
        guard = Save(actor=self._home(to), leases=(member.lease, self._core.sessions.host))
        mine, kept = await self._core.writer.write([guard, save])
        if mine == Refused(Refusal.LEASE):
            raise LeaseEndedError("a lease has ended")
        return not isinstance(kept, Refused)

    async def take(
        self, member: Member, handled: Collection[int], limit: int
    ) -> tuple[Envelope, ...]:
        """Remove what was handled, and return what else waits; see `Backend.take_forwarded`.

        Raises:
            LeaseEndedError: The session was declared dead, or this process.
        """
        save = Save(
            actor=self._home(member.session_id),
            leases=(member.lease, self._core.sessions.host),
            forget=tuple(f"{ENVELOPE}{number}" for number in handled),
        )
        if handled and Refused(Refusal.LEASE) in await self._core.writer.write([save]):
            raise LeaseEndedError("a lease has ended")
        waiting = await self._core.store.due(self._queue(member.session_id), limit)
        return tuple(
            Envelope(number=int(one.id.name.removeprefix(ENVELOPE)), payload=one.payload)
            for one in waiting.reminders
        )

    async def owners(
        self, member: Member, instance_id: str, task_id: int | None
    ) -> tuple[SessionId, ...]:
        """Return which sessions of the application own what a name may mean; see `Backend.owners`."""
        found: list[SessionId] = []
        for other in await self._core.sessions.everyone():
            if other.app_id != member.app_id:
                continue
            held = await self._core.store.held(other.lease)
            if any(self._is_meant(one, member, instance_id, task_id) for one in held):
                found.append(other.session_id)
        return tuple(found)

    async def discard(self, ended: Iterable[SessionId]) -> None:
        """Remove what waits for sessions that have ended."""
        for session_id in ended:
            home = self._home(session_id)
            names = tuple(one.name for one in await self._core.store.reminders(home))
            if names:
                await self._core.writer.write([Save(actor=home, forget=names)])

    def _is_meant(
        self, held: ReminderId, member: Member, instance_id: str, task_id: int | None
    ) -> bool:
        if held.home.id != instance_id:
            return False
        instance = self._core.names.key_of(held.home)
        if task_id is None:
            return held.name == WAKE and instance.app_id == member.app_id
        return held.name != WAKE and task_key(instance, held.name).task_id == task_id

    def _home(self, session_id: SessionId) -> ActorId:
        return self._core.names.session(session_id)

    def _queue(self, session_id: SessionId) -> str:
        return f"{self._home(session_id).type}.{session_id}"

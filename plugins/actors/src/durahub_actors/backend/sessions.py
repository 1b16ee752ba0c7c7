"""Sessions and hosts as leases of the store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
from durahub.backend import ClaimLimit, ClaimLimits, Heartbeat, Session
from durahub.errors import BackendError, SessionFencedError
from durahub.types import AppId, SessionId

from durahub_actors.backend.clock import StoreClock
from durahub_actors.stores import ActorId, Lease, LeaseBeat, StateStore
from durahub_actors.workflows import names
from durahub_actors.workflows.names import Names

SESSION = "session-"
HOST = "host-"


class _SessionData(msgspec.Struct, array_like=True, frozen=True):
    app_id: str
    holder: str
    instances: tuple[int | None, dict[str, int]]
    activities: tuple[int | None, dict[str, int]]


@dataclass(slots=True, kw_only=True)
class Member:
    """A session for which this process works.

    Attributes:
        session: As it was registered.
        owned: The actors of the instances that it owns, as far as this process gave them to it.
        calls: Its calls in progress, in the order in which they began.
    """

    session: Session
    owned: set[ActorId] = field(default_factory=set)
    calls: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def session_id(self) -> SessionId:
        """Which session."""
        return self.session.session_id

    @property
    def app_id(self) -> AppId:
        """Whose work it claims."""
        return self.session.app_id

    @property
    def lease(self) -> str:
        """The name of its lease."""
        return lease_of(self.session_id)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as in progress."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls.append(done)
        try:
            yield
        finally:
            self.calls.remove(done)
            done.set_result(None)

    async def others_done(self) -> None:
        """Return when the calls are done that began before the last one, which is the caller's own."""
        for earlier in self.calls[:-1]:
            await earlier


def lease_of(session_id: SessionId) -> str:
    """Return the name of a session's lease."""
    return f"{SESSION}{session_id}"


def session_of(lease: Lease) -> SessionId:
    """Return the session of a lease."""
    return SessionId(lease.name.removeprefix(SESSION))


class Sessions:
    """The sessions of one process, and the lease of the process itself.

    The process may be silent for as long as the session with which it begins: who finds that session dead
    finds the process dead too, and looks after what it has left.

    Args:
        store: Where leases are.
        clock: Corrected by every answer.
        workflows: Names of actors.

    Attributes:
        address: Where other hosts reach this process; empty: nowhere.
    """

    def __init__(self, store: StateStore, clock: StoreClock, workflows: Names) -> None:
        self._store = store
        self._clock = clock
        self._names = workflows
        self._members: dict[SessionId, Member] = {}
        self._ended: set[SessionId] = set()
        self._host: str | None = None
        self._untold: list[Lease] = []
        self.address = ""

    @property
    def host(self) -> str:
        """The name of the process's lease."""
        assert self._host is not None
        return self._host

    async def register(self, session: Session) -> tuple[Heartbeat, tuple[Lease, ...]]:
        """Make a session known, and fence the dead: all others if no other process can have the store.

        Returns:
            The heartbeat, and the leases of sessions that it ended.
        """
        await self._renew_host(session.time_to_live)
        lease = Lease(
            name=lease_of(session.session_id),
            time_to_live=session.time_to_live,
            data=_encode(session),
        )
        await self._measure(lambda: self._store.acquire(lease))
        if not self._store.is_shared:
            self._untold += await self._end_others(session.session_id)
        self._members[session.session_id] = Member(session=session)
        return await self.heartbeat(session.session_id)

    async def heartbeat(self, session_id: SessionId) -> tuple[Heartbeat, tuple[Lease, ...]]:
        """Prove that a session and the process live, and fence the dead.

        Raises:
            SessionFencedError: The session does not live.
        """
        member = await self.living(session_id)
        try:
            beat = await self._measure(lambda: self._store.renew((member.lease, self.host)))
        except SessionFencedError:
            # It may be the process alone that was silent for too long.
            beat = await self._renew(member)
            await self._new_host(member.session.time_to_live)
        return self._heartbeat(beat)

    async def unregister(self, session_id: SessionId) -> AppId | None:
        """End a session, and return its application if it was one of this process."""
        member = self._members.pop(session_id, None)
        self._ended.add(session_id)
        await self._store.release(lease_of(session_id))
        return None if member is None else member.app_id

    async def living(self, session_id: SessionId) -> Member:
        """Return a session that lives, as far as this process knows.

        One that another process registered is taken over, with what it owns.

        Raises:
            SessionFencedError: It has ended, or never was.
        """
        member = self._members.get(session_id)
        if member is not None:
            return member
        if session_id not in self._ended:
            for lease in await self._store.leases():
                if lease.name == lease_of(session_id):
                    return await self._adopt(session_id, lease)
        raise _fenced(session_id)

    async def everyone(self) -> list[Member]:
        """Return the sessions of all processes that live; what others own is not told."""
        leases = await self._store.leases()
        return [_decode(lease) for lease in leases if lease.name.startswith(SESSION)]

    async def find(self, session_id: SessionId) -> Member | None:
        """Return a session of whichever process, if it lives."""
        for member in await self.everyone():
            if member.session_id == session_id:
                return member
        return None

    async def examine(self, member: Member) -> None:
        """Find out which lease it was that ended, and replace the process's own.

        Raises:
            SessionFencedError: The session's.
        """
        await self._renew(member)
        await self._renew_host(member.session.time_to_live)

    async def leave(self) -> None:
        """End the lease of the process; sessions stay as they are."""
        if self._host is not None:
            await self._store.release(self._host)

    def forget(self) -> None:
        """Forget all: the store has been deleted."""
        self._members.clear()
        self._ended.clear()
        self._host = None

    def apps_of(self, leases: tuple[Lease, ...]) -> set[AppId]:
        """Return the applications of sessions."""
        return {_decode(lease).app_id for lease in leases}

    def disown(self, actor: ActorId) -> None:
        """Note that no session of this process owns an instance any more."""
        for member in self._members.values():
            member.owned.discard(actor)

    async def _adopt(self, session_id: SessionId, lease: Lease) -> Member:
        await self._renew_host(lease.time_to_live)
        member = _decode(lease)
        held = await self._store.held(lease.name)
        member.owned.update(found.home for found in held if found.name == names.WAKE)
        self._members[session_id] = member
        return member

    async def _measure(self, beat: Callable[[], Awaitable[LeaseBeat]]) -> LeaseBeat:
        """Take in an answer: the store's time, and who was found dead, until a heartbeat tells of it."""
        answer = await self._clock.measure(beat)
        self._untold += answer.ended
        return answer

    async def _renew(self, member: Member) -> LeaseBeat:
        try:
            return await self._measure(lambda: self._store.renew((member.lease,)))
        except SessionFencedError:
            self._end(member.session_id)
            raise _fenced(member.session_id) from None

    async def _renew_host(self, time_to_live: timedelta) -> None:
        if self._host is not None:
            host = self._host
            try:
                await self._measure(lambda: self._store.renew((host,)))
            except SessionFencedError:
                self._host = None
        if self._host is None:
            await self._new_host(time_to_live)

    async def _new_host(self, time_to_live: timedelta) -> None:
        name = f"{HOST}{uuid.uuid4().hex}"
        lease = Lease(name=name, time_to_live=time_to_live, data=self.address.encode())
        await self._measure(lambda: self._store.acquire(lease))
        self._host = name

    async def _end_others(self, session_id: SessionId) -> tuple[Lease, ...]:
        ours = {lease_of(session_id), self._host}
        others = tuple(lease for lease in await self._store.leases() if lease.name not in ours)
        for lease in others:
            await self._store.release(lease.name)
        return others

    def _heartbeat(self, beat: LeaseBeat) -> tuple[Heartbeat, tuple[Lease, ...]]:
        untold, self._untold = self._untold, []
        ended = tuple(lease for lease in untold if lease.name.startswith(SESSION))
        fenced = tuple(map(session_of, ended))
        for session_id in fenced:
            self._end(session_id)
        heartbeat = Heartbeat(now=beat.now, fenced=fenced, next_overdue_at=beat.next_overdue_at)
        return heartbeat, ended

    def _end(self, session_id: SessionId) -> None:
        self._members.pop(session_id, None)
        self._ended.add(session_id)


def _encode(session: Session) -> bytes:
    limits = session.limits
    return msgspec.msgpack.encode(
        _SessionData(
            session.app_id,
            session.holder,
            (limits.instances.total, dict(limits.instances.by_name)),
            (limits.activities.total, dict(limits.activities.by_name)),
        )
    )


def _decode(lease: Lease) -> Member:
    try:
        data = msgspec.msgpack.decode(lease.data, type=_SessionData)
    except msgspec.DecodeError as error:
        raise BackendError(f"the lease {lease.name!r} is not one of this program") from error
    session = Session(
        session_id=session_of(lease),
        app_id=AppId(data.app_id),
        time_to_live=lease.time_to_live,
        holder=data.holder,
        limits=ClaimLimits(
            instances=ClaimLimit(total=data.instances[0], by_name=data.instances[1]),
            activities=ClaimLimit(total=data.activities[0], by_name=data.activities[1]),
        ),
    )
    return Member(session=session)


def _fenced(session_id: SessionId) -> SessionFencedError:
    return SessionFencedError(f"session {session_id!r} is not alive; start a new one")

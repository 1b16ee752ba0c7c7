"""Leases: the register in the first bucket, and what each bucket knows of them.

The first bucket's server is the clock of all leases. A lease is registered first and then made known to all
buckets; it ends in the opposite order: marked in the register as ending, ended in every bucket, struck off,
and only then told. Whoever dies in between is finished by the next one who renews.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from durahub.clock import from_micros
from durahub.errors import BackendError, BackendUnavailableError, SessionFencedError

from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.redis.hub import Hub, parse_time

_LOG = logging.getLogger(__name__)

_REGISTER = 0
_RENEWALS_PER_SWEEP = 16
_MICROSECOND = timedelta(microseconds=1)


class _Answer(NamedTuple):
    now: datetime
    verdict: str | None
    ending: tuple[str, ...]
    next_overdue_at: datetime | None


class LeaseRegister:
    """The leases of a task hub.

    Args:
        hub: Whose.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._renewals = 0

    async def acquire(self, lease: Lease) -> LeaseBeat:
        """Make a lease known, as `StateStore.acquire`."""
        answer = await self._ask("acquire", lease.name, _pack(lease))
        if answer.verdict == "USED":
            raise BackendError("the name of the lease has been used before")
        hub = self._hub
        await hub.run([hub.script(bucket, "join", lease.name) for bucket in hub.buckets])
        ended = await self._finish(answer.ending)
        if lease.name not in await self._sweep():
            # It took us longer than the lease lasts, and others have ended it before all buckets knew it.
            await self._end_everywhere([lease.name])
            raise BackendUnavailableError(f"{hub.place}: the lease ended before it was known")
        return LeaseBeat(now=answer.now, ended=ended, next_overdue_at=answer.next_overdue_at)

    async def renew(self, names: Sequence[str]) -> LeaseBeat:
        """Renew leases and end those that are overdue, as `StateStore.renew`."""
        answer = await self._ask("renew", *names)
        if answer.verdict is not None:
            await self._finish(answer.ending)
            await self._sweep()
            raise SessionFencedError(f"the lease {answer.verdict} is unknown or has ended")
        ended = await self._clear_up(answer.ending)
        return LeaseBeat(now=answer.now, ended=ended, next_overdue_at=answer.next_overdue_at)

    async def release(self, name: str) -> None:
        """End a lease, as `StateStore.release`."""
        answer = await self._ask("release", name)
        await self._finish(answer.ending)

    async def list(self) -> tuple[Lease, ...]:
        """Return the leases that live, those that are just being ended among them."""
        hub = self._hub
        living, ending = await hub.look(
            [hub.call(_REGISTER, "HGETALL", part) for part in (":leases", ":ending")]
        )
        return tuple(_unpack(name, packed) for name, packed in {**living, **ending}.items())

    async def _ask(self, *arguments: str | bytes) -> _Answer:
        (reply,) = await self._hub.run([self._hub.script(_REGISTER, "leases", *arguments)])
        seconds, micros, verdict, ending, overdue_at = reply
        return _Answer(
            now=parse_time(seconds, micros),
            verdict=None if verdict is None else verdict.decode(),
            ending=tuple(name.decode() for name in ending),
            next_overdue_at=None if overdue_at is None else from_micros(int(overdue_at)),
        )

    async def _clear_up(self, ending: Sequence[str]) -> tuple[Lease, ...]:
        self._renewals += 1
        try:
            ended = await self._finish(ending)
            if self._renewals % _RENEWALS_PER_SWEEP == 0:
                await self._sweep()
        except BackendUnavailableError as error:
            # Ours are renewed, and that has to be known; the others end when all buckets can be reached.
            _LOG.warning("leases that ended can't be cleared up yet: %s", error)
            return ()
        return ended

    async def _finish(self, ending: Sequence[str]) -> tuple[Lease, ...]:
        if not ending:
            return ()
        await self._end_everywhere(ending)
        (told,) = await self._hub.run([self._hub.script(_REGISTER, "ended", *ending)])
        return tuple(_unpack(*pair) for pair in zip(told[::2], told[1::2], strict=True))

    async def _end_everywhere(self, names: Sequence[str]) -> None:
        hub = self._hub
        # Refused in all buckets before anything is freed in one: who takes it over may rely on that.
        await hub.run([hub.call(bucket, "SREM", ":live", *names) for bucket in hub.buckets])
        await hub.run([hub.script(bucket, "end", name) for bucket in hub.buckets for name in names])

    async def _sweep(self) -> frozenset[str]:
        """End what buckets know and the register does not; return the names in the register.

        After a fail-over buckets may show the state of different moments. What a bucket knows is looked at
        first: at every other time a lease is longer in the register than in any bucket.
        """
        hub = self._hub
        known = await hub.run([hub.call(bucket, "SMEMBERS", ":live") for bucket in hub.buckets])
        registered = await hub.run(
            [hub.call(_REGISTER, "HKEYS", part) for part in (":leases", ":ending")]
        )
        names = frozenset(name.decode() for part in registered for name in part)
        lost = sorted({name.decode() for live in known for name in live} - names)
        if lost:
            await self._end_everywhere(lost)
        return names


def _pack(lease: Lease) -> bytes:
    return b"%d:%b" % (lease.time_to_live // _MICROSECOND, lease.data)


def _unpack(name: bytes, packed: bytes) -> Lease:
    time_to_live, _, data = packed.partition(b":")
    return Lease(name=name.decode(), time_to_live=int(time_to_live) * _MICROSECOND, data=data)

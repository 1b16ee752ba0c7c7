"""Leases: which processes live, by the store's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a process holds for as long as it proves that it lives.

    Attributes:
        name: Unique for ever: one that has ended never comes back.
        time_to_live: Without a renewal for this long by the store's clock, anyone may end it.
        data: What others should know of the holder; opaque to the store.
    """

    name: str
    time_to_live: timedelta
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBeat:
    """The answer to an acquisition or a renewal.

    Attributes:
        now: The store's clock.
        ended: Leases of others that this call ended because they were overdue, or because the store knows for
            certain that their process has ended.
        next_overdue_at: When the first of the leases that live and that this call did not name is overdue,
            unless it is renewed by then; None if there are no such leases.
    """

    now: datetime
    ended: tuple[Lease, ...] = ()
    next_overdue_at: datetime | None = None

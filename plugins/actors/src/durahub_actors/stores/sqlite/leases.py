"""Leases in SQL; all functions but the last are called inside a write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from durahub.clock import from_micros, to_micros
from durahub.errors import BackendError, SessionFencedError

from durahub_actors.stores.leases import Lease, LeaseBeat
from durahub_actors.stores.sqlite.processes import has_ended, own_process

_MICROSECOND = timedelta(microseconds=1)

_LIVING = "SELECT name, time_to_live, data FROM leases WHERE NOT is_ended"


def acquire_lease(connection: sqlite3.Connection, lease: Lease, now: datetime) -> LeaseBeat:
    """Make a lease known, and end what is overdue or belongs to a process that has ended.

    Raises:
        BackendError: The name has been used before.
    """
    created = connection.execute(
        "INSERT INTO leases (name, time_to_live, data, renewed_at, process) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO NOTHING",
        (
            lease.name,
            lease.time_to_live // _MICROSECOND,
            lease.data,
            to_micros(now),
            own_process(),
        ),
    )
    if not created.rowcount:
        raise BackendError("the name of the lease has been used before")
    return _beat(connection, [lease.name], now)


def renew_leases(connection: sqlite3.Connection, names: Sequence[str], now: datetime) -> LeaseBeat:
    """Renew leases, and end what else is overdue or belongs to a process that has ended.

    Raises:
        SessionFencedError: One is unknown or has ended.
    """
    for name in names:
        renewed = connection.execute(
            "UPDATE leases SET renewed_at = ? WHERE name = ? AND NOT is_ended",
            (to_micros(now), name),
        )
        if not renewed.rowcount:
            raise SessionFencedError(f"the lease {name} is unknown or has ended")
    return _beat(connection, names, now)


def _beat(connection: sqlite3.Connection, alive: Sequence[str], now: datetime) -> LeaseBeat:
    moment, ended, following = to_micros(now), [], []
    living = connection.execute(
        "SELECT renewed_at + time_to_live, process, name, time_to_live, data"
        " FROM leases WHERE NOT is_ended"
    )
    for overdue_at, process, *row in living:
        if row[0] in alive:
            continue
        if overdue_at <= moment or has_ended(process):
            ended.append(_lease(*row))
        else:
            following.append(overdue_at)
    for lease in ended:
        end_lease(connection, lease.name)
    return LeaseBeat(
        now=now,
        ended=tuple(ended),
        next_overdue_at=from_micros(min(following)) if following else None,
    )


def end_lease(connection: sqlite3.Connection, name: str) -> None:
    """End a lease and free what it held; an unknown or ended one is no error."""
    connection.execute("UPDATE leases SET is_ended = 1 WHERE name = ?", (name,))
    connection.execute("UPDATE reminders SET holder = NULL WHERE holder = ?", (name,))


def living_leases(connection: sqlite3.Connection) -> tuple[Lease, ...]:
    """Return the leases that live."""
    return tuple([_lease(*row) for row in connection.execute(_LIVING)])


def _lease(name: str, time_to_live: int, data: bytes) -> Lease:
    return Lease(name=name, time_to_live=time_to_live * _MICROSECOND, data=data)

"""How long ended instances are kept, and which of them have been kept long enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from durahub.backend import EndedInstances, InstanceRecord
from durahub.types import TERMINAL_STATUSES, RuntimeStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long instances are kept after they have ended.

    Attributes:
        periods: By terminal status; instances with a status that is missing are kept for ever.
    """

    periods: Mapping[RuntimeStatus, timedelta] = field(default_factory=dict)

    @classmethod
    def most_specific(
        cls,
        *,
        any_terminal: timedelta | None = None,
        completed: timedelta | None = None,
        failed: timedelta | None = None,
        terminated: timedelta | None = None,
    ) -> RetentionPolicy:
        """Return the policy in which a status' own period wins over that for every end (Dapr).

        None says nothing, and is not the same as no time at all.
        """
        own = {
            RuntimeStatus.COMPLETED: completed,
            RuntimeStatus.FAILED: failed,
            RuntimeStatus.TERMINATED: terminated,
        }
        periods = {
            status: any_terminal if own.get(status) is None else own[status]
            for status in TERMINAL_STATUSES
        }
        return cls(
            periods={status: period for status, period in periods.items() if period is not None}
        )


KEEP_FOR_EVER = RetentionPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What is due of some instances that have ended.

    Attributes:
        expired: Those that have been kept long enough, longest ended first.
        next_in: Time until the first of the others is due; None if there are no others.
    """

    expired: tuple[InstanceRecord, ...]
    next_in: timedelta | None


def examine(found: EndedInstances, period: timedelta) -> Expiry:
    """Return what is due by the store's clock of instances that are kept for a period."""
    expired: list[InstanceRecord] = []
    for record in found.instances:
        assert record.completed_at is not None, "the store lists only what has ended"
        # No moment is computed: it might lie behind the end of time.
        left = period - (found.now - record.completed_at)
        if left > timedelta(0):
            return Expiry(expired=tuple(expired), next_in=left)
        expired.append(record)
    return Expiry(expired=tuple(expired), next_in=None)


def portions(
    records: Iterable[InstanceRecord], *, most_instances: int, most_events: int
) -> Iterator[tuple[InstanceRecord, ...]]:
    """Cut records into portions in order, bounded by their number and by the length of their histories.

    An instance whose history alone is too long has a portion of its own.
    """
    portion: list[InstanceRecord] = []
    events = 0
    for record in records:
        events += record.history_length
        if portion and (len(portion) == most_instances or events > most_events):
            yield tuple(portion)
            portion, events = [], record.history_length
        portion.append(record)
    if portion:
        yield tuple(portion)

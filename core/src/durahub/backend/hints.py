"""Hints: what a backend may tell a session, so that it need not poll. Losing one costs only latency."""

from __future__ import annotations

from dataclasses import dataclass

from durahub.types import InstanceKey


@dataclass(frozen=True, slots=True)
class WorkDue:
    """Another session left something that can be claimed now or later, or gave back a place under a limit.

    Later: an instance that it created to become due then; or, if it was a session of the same application
    and has ended, whatever it would have claimed in time. `claim_instances` tells when.
    """


@dataclass(frozen=True, slots=True)
class InstanceChanged:
    """Another session changed the status of an instance.

    Attributes:
        key: Which.
    """

    key: InstanceKey


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Another session forwarded something to this one: `Backend.take_forwarded` returns it."""


Hint = WorkDue | InstanceChanged | Forwarded
"""Anything that `Backend.wakeups` yields."""

"""Which ended instances are due: the pure part of retention."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from durahub.backend import EndedInstances, InstanceRecord
from durahub.clock import END_OF_TIME
from durahub.engine.expiry import Expiry, RetentionPolicy, examine, portions
from durahub.types import TERMINAL_STATUSES, RuntimeStatus
from hypothesis import given
from hypothesis import strategies as st

from .making import NOW, record
from .strategies import quickly

PERIODS = st.timedeltas(timedelta(0), timedelta(days=292 * 365))
MAYBE = st.none() | PERIODS
MOMENTS = st.timedeltas(timedelta(days=-9000), timedelta(days=9000))
ZERO = timedelta(0)
MICROSECOND = timedelta(microseconds=1)


def ended(*ages: timedelta) -> EndedInstances:
    """Return instances that ended so long ago, longest first."""
    records = [
        record(status=RuntimeStatus.COMPLETED, completed_at=NOW - age)
        for age in sorted(ages, reverse=True)
    ]
    return EndedInstances(instances=tuple(records), now=NOW)


@quickly
@given(MAYBE, MAYBE, MAYBE, MAYBE)
def test_own_period_wins_over_the_one_for_every_end(
    any_terminal: timedelta | None,
    completed: timedelta | None,
    failed: timedelta | None,
    terminated: timedelta | None,
) -> None:
    policy = RetentionPolicy.most_specific(
        any_terminal=any_terminal, completed=completed, failed=failed, terminated=terminated
    )
    for status in RuntimeStatus:
        own = {"COMPLETED": completed, "FAILED": failed, "TERMINATED": terminated}.get(status.name)
        expected = own if own is not None else any_terminal
        if status not in TERMINAL_STATUSES:
            expected = None
        assert policy.periods.get(status) == expected


def test_no_time_at_all_is_a_period_of_its_own() -> None:
    policy = RetentionPolicy.most_specific(any_terminal=timedelta(hours=1), failed=ZERO)
    assert policy.periods[RuntimeStatus.FAILED] == ZERO
    assert policy.periods[RuntimeStatus.CANCELED] == timedelta(hours=1)


@quickly
@given(st.lists(MOMENTS), PERIODS)
def test_due_is_what_has_been_kept_for_the_period(ages: list[timedelta], period: timedelta) -> None:
    found = ended(*ages)
    expiry = examine(found, period)
    later = [age for age in ages if age < period]
    assert expiry.expired == found.instances[: len(ages) - len(later)]
    assert expiry.next_in == (period - max(later) if later else None)


@quickly
@given(st.lists(MOMENTS, min_size=1), PERIODS)
def test_after_the_time_until_the_next_one_it_is_due_and_not_before(
    ages: list[timedelta], period: timedelta
) -> None:
    found = ended(*ages)
    expiry = examine(found, period)
    if expiry.next_in is None:
        return
    assert expiry.next_in > ZERO
    due = EndedInstances(instances=found.instances, now=found.now + expiry.next_in)
    too_early = EndedInstances(instances=found.instances, now=due.now - MICROSECOND)
    assert len(examine(too_early, period).expired) == len(expiry.expired)
    assert len(examine(due, period).expired) > len(expiry.expired)


@pytest.mark.parametrize("age", [NOW - END_OF_TIME, timedelta(days=2000 * 365)])
def test_moments_near_the_ends_of_time_are_no_error(age: timedelta) -> None:
    period = timedelta(days=292 * 365)
    expiry = examine(ended(age), period)
    if age < ZERO:
        assert expiry == Expiry(expired=(), next_in=period - age)
    else:
        assert len(expiry.expired) == 1


@quickly
@given(st.lists(st.integers(0, 60)), st.integers(min_value=1, max_value=7), st.integers(1, 50))
def test_portions_are_all_in_order_and_bounded(
    lengths: list[int], most_instances: int, most_events: int
) -> None:
    records = [record(history_length=length, revision=n) for n, length in enumerate(lengths)]
    cut = list(portions(records, most_instances=most_instances, most_events=most_events))
    assert [one for portion in cut for one in portion] == records
    for portion in cut:
        assert 0 < len(portion) <= most_instances
        assert len(portion) == 1 or weight(portion) <= most_events
    for portion, following in itertools.pairwise(cut):
        is_full = len(portion) == most_instances
        assert is_full or weight((*portion, following[0])) > most_events


def weight(portion: tuple[InstanceRecord, ...]) -> int:
    return sum(one.history_length for one in portion)

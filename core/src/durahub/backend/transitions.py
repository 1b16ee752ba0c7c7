"""What operations make of one instance: the rules that every store applies, as pure functions.

A store that keeps records as values uses them as they are; one that keeps rows says the same in its own
language, and the conformance kit checks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice

from durahub.backend.operations import CommitTurn, CreateInstance, ParkInstance, PurgeInstance
from durahub.backend.records import (
    MESSAGES_PER_CLAIM,
    ClaimedInstance,
    InstanceRecord,
    Payloads,
    StoredMessage,
    Timer,
)
from durahub.backend.results import InstanceEnded, InstanceMissing, InstanceNotEnded
from durahub.clock import END_OF_TIME
from durahub.types import RuntimeStatus


def record_of_creation(creation: CreateInstance, old: InstanceRecord | None) -> InstanceRecord:
    """Return the record of a new instance, or of a new run in place of an ended one."""
    return InstanceRecord(
        key=creation.key,
        name=creation.name,
        version=creation.version,
        execution_id=creation.execution_id,
        generation=old.generation + 1 if old else 1,
        created_at=creation.created_at,
        last_updated_at=creation.created_at,
        scheduled_start_at=creation.not_before,
        parent=creation.parent,
        tags=dict(creation.tags),
        revision=old.revision + 1 if old else 0,
    )


def occupant_of(existing: InstanceRecord | None, creation: CreateInstance) -> InstanceRecord | None:
    """Return what is in the way of a creation: what exists, unless it may be replaced."""
    if existing is None:
        return None
    is_replaceable = existing.status.is_terminal and existing.revision == creation.replaces
    return None if is_replaceable else existing


def is_turn_of(record: InstanceRecord, commit: CommitTurn) -> bool:
    """Whether a turn was computed from this generation and revision; who owns it is another question."""
    return (record.execution_id, record.revision) == (commit.execution_id, commit.revision)


def record_after_turn(record: InstanceRecord, commit: CommitTurn) -> InstanceRecord:
    """Return the record as a turn leaves it, its events counted, in the next generation if there is one."""
    following = commit.next_generation
    return replace(
        record,
        status=commit.status,
        last_updated_at=commit.updated_at,
        started_at=commit.started_at,
        completed_at=commit.completed_at,
        revision=record.revision + 1,
        parked_reason=None,
        execution_id=record.execution_id if following is None else following.execution_id,
        generation=record.generation + (following is not None),
        history_length=record.history_length + len(commit.history) if following is None else 0,
    )


def payloads_after_turn(payloads: Payloads, commit: CommitTurn) -> Payloads:
    """Return the payloads as a turn leaves them."""
    following = commit.next_generation
    return Payloads(
        input=payloads.input if following is None else following.input,
        output=commit.output,
        custom_status=commit.custom_status,
        failure=commit.failure,
    )


def record_after_parking(record: InstanceRecord, parking: ParkInstance) -> InstanceRecord:
    """Return the record as a parking leaves it, its events counted."""
    return replace(
        record,
        status=RuntimeStatus.STALLED,
        parked_reason=parking.reason,
        last_updated_at=parking.updated_at,
        revision=record.revision + 1,
        history_length=record.history_length + len(parking.history),
    )


def first_message_id(record: InstanceRecord) -> int:
    """Return the id of the message that starts a generation other than an instance's first.

    It is below every accepted one, and unique, because a generation has one start.
    """
    return -record.generation


def delivery_refusal(record: InstanceRecord | None) -> InstanceMissing | InstanceEnded | None:
    """Return why nothing can be delivered to an instance, or None if it can."""
    if record is None:
        return InstanceMissing()
    return InstanceEnded(status=record.status) if record.status.is_terminal else None


def purge_refusal(
    record: InstanceRecord | None, purge: PurgeInstance
) -> InstanceMissing | InstanceNotEnded | None:
    """Return why an instance is not purged, or None if it is."""
    if record is None or purge.execution_id not in {None, record.execution_id}:
        return InstanceMissing()
    if record.status.is_terminal or purge.force:
        return None
    return InstanceNotEnded(status=record.status)


def moment_of_waking(
    record: InstanceRecord,
    oldest: StoredMessage | None,
    timers: Iterable[Timer],
    *,
    not_before: datetime | None,
    woken_at: datetime | None,
) -> datetime | None:
    """Return when an instance that nobody owns is due; None: never by itself.

    Args:
        record: Its record.
        oldest: The first of the messages that wait for it.
        timers: Its timers.
        not_before: It is not due before this moment.
        woken_at: When a delivery first expedited it, since its last turn.
    """
    reasons = [] if woken_at is None else [woken_at]
    if record.parked_reason is None:
        if oldest is not None:
            reasons.append(oldest.accepted_at)
        reasons += [timer.due_at for timer in timers]
    if not reasons:
        return None
    moment = min(reasons)
    if not_before is not None:
        moment = max(moment, not_before)
    return None if moment >= END_OF_TIME else moment


def handed_over(
    record: InstanceRecord,
    messages: Iterable[StoredMessage],
    timers: Iterable[Timer],
    now: datetime,
) -> ClaimedInstance:
    """Return what a claim hands over: the oldest messages, and the timers that are due, up to the cap."""
    due = [timer for timer in timers if timer.due_at <= now]
    due.sort(key=lambda timer: (timer.due_at, timer.timer_id))
    return ClaimedInstance(
        record=record,
        messages=tuple(islice(messages, MESSAGES_PER_CLAIM)),
        timers=tuple(due[:MESSAGES_PER_CLAIM]),
    )

"""Rows of `instances`, as they are between the tables and the contract's values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from durahub.backend import InstanceRecord, ParentLink, Payloads
from durahub.clock import END_OF_TIME, EPOCH, from_micros, to_micros
from durahub.errors import BackendCorruptionError
from durahub.types import TERMINAL_STATUSES, AppId, ExecutionId, InstanceKey, RuntimeStatus

NEVER = to_micros(END_OF_TIME)
"""As `not_before` or `due_at`: nothing becomes due by itself."""

_TERMINAL = frozenset(int(status) for status in TERMINAL_STATUSES)


@dataclass(slots=True)
class InstanceRow:
    """One row of `instances`; the fields are its columns, in their order."""

    instance: int
    app_id: str
    instance_id: str
    name: str
    version: str | None
    execution_id: str
    generation: int
    status: int
    created_at: int
    last_updated_at: int
    started_at: int | None
    completed_at: int | None
    scheduled_start_at: int | None
    parent_app_id: str | None
    parent_instance_id: str | None
    parent_execution_id: str | None
    parent_task_id: int | None
    tags: str | None
    revision: int
    history_length: int
    last_message: int
    parked_reason: str | None
    pending_at: int | None
    not_before: int | None
    wake_at: int | None
    owner: int | None

    @property
    def key(self) -> InstanceKey:
        """The key of the instance."""
        return InstanceKey(AppId(self.app_id), self.instance_id)

    @property
    def is_ended(self) -> bool:
        """Whether the status is terminal."""
        return self.status in _TERMINAL

    def wait_since(self, moment: int | None) -> None:
        """Note that something waits for the instance since, or will from, a moment; None: nothing."""
        if moment is not None and (self.pending_at is None or moment < self.pending_at):
            self.pending_at = moment

    def park(self, reason: str) -> None:
        """Make the instance STALLED, unowned, and due by nothing but a delivery that expedites."""
        self.status = int(RuntimeStatus.STALLED)
        self.parked_reason = reason
        self.owner = None
        self.pending_at = None
        self.not_before = None
        self.wake_at = None

    def is_due(self, now: int) -> bool:
        """Whether the instance can be claimed: its moment has come and nobody owns it."""
        return self.owner is None and self.wake_at is not None and self.wake_at <= now

    def schedule(self) -> None:
        """Derive when the instance becomes due from what waits for it."""
        wake_at = self.pending_at
        if wake_at is not None and self.not_before is not None:
            wake_at = max(wake_at, self.not_before)
        self.wake_at = None if wake_at == NEVER else wake_at


COLUMNS = tuple(field.name for field in fields(InstanceRow))

SELECTED = ", ".join(f"i.{column}" for column in COLUMNS)
"""The columns of a row of `instances AS i`, as `InstanceRow(*row)` takes them."""

# CROSS JOIN fixes the order: from the wanted keys to the index, never the other way round.
FIND_INSTANCES = f"""
SELECT {SELECTED} FROM (VALUES {{rows}}) AS v CROSS JOIN instances AS i
WHERE i.app_id = v.column1 AND i.instance_id = v.column2
"""  # noqa: S608 - made of constants

values_of = attrgetter(*COLUMNS)
"""Returns the values of an `InstanceRow` in the order of `COLUMNS`."""


def record_of(row: InstanceRow) -> InstanceRecord:
    """Return what the contract calls the record.

    Raises:
        BackendCorruptionError: The row holds what this program never writes.
    """
    try:
        return InstanceRecord(
            key=row.key,
            name=row.name,
            version=row.version,
            execution_id=ExecutionId(row.execution_id),
            generation=row.generation,
            status=RuntimeStatus(row.status),
            created_at=from_micros(row.created_at),
            last_updated_at=from_micros(row.last_updated_at),
            started_at=moment_of(row.started_at),
            completed_at=moment_of(row.completed_at),
            scheduled_start_at=moment_of(row.scheduled_start_at),
            parent=_parent_of(row),
            tags=json.loads(row.tags) if row.tags is not None else {},
            revision=row.revision,
            history_length=row.history_length,
            parked_reason=row.parked_reason,
        )
    except (ValueError, OverflowError) as error:
        raise BackendCorruptionError(
            f"the row of instance {row.instance_id!r} of app {row.app_id!r} does not decode: {error};"
            " restore a backup, or purge the instance by force"
        ) from error


def shown_record_of(row: InstanceRow) -> InstanceRecord:
    """Return the record, or what is left to show of one that does not decode: STALLED, with the reason."""
    try:
        return record_of(row)
    except BackendCorruptionError as error:
        return InstanceRecord(
            key=row.key,
            name=str(row.name),
            execution_id=ExecutionId(str(row.execution_id)),
            status=RuntimeStatus.STALLED,
            created_at=_moment_or_epoch(row.created_at),
            last_updated_at=_moment_or_epoch(row.last_updated_at),
            parked_reason=str(error),
        )


def _moment_or_epoch(micros: int) -> datetime:
    try:
        return from_micros(micros)
    except (TypeError, OverflowError):
        return EPOCH


def payloads_of(columns: Sequence[Any]) -> Payloads:
    """Return the payloads of a row of (input, output, custom_status, failure)."""
    return Payloads(
        input=columns[0], output=columns[1], custom_status=columns[2], failure=columns[3]
    )


def moment_of(micros: int | None) -> datetime | None:
    """Return the moment of a column that may be NULL."""
    return None if micros is None else from_micros(micros)


def micros_of(moment: datetime | None) -> int | None:
    """Return the column of a moment that may be absent."""
    return None if moment is None else to_micros(moment)


def _parent_of(row: InstanceRow) -> ParentLink | None:
    if row.parent_instance_id is None:
        return None
    return ParentLink(
        key=InstanceKey(AppId(row.parent_app_id or ""), row.parent_instance_id),
        execution_id=ExecutionId(row.parent_execution_id or ""),
        task_id=row.parent_task_id or 0,
    )

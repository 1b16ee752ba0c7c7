"""Rows of `instances` as the contract's records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
from durahub.backend import InstanceRecord, ParentLink
from durahub.errors import BackendCorruptionError
from durahub.types import AppId, ExecutionId, InstanceKey, RuntimeStatus

from durahub_postgres.text import from_stored

Moment = TypeVar("Moment", datetime, datetime | None)

Row = asyncpg.Record
"""A row as the driver returns it: a sequence of its columns."""


def record_of(row: Row) -> InstanceRecord:
    """Return the record of a row, whose columns are in the order of the table.

    Raises:
        BackendCorruptionError: The row holds what this program never writes.
    """
    (
        _,
        app_id,
        instance_id,
        name,
        version,
        execution_id,
        generation,
        status,
        created_at,
        last_updated_at,
        started_at,
        completed_at,
        scheduled_start_at,
        *parent,
        tags,
        revision,
        history_length,
        parked_reason,
    ) = row
    try:
        return InstanceRecord(
            key=InstanceKey(AppId(from_stored(app_id)), from_stored(instance_id)),
            name=from_stored(name),
            version=from_stored(version),
            execution_id=ExecutionId(from_stored(execution_id)),
            generation=generation,
            status=RuntimeStatus(status),
            created_at=moment_of(created_at),
            last_updated_at=moment_of(last_updated_at),
            started_at=moment_of(started_at),
            completed_at=moment_of(completed_at),
            scheduled_start_at=moment_of(scheduled_start_at),
            parent=_parent_of(parent),
            tags=json.loads(tags) if tags is not None else {},
            revision=revision,
            history_length=history_length,
            parked_reason=from_stored(parked_reason),
        )
    except ValueError as error:
        raise BackendCorruptionError(
            f"the row of instance {instance_id!r} of app {app_id!r} does not decode: {error};"
            " restore a backup, or purge the instance by force"
        ) from error


def moment_of(stored: Moment) -> Moment:
    """Return a moment as the contract knows it; the first and the last are stored as infinities."""
    # The driver says infinity by a datetime that knows no zone.
    if stored is None:
        return stored
    return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored


def _parent_of(columns: Sequence[Any]) -> ParentLink | None:
    app_id, instance_id, execution_id, task_id = columns
    if instance_id is None:
        return None
    return ParentLink(
        key=InstanceKey(AppId(from_stored(app_id)), from_stored(instance_id)),
        execution_id=ExecutionId(from_stored(execution_id)),
        task_id=task_id,
    )

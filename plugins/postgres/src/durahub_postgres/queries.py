"""Reading instances: parameters of the functions in `reads.sql`, and what they return."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from durahub.backend import (
    EndedInstances,
    EndedQuery,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    InstanceView,
    Payloads,
)
from durahub.clock import from_micros, to_micros
from durahub.errors import BackendCorruptionError, BackendError
from durahub.types import InstanceKey, RuntimeStatus

from durahub_postgres.connections import Connections
from durahub_postgres.rows import Row, record_of
from durahub_postgres.text import from_stored, to_stored

_TOKEN = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


async def get(
    connections: Connections, keys: Sequence[InstanceKey], *, payloads: bool
) -> tuple[InstanceView | None, ...]:
    """Return instances in the order of the keys, None for those that do not exist."""
    rows = await connections.call(
        "SELECT * FROM {hub}.read_instances($1, $2)", stored_keys(keys), payloads
    )
    found = {row[0]: row for row in rows}
    views: list[InstanceView | None] = []
    for place in range(1, len(keys) + 1):
        row = found.get(place)
        views.append(None if row is None else _view_of(row, payloads=payloads))
    return tuple(views)


async def history(
    connections: Connections, keys: Sequence[InstanceKey]
) -> tuple[InstanceHistory | None, ...]:
    """Return instances with their committed history, in the order of the keys.

    Raises:
        BackendCorruptionError: A history has a gap.
    """
    rows = await connections.call("SELECT * FROM {hub}.read_histories($1)", stored_keys(keys))
    records: dict[int, InstanceRecord] = {}
    events: dict[int, list[tuple[int, bytes]]] = {}
    for place, row, seq, event in rows:
        if seq is None:
            records[place] = record_of(row)
            events[place] = []
        else:
            events[place].append((seq, event))
    return tuple(
        InstanceHistory(record=records[place], events=_whole(records[place], events[place]))
        if place in records
        else None
        for place in range(1, len(keys) + 1)
    )


async def list_instances(connections: Connections, query: InstanceQuery) -> InstancePage:
    """Return one page, in the order of creation: by moment, then by acceptance.

    Raises:
        BackendError: The page token is not one of this backend.
    """
    created_at, instance = _start(query)
    rows = await connections.call(
        "SELECT * FROM {hub}.list_instances($1, $2, $3, $4, $5, $6)",
        to_stored(query.app_id),
        sorted({int(status) for status in query.statuses or RuntimeStatus}),
        created_at,
        instance,
        query.created_to,
        query.page_size + 1,
    )
    page = [record_of(row) for row in rows[: query.page_size]]
    token = None
    if len(rows) > len(page):
        token = f"{to_micros(page[-1].created_at)}.{rows[len(page) - 1]['instance']}"
    return InstancePage(instances=tuple(page), next_token=token)


async def list_ended(connections: Connections, query: EndedQuery) -> EndedInstances:
    """Return ended instances, the longest ended first."""
    rows = await connections.call(
        "SELECT {hub}.hub_now(), r FROM (SELECT) AS one"
        " LEFT JOIN {hub}.list_ended($1, $2, $3) AS r ON true",
        to_stored(query.app_id),
        int(query.status),
        query.limit,
    )
    return EndedInstances(
        instances=tuple(record_of(row[1]) for row in rows if row[1] is not None), now=rows[0][0]
    )


def stored_keys(keys: Sequence[InstanceKey]) -> list[tuple[str, str]]:
    """Return keys as the type `instance_key`."""
    return [(to_stored(app_id), to_stored(instance_id)) for app_id, instance_id in keys]


def _view_of(row: Row, *, payloads: bool) -> InstanceView:
    return InstanceView(record=record_of(row[1]), payloads=_payloads_of(row) if payloads else None)


def _payloads_of(row: Row) -> Payloads:
    _, _, given, output, custom_status, failure = row
    return Payloads(
        input=from_stored(given),
        output=from_stored(output),
        custom_status=from_stored(custom_status),
        failure=failure,
    )


def _start(query: InstanceQuery) -> tuple[datetime | None, int]:
    start = None if query.created_from is None else (query.created_from, 0)
    if query.page_token is None:
        return start or (None, 0)
    after = _parse_token(query.page_token)
    if after is None:
        raise BackendError("the page token is not one of this backend; start with the first page")
    return after if start is None else max(start, after)


def _parse_token(token: str) -> tuple[datetime, int] | None:
    match = _TOKEN.fullmatch(token)
    try:
        return match and (from_micros(int(match[1])), int(match[2]))
    except OverflowError:
        return None


def _whole(record: InstanceRecord, stored: Sequence[tuple[int, bytes]]) -> tuple[bytes, ...]:
    wrong = next((place for place, (seq, _) in enumerate(stored) if seq != place), len(stored))
    if wrong != record.history_length or len(stored) != record.history_length:
        raise BackendCorruptionError(
            f"the history of instance {record.key.instance_id!r} of app {record.key.app_id!r} has a"
            f" gap: event {min(wrong, record.history_length)} is not as expected ({len(stored)}"
            f" events stored, {record.history_length} committed); restore a backup, or purge the"
            " instance by force"
        )
    return tuple(event for _, event in stored)

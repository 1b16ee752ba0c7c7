"""Reading instances; each call runs inside one read transaction, and so sees one snapshot."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from itertools import islice
from typing import Any

from durahub.backend import (
    EndedQuery,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    InstanceView,
)
from durahub.clock import to_micros
from durahub.errors import BackendCorruptionError, BackendError
from durahub.types import InstanceKey, RuntimeStatus

from durahub_sqlite.bulk import run_rows
from durahub_sqlite.rows import (
    COLUMNS,
    FIND_INSTANCES,
    NEVER,
    SELECTED,
    InstanceRow,
    payloads_of,
    record_of,
    shown_record_of,
)

FIND_WITH_PAYLOADS = f"""
SELECT {SELECTED}, p.input, p.output, p.custom_status, p.failure
FROM (VALUES {{rows}}) AS v CROSS JOIN instances AS i
LEFT JOIN payloads AS p ON p.instance = i.instance
WHERE i.app_id = v.column1 AND i.instance_id = v.column2
"""  # noqa: S608 - made of constants

HISTORY = "SELECT seq, event FROM history WHERE instance = ? ORDER BY seq"

# One branch per status reads at most one page from the index, however many instances there are.
_BRANCH = """
SELECT * FROM (
  SELECT instance, created_at FROM instances
  WHERE app_id = :app_id AND status = {status}
    AND (created_at, instance) > (:created_at, :instance) AND created_at < :end
  ORDER BY created_at, instance LIMIT :limit)
"""

_PAGE = f"""
SELECT {SELECTED}
FROM ({{branches}} ORDER BY created_at, instance LIMIT :limit) AS page
CROSS JOIN instances AS i ON i.instance = page.instance
ORDER BY page.created_at, page.instance
"""  # noqa: S608 - made of constants

# Without LIMIT: rows that do not decode don't count, and no more are read than are asked for.
ENDED = f"""
SELECT {SELECTED} FROM instances AS i
WHERE i.app_id = ? AND i.status = ? AND i.completed_at IS NOT NULL
ORDER BY i.completed_at
"""  # noqa: S608 - made of constants

_TOKEN = re.compile(r"(-?[0-9]{1,19})\.([0-9]{1,18})", re.ASCII)

_BEFORE_ALL_TIME = -(2**63)


def get(
    connection: sqlite3.Connection, keys: Sequence[InstanceKey], *, payloads: bool
) -> tuple[InstanceView | None, ...]:
    """Return instances in the order of the keys, None for those that do not exist."""
    found: dict[InstanceKey, InstanceView] = {}
    width = len(COLUMNS)
    for columns in run_rows(connection, FIND_WITH_PAYLOADS if payloads else FIND_INSTANCES, keys):
        row = InstanceRow(*columns[:width])
        found[row.key] = InstanceView(
            record=shown_record_of(row),
            payloads=payloads_of(columns[width:]) if payloads else None,
        )
    return tuple(found.get(key) for key in keys)


def history(
    connection: sqlite3.Connection, keys: Sequence[InstanceKey]
) -> tuple[InstanceHistory | None, ...]:
    """Return instances with their committed history, in the order of the keys.

    Raises:
        BackendCorruptionError: A history has a gap.
    """
    rows = [InstanceRow(*columns) for columns in run_rows(connection, FIND_INSTANCES, keys)]
    found = {
        row.key: InstanceHistory(record=record_of(row), events=_events(connection, row))
        for row in rows
    }
    return tuple(found.get(key) for key in keys)


def list_instances(connection: sqlite3.Connection, query: InstanceQuery) -> InstancePage:
    """Return one page, in the order of creation: by moment, then by acceptance.

    Raises:
        BackendError: The page token is not one of this backend.
    """
    created_at, instance = _start(query)
    statuses = query.statuses or tuple(RuntimeStatus)
    parameters = {
        "app_id": query.app_id,
        "created_at": created_at,
        "instance": instance,
        "end": NEVER + 1 if query.created_to is None else to_micros(query.created_to),
        "limit": query.page_size + 1,
    }
    statement = page_statement(tuple(sorted(set(statuses))))
    rows = [InstanceRow(*columns) for columns in connection.execute(statement, parameters)]
    page = rows[: query.page_size]
    more = len(rows) > len(page)
    return InstancePage(
        instances=tuple(shown_record_of(row) for row in page),
        next_token=f"{page[-1].created_at}.{page[-1].instance}" if more else None,
    )


def list_ended(connection: sqlite3.Connection, query: EndedQuery) -> tuple[InstanceRecord, ...]:
    """Return the instances that ended first with a status, without those that do not decode."""
    with closing(connection.execute(ENDED, (query.app_id, int(query.status)))) as rows:
        return tuple(islice(_sound_records(rows), query.limit))


@lru_cache(maxsize=64)
def page_statement(statuses: tuple[RuntimeStatus, ...]) -> str:
    """Return the statement that reads one page of instances with these statuses."""
    branches = " UNION ALL ".join(_BRANCH.format(status=int(status)) for status in statuses)
    return _PAGE.format(branches=branches)


def _start(query: InstanceQuery) -> tuple[int, int]:
    start = (_BEFORE_ALL_TIME, 0)
    if query.created_from is not None:
        start = (to_micros(query.created_from), 0)
    if query.page_token is None:
        return start
    match = _TOKEN.fullmatch(query.page_token)
    if match is None:
        raise BackendError("the page token is not one of this backend; start with the first page")
    return max(start, (int(match[1]), int(match[2])))


def _sound_records(rows: Iterable[Sequence[Any]]) -> Iterator[InstanceRecord]:
    for columns in rows:
        with suppress(BackendCorruptionError):
            yield record_of(InstanceRow(*columns))


def _events(connection: sqlite3.Connection, row: InstanceRow) -> tuple[bytes, ...]:
    stored = connection.execute(HISTORY, (row.instance,)).fetchall()
    wrong = next((seq for seq, (found, _) in enumerate(stored) if found != seq), len(stored))
    if wrong != row.history_length or len(stored) != row.history_length:
        raise BackendCorruptionError(
            f"the history of instance {row.instance_id!r} of app {row.app_id!r} has a gap: event"
            f" {min(wrong, row.history_length)} is not as expected ({len(stored)} events stored,"
            f" {row.history_length} committed); restore a backup, or purge the instance by force"
        )
    return tuple(event for _, event in stored)

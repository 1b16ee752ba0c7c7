"""Reading: what one transaction finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from durahub.backend import (
    EndedInstances,
    EndedQuery,
    InstanceHistory,
    InstancePage,
    InstanceQuery,
    InstanceRecord,
    InstanceView,
)
from durahub.errors import BackendCorruptionError, BackendError
from durahub.types import InstanceKey

from acme_durahub import keys, rows
from acme_durahub.hub import Hub

LONGEST_TOKEN = 18
"""Longest page token, in digits: positions never get that large."""


def get(
    hub: Hub, wanted: Sequence[InstanceKey], *, payloads: bool
) -> tuple[InstanceView | None, ...]:
    """Return instances in the order of the keys."""

    def view(key: InstanceKey) -> InstanceView | None:
        record = hub.record(key)
        if record is None:
            return None
        return InstanceView(record=record, payloads=hub.payloads(key) if payloads else None)

    return tuple(map(view, wanted))


def history(hub: Hub, wanted: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
    """Return records with their history in the order of the keys."""

    def read(key: InstanceKey) -> InstanceHistory | None:
        row = hub.row(key)
        if row is None:
            return None
        found = list(hub.txn.scan(keys.HISTORY + keys.instance_address(key)))
        expected = range(row.record.history_length)
        if [rest for rest, _ in found] != [keys.number(index) for index in expected]:
            raise BackendCorruptionError(
                f"the history of {key} should have {len(expected)} events without a gap,"
                f" and has {len(found)}"
            )
        return InstanceHistory(record=row.record, events=tuple(event for _, event in found))

    return tuple(map(read, wanted))


def list_instances(hub: Hub, query: InstanceQuery) -> InstancePage:
    """Return one page of the instances that a query selects."""
    selected = _selected(hub, query)
    page = tuple(islice(selected, query.page_size))
    has_more = next(selected, None) is not None
    return InstancePage(
        instances=tuple(record for _, record in page),
        next_token=str(page[-1][0]) if has_more else None,
    )


def _selected(hub: Hub, query: InstanceQuery) -> Iterator[tuple[int, InstanceRecord]]:
    prefix = keys.CREATED + keys.digest(query.app_id)
    for rest, entry in hub.txn.scan(prefix, after=_parse_token(query.page_token)):
        record = hub.record(rows.INSTANCE_ENTRY.decode(entry).key)
        if record is not None and _is_selected(record, query):
            yield next(keys.read_numbers(rest)), record


def _is_selected(record: InstanceRecord, query: InstanceQuery) -> bool:
    return (
        (not query.statuses or record.status in query.statuses)
        and (query.created_from is None or record.created_at >= query.created_from)
        and (query.created_to is None or record.created_at < query.created_to)
    )


def _parse_token(token: str | None) -> bytes:
    if token is None:
        return b""
    if not (token.isascii() and token.isdecimal() and len(token) <= LONGEST_TOKEN):
        raise BackendError(f"{token!r} is no page token of this backend")
    return keys.number(int(token))


def list_ended(hub: Hub, query: EndedQuery) -> EndedInstances:
    """Return the instances that ended first with a status."""
    prefix = keys.ENDED + keys.digest(query.app_id) + keys.number(query.status)
    found = (hub.follow(prefix + rest, entry) for rest, entry in hub.txn.scan(prefix))
    ended = islice((row.record for row in found if row is not None), query.limit)
    return EndedInstances(instances=tuple(ended), now=hub.now)

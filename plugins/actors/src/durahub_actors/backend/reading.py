"""Reads instances straight from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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
from durahub.clock import EPOCH
from durahub.errors import BackendCorruptionError, BackendError
from durahub.types import ExecutionId, InstanceKey, RuntimeStatus

from durahub_actors.stores import ActorState, MarkedActor, StateStore
from durahub_actors.workflows import codec, names
from durahub_actors.workflows.names import Names

MOST_PER_READ = 1000
"""Most instances that a listing reads at a time."""

LONGEST_RANK = 16
"""Longest rank in a page token, in digits."""


class Reader:
    """Answers the reading methods of the contract."""

    def __init__(self, store: StateStore, workflows: Names) -> None:
        self._store = store
        self._names = workflows

    async def get(
        self, keys: Sequence[InstanceKey], *, payloads: bool
    ) -> tuple[InstanceView | None, ...]:
        """Return instances in the order of the keys."""
        wanted = (names.METADATA, *names.PAYLOADS) if payloads else (names.METADATA,)
        actors = [self._names.actor_of(key) for key in keys]
        found = await self._store.read(actors, keys=wanted) if actors else ()
        return tuple(
            None if stored is None else _view(key, stored.values, payloads=payloads)
            for key, stored in zip(keys, found, strict=True)
        )

    async def history(self, keys: Sequence[InstanceKey]) -> tuple[InstanceHistory | None, ...]:
        """Return records with their history in the order of the keys.

        Raises:
            BackendCorruptionError: An event is missing, or a record does not decode.
        """
        actors = [self._names.actor_of(key) for key in keys]
        if not actors:
            return ()
        found = await self._store.read(actors, keys=(names.METADATA,), prefixes=(names.HISTORY,))
        return tuple(
            None if stored is None else _history(key, stored)
            for key, stored in zip(keys, found, strict=True)
        )

    async def list_instances(self, query: InstanceQuery) -> InstancePage:
        """Return one page of instances in order of creation.

        Raises:
            BackendError: The page token is not one of this backend.
        """
        selected: list[tuple[InstanceRecord, MarkedActor]] = []
        after = None if query.page_token is None else _parse_token(query.page_token)
        is_picky = query.statuses or query.created_from or query.created_to
        most = MOST_PER_READ if is_picky else min(MOST_PER_READ, query.page_size + 1)
        while len(selected) <= query.page_size:
            found = await self._marked(query, after, most)
            selected += [
                (record, marked)
                for record, marked in self._records(query, found)
                if _is_selected(record, query)
            ]
            if len(found) < most:
                break
            after = (found[-1].rank, found[-1].id)
        page = selected[: query.page_size]
        last = page[-1][1] if len(selected) > query.page_size else None
        return InstancePage(
            instances=tuple(record for record, _ in page),
            next_token=None if last is None else f"{last.rank}.{last.id}",
        )

    async def list_ended(self, query: EndedQuery) -> EndedInstances:
        """Return instances that ended with a status, the longest ended first."""
        found = await self._store.marked(
            self._names.workflow_type(query.app_id),
            names.ended_index(query.status.name),
            after=None,
            limit=query.limit,
            key=names.METADATA,
        )
        records: list[InstanceRecord] = []
        for marked in found:
            key = InstanceKey(query.app_id, marked.id)
            try:
                records.append(codec.decode_record(key, marked.value or b""))
            except BackendCorruptionError:
                continue
        # Ranks are exact for ends from 1899 to 2184; this puts the others in order.
        records.sort(key=lambda record: record.completed_at or EPOCH)
        return EndedInstances(instances=tuple(records), now=await self._store.now())

    async def _marked(
        self, query: InstanceQuery, after: tuple[int, str] | None, most: int
    ) -> tuple[MarkedActor, ...]:
        return await self._store.marked(
            self._names.workflow_type(query.app_id),
            names.CREATED,
            after=after,
            limit=most,
            key=names.METADATA,
        )

    def _records(
        self, query: InstanceQuery, found: Sequence[MarkedActor]
    ) -> Iterator[tuple[InstanceRecord, MarkedActor]]:
        for marked in found:
            key = InstanceKey(query.app_id, marked.id)
            yield shown_record(key, marked.value), marked


def shown_record(key: InstanceKey, metadata: bytes | None) -> InstanceRecord:
    """Return the record, or what is left to show of one that does not decode: STALLED, with the reason."""
    try:
        return codec.decode_record(key, metadata or b"")
    except BackendCorruptionError as error:
        return InstanceRecord(
            key=key,
            name="",
            execution_id=ExecutionId(""),
            status=RuntimeStatus.STALLED,
            created_at=EPOCH,
            last_updated_at=EPOCH,
            parked_reason=str(error),
        )


def _view(key: InstanceKey, values: Mapping[str, bytes], *, payloads: bool) -> InstanceView:
    record = shown_record(key, values.get(names.METADATA))
    return InstanceView(record=record, payloads=_payloads(key, values) if payloads else None)


def _payloads(key: InstanceKey, values: Mapping[str, bytes]) -> Payloads:
    try:
        return codec.decode_payloads(key, values)
    except BackendCorruptionError:
        return Payloads()


def _history(key: InstanceKey, stored: ActorState) -> InstanceHistory:
    record = codec.decode_record(key, stored.values.get(names.METADATA, b""))
    wanted = [names.history_key(number) for number in range(record.history_length)]
    missing = next((name for name in wanted if name not in stored.values), None)
    if missing is not None:
        raise BackendCorruptionError(
            f"the history of instance {key.instance_id!r} of app {key.app_id!r} lacks {missing}"
        )
    return InstanceHistory(record=record, events=tuple(stored.values[name] for name in wanted))


def _parse_token(token: str) -> tuple[int, str]:
    rank, dot, actor_id = token.partition(".")
    if not (dot and rank.isascii() and rank.isdecimal() and len(rank) <= LONGEST_RANK):
        raise BackendError(f"{token[:40]!r} is no page token of the actors backend")
    return int(rank), actor_id


def _is_selected(record: InstanceRecord, query: InstanceQuery) -> bool:
    return (
        (not query.statuses or record.status in query.statuses)
        and (query.created_from is None or record.created_at >= query.created_from)
        and (query.created_to is None or record.created_at < query.created_to)
    )

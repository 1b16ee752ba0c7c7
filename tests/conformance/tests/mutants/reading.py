"""Mutants that are wrong about what is read."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import InstanceHistory, InstancePage, InstanceView, Payloads
from durahub.testing import memory
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(MemoryBackend, "get", "QRY-01")
async def missing_instances_are_left_out(
    original: Any, backend: Any, keys: Any, *, payloads: bool = False
) -> Any:
    found = await original(backend, keys, payloads=payloads)
    return tuple(view for view in found if view is not None) or (None,) * bool(keys)


@mutant(MemoryBackend, "get", "QRY-02")
async def payloads_come_unasked(
    original: Any, backend: Any, keys: Any, *, payloads: bool = False
) -> Any:
    return await original(backend, keys, payloads=True)


@mutant(MemoryBackend, "get", "TXT-04")
async def texts_lose_what_follows_nul(
    original: Any, backend: Any, keys: Any, *, payloads: bool = False
) -> Any:
    def cut(view: InstanceView | None) -> InstanceView | None:
        if view is None or view.payloads is None or view.payloads.output is None:
            return view
        output = view.payloads.output.partition("\0")[0]
        return replace(view, payloads=replace(view.payloads, output=output))

    return tuple(map(cut, await original(backend, keys, payloads=payloads)))


@mutant(MemoryBackend, "get", "TXT-03")
async def empty_payloads_are_absent(
    original: Any, backend: Any, keys: Any, *, payloads: bool = False
) -> Any:
    def empty(view: InstanceView | None) -> InstanceView | None:
        if view is None or view.payloads is None:
            return view
        old = view.payloads
        return replace(view, payloads=Payloads(input=old.input or None, output=old.output or None))

    return tuple(map(empty, await original(backend, keys, payloads=payloads)))


@mutant(MemoryBackend, "history", "HIS-01")
async def missing_histories_are_left_out(original: Any, backend: Any, keys: Any) -> Any:
    return tuple(one for one in await original(backend, keys) if one) or (None,) * bool(keys)


@mutant(memory, "_read_history", "HIS-02")
def history_ends_at_an_empty_event(original: Any, row: Any) -> InstanceHistory:
    found: InstanceHistory = original(row)
    return replace(found, events=tuple(iter(iter(found.events).__next__, b"")))


@mutant(memory, "_read_history", "HIS-03")
def gaps_are_not_seen(original: Any, row: Any) -> InstanceHistory:
    return InstanceHistory(record=row.record, events=tuple(row.history))


@mutant(MemoryBackend, "list_instances", "QRY-07")
async def listing_is_reversed(original: Any, backend: Any, query: Any) -> Any:
    page = await original(backend, query)
    return replace(page, instances=page.instances[::-1])


@mutant(MemoryBackend, "list_instances", "QRY-07")
async def listing_is_by_id(original: Any, backend: Any, query: Any) -> Any:
    page = await original(backend, query)
    return replace(page, instances=tuple(sorted(page.instances, key=lambda one: one.key)))


@mutant(MemoryBackend, "list_instances", "QRY-04")
async def statuses_are_ignored(original: Any, backend: Any, query: Any) -> Any:
    return await original(backend, replace(query, statuses=()))


@mutant(MemoryBackend, "list_instances", "QRY-05")
async def times_are_ignored(original: Any, backend: Any, query: Any) -> Any:
    return await original(backend, replace(query, created_from=None, created_to=None))


@mutant(memory, "_is_selected", "QRY-04")
def one_condition_is_enough(original: Any, record: Any, query: Any) -> bool:
    return bool(
        original(record, replace(query, statuses=()))
        or (query.statuses and original(record, replace(query, created_from=None, created_to=None)))
    )


@mutant(memory, "_is_selected", "QRY-05 QRY-06")
def created_to_is_included(original: Any, record: Any, query: Any) -> bool:
    return bool(original(record, query)) or record.created_at == query.created_to


@mutant(MemoryBackend, "list_instances", "QRY-07")
async def page_size_is_ignored(original: Any, backend: Any, query: Any) -> Any:
    return await original(backend, replace(query, page_size=10_000))


@mutant(MemoryBackend, "list_instances", "QRY-08")
async def pages_are_counted(original: Any, backend: Any, query: Any) -> Any:
    start = int(query.page_token or 0)
    whole = await original(backend, replace(query, page_size=10_000, page_token=None))
    end = start + query.page_size
    more = len(whole.instances) > end
    return InstancePage(instances=whole.instances[start:end], next_token=str(end) if more else None)


@mutant(memory, "_parse_token", "QRY-09")
def foreign_tokens_begin_anew(original: Any, token: Any) -> int:
    return int(token) if token and token.isascii() and token.isdecimal() and len(token) < 99 else 0


@mutant(memory, "_parse_token", "QRY-09")
def foreign_tokens_crash(original: Any, token: Any) -> int:
    return int(token or "0")


@mutant(MemoryBackend, "list_instances", "QRY-10")
async def there_is_always_another_page(original: Any, backend: Any, query: Any) -> Any:
    page = await original(backend, query)
    return replace(page, next_token=page.next_token or "999999")


@mutant(MemoryStore, "created_after", "QRY-03")
def listing_is_of_every_application(original: Any, store: Any, app_id: Any, position: Any) -> Any:
    rows = sorted(store.instances.values(), key=lambda row: row.position)
    return iter([row for row in rows if row.position > position])

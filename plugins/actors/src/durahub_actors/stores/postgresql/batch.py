"""Saves as the arrays that the function `write` takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from durahub.clock import to_micros

from durahub_actors.stores.saves import (
    UNCHECKED,
    ActorId,
    Refusal,
    Refused,
    Save,
    Saved,
    SaveResult,
)

_REFUSALS = {1: Refusal.LEASE, 2: Refusal.ETAG, 3: Refusal.HOLDER}

_Rows = Iterable[tuple[Any, ...]]


def to_rounds(saves: Sequence[Save]) -> list[list[int]]:
    """Return the places of saves in as few groups as have at most one of each actor, in order."""
    rounds: list[list[int]] = []
    seen: dict[ActorId, int] = {}
    for place, save in enumerate(saves):
        number = seen.get(save.actor, 0)
        seen[save.actor] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


def to_parameters(saves: Sequence[Save]) -> list[list[Any]]:
    """Return the parameters of `write`, in its order."""
    numbered = list(enumerate(saves, start=1))
    return [
        *_columns(6, (_save_row(save) for save in saves)),
        *_columns(2, ((n, name.encode()) for n, save in numbered for name in save.leases)),
        *_columns(3, _holders(numbered, "held")),
        *_columns(2, ((n, key.encode()) for n, save in numbered for key in save.delete)),
        *_columns(2, ((n, name.encode()) for n, save in numbered for name in save.unmark)),
        *_columns(2, ((n, name.encode()) for n, save in numbered for name in save.forget)),
        *_columns(
            3, ((n, key.encode(), value) for n, save in numbered for key, value in save.put.items())
        ),
        *_columns(
            3,
            ((n, name.encode(), rank) for n, save in numbered for name, rank in save.mark.items()),
        ),
        *_columns(9, _reminders(numbered)),
        *_columns(3, _holders(numbered, "hold")),
    ]


def to_results(saves: Sequence[Save], answer: Any) -> list[SaveResult]:
    """Return what `write` answered, a result for each save."""
    taken: list[set[str]] = [set() for _ in saves]
    for number, name in zip(answer["taken_saves"] or (), answer["taken_names"] or (), strict=True):
        taken[number - 1].add(name.decode())
    results: list[SaveResult] = []
    for refusal, etag, names in zip(answer["refusals"], answer["left_etags"], taken, strict=True):
        if refusal:
            results.append(Refused(_REFUSALS[refusal]))
        else:
            results.append(Saved(etag=_text(etag), taken=frozenset(names)))
    return results


def _columns(width: int, rows: _Rows) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(width)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


def _save_row(save: Save) -> tuple[Any, ...]:
    check, expected = 2, None
    if save.expected is UNCHECKED:
        check = 0
    elif save.expected is None:
        check = 1
    else:
        expected = str(save.expected).encode()
    return (
        save.actor.type.encode(),
        save.actor.id.encode(),
        check,
        expected,
        _bytes(save.etag),
        save.erase,
    )


def _holders(numbered: list[tuple[int, Save]], which: str) -> _Rows:
    for number, save in numbered:
        for name, holder in getattr(save, which).items():
            yield number, name.encode(), _bytes(holder)


def _reminders(numbered: list[tuple[int, Save]]) -> _Rows:
    for number, save in numbered:
        for name, reminder in save.remind.items():
            yield (
                number,
                name.encode(),
                reminder.queue.encode(),
                to_micros(reminder.due_at),
                reminder.order,
                reminder.label.encode(),
                reminder.payload,
                reminder.release,
                _bytes(reminder.take),
            )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _text(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode()

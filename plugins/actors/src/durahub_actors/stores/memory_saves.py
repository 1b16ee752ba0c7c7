"""What a save does, said as directly as it can be: the reference for all stores."""

from __future__ import annotations

from collections.abc import Iterator

from durahub.errors import BackendError

from durahub_actors.stores.memory_state import MemoryActor, MemoryState
from durahub_actors.stores.saves import (
    UNCHECKED,
    Refusal,
    Refused,
    Reminder,
    Save,
    Saved,
    SaveResult,
    check_save,
)


def carry_out(state: MemoryState, save: Save) -> SaveResult:
    """Carry out a save completely, or refuse it and change nothing.

    Raises:
        BackendError: The save makes no sense; nothing changed.
    """
    _check(save)
    refusal = _find_refusal(state, save)
    if refusal is not None:
        return Refused(refusal)
    if save.erase:
        _erase(state, save)
    _remove(state, save)
    _put(state, save)
    actor = state.actors.get(save.actor)
    return Saved(etag=actor.etag if actor else None, taken=_taken(state, save))


def _check(save: Save) -> None:
    check_save(save)
    try:
        for text in _texts(save):
            text.encode()
    except UnicodeEncodeError as error:
        # Never with the text: it belongs to the user.
        raise BackendError(
            "a lone surrogate is no Unicode character and can't be stored"
        ) from error


def _texts(save: Save) -> Iterator[str]:
    yield from (*save.actor, *save.put, *save.mark, *save.remind)
    for reminder in save.remind.values():
        yield from (reminder.queue, reminder.label)


def _find_refusal(state: MemoryState, save: Save) -> Refusal | None:
    if any(name not in state.leases for name in save.leases):
        return Refusal.LEASE
    actor = state.actors.get(save.actor)
    if save.expected is not UNCHECKED and save.expected != (actor.etag if actor else None):
        return Refusal.ETAG
    for name, holder in save.held.items():
        found = state.reminders.find(save.actor, name)
        if found is None or found.holder != holder:
            return Refusal.HOLDER
    return None


def _erase(state: MemoryState, save: Save) -> None:
    actor = state.actors.pop(save.actor, None)
    if actor is not None:
        for index, rank in actor.marks.items():
            state.marks.remove(save.actor, index, rank)
    for name in state.reminders.names(save.actor):
        state.reminders.remove(save.actor, name)


def _remove(state: MemoryState, save: Save) -> None:
    actor = state.actors.get(save.actor)
    if actor is not None:
        for key in save.delete:
            actor.values.pop(key, None)
        for index in save.unmark:
            _unmark(state, save, index)
    for name in save.forget:
        state.reminders.remove(save.actor, name)


def _unmark(state: MemoryState, save: Save, index: str) -> None:
    rank = state.actors[save.actor].marks.pop(index, None)
    if rank is not None:
        state.marks.remove(save.actor, index, rank)


def _put(state: MemoryState, save: Save) -> None:
    if save.etag is not None:
        actor = state.actors.setdefault(save.actor, MemoryActor(save.etag))
        actor.etag = save.etag
        actor.values.update(save.put)
        for index, rank in save.mark.items():
            _unmark(state, save, index)
            actor.marks[index] = rank
            state.marks.add(save.actor, index, rank)
    for name, reminder in save.remind.items():
        state.reminders.set(save.actor, name, reminder, _holder(state, save, name, reminder))
    for name, holder in save.hold.items():
        found = state.reminders.find(save.actor, name)
        if found is not None:
            state.reminders.set(save.actor, name, found.reminder, holder)


def _holder(state: MemoryState, save: Save, name: str, reminder: Reminder) -> str | None:
    found = state.reminders.find(save.actor, name)
    if found is None or found.holder is None or reminder.release:
        return reminder.take
    return found.holder


def _taken(state: MemoryState, save: Save) -> frozenset[str]:
    names = []
    for name, reminder in save.remind.items():
        found = state.reminders.find(save.actor, name)
        if reminder.take is not None and found is not None and found.holder == reminder.take:
            names.append(name)
    return frozenset(names)

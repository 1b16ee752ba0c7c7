"""Mutants that are wrong about how operations of a batch combine, and about its room."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import (
    Applied,
    Deliver,
    InstanceMissing,
    PurgeInstance,
    Room,
)
from durahub.errors import BackendUnavailableError
from durahub.testing.memory import MemoryBackend
from durahub.testing.memory_apply import Batch

from .registry import mutant


def _reordered(original: Any, batch: Any, order: str) -> Any:
    """Return the phases in another order: purges, releases, turns, creations, deliveries."""
    phases = dict(zip("prtcd", original(batch), strict=True))
    return tuple(phases[letter] for letter in order)


@mutant(Batch, "phases", "BAT-02")
def purges_come_last(original: Any, batch: Any) -> Any:
    return _reordered(original, batch, "rtcdp")


@mutant(Batch, "phases", "BAT-03")
def releases_come_last(original: Any, batch: Any) -> Any:
    return _reordered(original, batch, "ptcdr")


@mutant(Batch, "phases", "BAT-04")
def turns_come_last(original: Any, batch: Any) -> Any:
    return _reordered(original, batch, "prcdt")


@mutant(Batch, "phases", "BAT-05")
def creations_come_before_turns(original: Any, batch: Any) -> Any:
    return _reordered(original, batch, "prctd")


@mutant(Batch, "phases", "BAT-06")
def creations_come_last(original: Any, batch: Any) -> Any:
    return _reordered(original, batch, "prtdc")


@mutant(Batch, "phases", "BAT-09")
def results_come_after_deliveries(original: Any, batch: Any) -> Any:
    *earlier, last = original(batch)
    deliveries = {kind: last[kind] for kind in last if kind is Deliver}
    results = {kind: last[kind] for kind in last if kind is not Deliver}
    return (*earlier, deliveries, results)


@mutant(Batch, "phases", "BAT-06")
def batch_is_one_phase(original: Any, batch: Any) -> Any:
    return ({kind: call for phase in original(batch) for kind, call in phase.items()},)


@mutant(Batch, "write_turn", "EFF-11")
def outgoing_messages_go_with_each_turn(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    batch.send_outgoing()


@mutant(Batch, "run", "BAT-07")
def outgoing_messages_come_last(original: Any, batch: Any, operations: Any) -> Any:
    waiting: list[Any] = []
    send = batch.send_outgoing

    def keep() -> None:
        waiting.extend(batch._outgoing)
        batch._outgoing.clear()

    batch.send_outgoing = keep
    results = original(batch, operations)
    batch._outgoing = waiting
    send()
    return results


@mutant(Batch, "run", "BAT-01")
def first_refusal_ends_the_batch(original: Any, batch: Any, operations: Any) -> Any:
    results: list[Any] = []
    for operation in operations:
        results += original(batch, [operation])
        if isinstance(results[-1], InstanceMissing):
            results += [InstanceMissing()] * (len(operations) - len(results))
            break
    return tuple(results)


@mutant(Batch, "run", "BAT-01")
def results_come_unordered(original: Any, batch: Any, operations: Any) -> Any:
    return tuple(sorted(original(batch, operations), key=lambda one: type(one).__name__))


@mutant(MemoryBackend, "apply", "BAT-10")
async def empty_batch_is_not_looked_at(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    if not operations:
        return Applied(results=())
    return await original(backend, session, operations, *room)


@mutant(MemoryBackend, "apply", "BAT-11")
async def large_batches_are_too_large(
    original: Any, backend: Any, session: Any, operations: Any, *room: Any
) -> Any:
    if len(operations) > 999:
        raise BackendUnavailableError("too many variables")
    return await original(backend, session, operations, *room)


# Room


@mutant(Batch, "claim_instances", "ROM-02")
def room_claims_nothing(original: Any, batch: Any, room: Any) -> Any:
    return ()


@mutant(Batch, "claim_instances", "ROM-02")
def room_is_endless(original: Any, batch: Any, room: Any) -> Any:
    return original(batch, replace(room, instances=room.instances and 10_000))


@mutant(Batch, "claim_instances", "ROM-03")
def room_is_never_empty(original: Any, batch: Any, room: Any) -> Any:
    return original(batch, Room(instances=max(room.instances, 1)))


@mutant(Batch, "claim_instances", "ROM-04")
def room_takes_the_untouched(original: Any, batch: Any, room: Any) -> Any:
    batch.touched.update(dict.fromkeys(batch._store.instances))
    return original(batch, room)


@mutant(Batch, "claim_instances", "ROM-05")
def room_takes_from_every_application(original: Any, batch: Any, room: Any) -> Any:
    rows = [batch._store.instances[key] for key in batch.touched]
    due = [row for row in rows if row.is_due(batch._now)]
    return tuple(
        batch._store.claim(batch._session, row, batch._now) for row in due[: room.instances]
    )


@mutant(Batch, "claim_instances", "ROM-06")
def room_takes_what_is_not_due(original: Any, batch: Any, room: Any) -> Any:
    app_id = batch._session.session.app_id
    rows = [batch._store.instances[key] for key in batch.touched if key.app_id == app_id]
    due = [row for row in rows if row.owner is None and not row.record.status.is_terminal]
    return tuple(
        batch._store.claim(batch._session, row, batch._now) for row in due[: room.instances]
    )


@mutant(Batch, "claim_instances", "ROM-07")
def room_takes_the_owned(original: Any, batch: Any, room: Any) -> Any:
    rows = [batch._store.instances[key] for key in batch.touched]
    mine = [row for row in rows if row.owner == batch._session.session.session_id]
    return original(batch, room) + tuple(row.claimed(batch._now) for row in mine[: room.instances])


@mutant(Batch, "claim_instances", "ROM-01 ROM-10")
def room_hands_over_without_owning(original: Any, batch: Any, room: Any) -> Any:
    claimed = original(batch, room)
    for one in claimed:
        batch._store.disown(batch._store.instances[one.record.key])
    return claimed


@mutant(Batch, "send_outgoing", "ROM-11")
def receivers_are_not_touched(original: Any, batch: Any) -> None:
    touched = dict(batch.touched)
    original(batch)
    batch.touched = touched


@mutant(Batch, "create", "ROM-12")
def refused_creation_touches(original: Any, batch: Any, operation: Any) -> Any:
    batch.touched[operation.key] = None
    return original(batch, operation)


@mutant(Batch, "claim_tasks", "ROM-08")
def room_claims_no_tasks(original: Any, batch: Any, room: Any) -> Any:
    return ()


@mutant(Batch, "claim_tasks", "ROM-08")
def task_room_is_endless(original: Any, batch: Any, room: Any) -> Any:
    return original(batch, replace(room, activities=room.activities and 10_000))


@mutant(Batch, "claim_tasks", "ROM-03")
def task_room_is_never_empty(original: Any, batch: Any, room: Any) -> Any:
    return original(batch, Room(activities=max(room.activities, 1)))


@mutant(Batch, "claim_tasks", "ROM-09")
def task_room_takes_old_tasks(original: Any, batch: Any, room: Any) -> Any:
    batch.inserted.update(dict.fromkeys(batch._store.tasks))
    return original(batch, room)


@mutant(Batch, "claim_tasks", "ROM-05")
def task_room_takes_from_every_application(original: Any, batch: Any, room: Any) -> Any:
    rows = [batch._store.tasks[key] for key in batch.inserted]
    return tuple(batch._store.claim_task(batch._session, row) for row in rows[: room.activities])


@mutant(Batch, "claim_tasks", "ROM-08")
def task_room_hands_over_without_owning(original: Any, batch: Any, room: Any) -> Any:
    claimed = original(batch, room)
    for one in claimed:
        batch._store.disown_task(batch._store.tasks[one.key])
    return claimed


@mutant(Batch, "run", "PUR-03")
def purge_is_ignored_in_company(original: Any, batch: Any, operations: Any) -> Any:
    if len(operations) == 1:
        return original(batch, operations)
    kept = [one for one in operations if not isinstance(one, PurgeInstance)]
    results = iter(original(batch, kept))
    return tuple(
        InstanceMissing() if isinstance(one, PurgeInstance) else next(results) for one in operations
    )

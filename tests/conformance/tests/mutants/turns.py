"""Mutants that are wrong about what a turn changes."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import Payloads
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore

from .registry import mutant


@mutant(Batch, "write_turn", "REF-10")
def last_turn_keeps_the_owner(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    if turn.status.is_terminal:
        batch._store.own(row, batch._session.session.session_id)


@mutant(Batch, "write_turn", "TMR-03")
def turn_keeps_the_owner(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    batch._store.own(row, batch._session.session.session_id)
    batch._store.reschedule(row)


@mutant(Batch, "take_over", "BAT-11")
def revision_stays(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.record = replace(row.record, revision=row.record.revision - 1)


@mutant(Batch, "take_over", "TRN-04")
def revision_rises_by_two(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.record = replace(row.record, revision=row.record.revision + 1)


@mutant(Batch, "take_over", "TRN-03")
def old_payloads_stay(original: Any, batch: Any, row: Any, turn: Any) -> None:
    old = row.payloads
    original(batch, row, turn)
    row.payloads = Payloads(
        input=old.input,
        output=turn.output or old.output,
        custom_status=turn.custom_status or old.custom_status,
        failure=turn.failure or old.failure,
    )


@mutant(Batch, "take_over", "TRN-03")
def input_is_lost(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.payloads = replace(row.payloads, input=None)


@mutant(Batch, "take_over", "TRN-01")
def tags_are_lost(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.record = replace(row.record, tags={})


@mutant(Batch, "take_over", "PRK-06")
def turn_keeps_the_parking(original: Any, batch: Any, row: Any, turn: Any) -> None:
    reason = row.record.parked_reason
    original(batch, row, turn)
    row.record = replace(row.record, parked_reason=reason)


@mutant(Batch, "take_over", "TRN-14")
def turn_keeps_the_sleep(original: Any, batch: Any, row: Any, turn: Any) -> None:
    not_before = row.not_before
    original(batch, row, turn)
    row.not_before = not_before


@mutant(Batch, "take_over", "DEL-11")
def turn_keeps_the_wake_up(original: Any, batch: Any, row: Any, turn: Any) -> None:
    woken_at = row.woken_at
    original(batch, row, turn)
    row.woken_at = woken_at


@mutant(Batch, "take_away", "TRN-06")
def all_messages_are_consumed(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.inbox.clear()


@mutant(Batch, "take_away", "TRN-05")
def consuming_is_strict(original: Any, batch: Any, row: Any, turn: Any) -> None:
    for message_id in turn.consumed:
        del row.inbox[message_id]
    original(batch, row, turn)


@mutant(Batch, "take_away", "TMR-07")
def removing_timers_is_strict(original: Any, batch: Any, row: Any, turn: Any) -> None:
    for timer_id in turn.removed_timers:
        del row.timers[timer_id]
    original(batch, row, turn)


@mutant(Batch, "take_away", "TMR-08")
def all_due_timers_are_removed(original: Any, batch: Any, row: Any, turn: Any) -> None:
    original(batch, row, turn)
    row.timers = {key: one for key, one in row.timers.items() if one.due_at > batch._now}


@mutant(Batch, "append_history", "TRN-07")
def history_is_replaced(original: Any, batch: Any, row: Any, events: Any) -> None:
    row.history.clear()
    row.record = replace(row.record, history_length=0)
    original(batch, row, events)


@mutant(Batch, "append_history", "HIS-01")
def history_is_not_counted(original: Any, batch: Any, row: Any, events: Any) -> None:
    original(batch, row, events)
    row.record = replace(row.record, history_length=0)


@mutant(Batch, "start_generation", "TRN-08")
def generation_stays(original: Any, batch: Any, row: Any, following: Any) -> None:
    generation = row.record.generation - 1
    original(batch, row, following)
    row.record = replace(row.record, generation=generation)


@mutant(Batch, "start_generation", "TRN-11")
def old_history_stays(original: Any, batch: Any, row: Any, following: Any) -> None:
    history = list(row.history)
    original(batch, row, following)
    row.history = history
    row.record = replace(row.record, history_length=len(history))


@mutant(Batch, "start_generation", "TRN-10")
def old_timers_stay(original: Any, batch: Any, row: Any, following: Any) -> None:
    timers = dict(row.timers)
    original(batch, row, following)
    row.timers = timers


@mutant(Batch, "start_generation", "TRN-09")
def old_messages_go(original: Any, batch: Any, row: Any, following: Any) -> None:
    row.inbox.clear()
    original(batch, row, following)


@mutant(Batch, "start_generation", "ACT-05 EFF-09")
def next_generation_loses_tasks(original: Any, batch: Any, row: Any, following: Any) -> None:
    original(batch, row, following)
    for task in tuple(row.tasks):
        batch._store.remove_task(batch._store.tasks[task])


@mutant(Batch, "insert_timers", "TMR-04")
def timers_are_not_replaced(original: Any, batch: Any, row: Any, turn: Any) -> None:
    for timer in turn.timers:
        row.timers.setdefault(timer.timer_id, timer)


@mutant(Batch, "insert_tasks", "EFF-08")
def existing_tasks_are_replaced(original: Any, batch: Any, turn: Any) -> None:
    for task in turn.activities:
        if task.key in batch._store.tasks:
            batch._store.remove_task(batch._store.tasks[task.key])
    original(batch, turn)


@mutant(Batch, "end", "DEL-15")
def ended_instance_keeps_messages(original: Any, batch: Any, row: Any) -> None:
    row.timers.clear()


@mutant(Batch, "end", "TRN-12")
def ended_instance_keeps_timers(original: Any, batch: Any, row: Any) -> None:
    row.inbox.clear()


@mutant(Batch, "end", "PUR-01")
def ended_instance_loses_tasks(original: Any, batch: Any, row: Any) -> None:
    original(batch, row)
    for task in tuple(row.tasks):
        batch._store.remove_task(batch._store.tasks[task])


@mutant(Batch, "end", "TRN-13")
def ended_instance_loses_history(original: Any, batch: Any, row: Any) -> None:
    original(batch, row)
    row.history.clear()


@mutant(Batch, "send_outgoing", "EFF-03")
def missing_receivers_are_an_error(original: Any, batch: Any) -> None:
    for delivery in batch._outgoing:
        batch._store.instances[delivery.key].append(delivery.messages, batch._now)
        batch._store.reschedule(batch._store.instances[delivery.key])
        batch.touched[delivery.key] = None
    batch._outgoing.clear()


@mutant(Batch, "send_outgoing", "EFF-05")
def outgoing_messages_do_not_expedite(original: Any, batch: Any) -> None:
    batch._outgoing = [replace(one, expedite=False) for one in batch._outgoing]
    original(batch)


@mutant(Batch, "send_outgoing", "EFF-06")
def outgoing_messages_stay_at_home(original: Any, batch: Any) -> None:
    app_id = batch._session.session.app_id
    batch._outgoing = [one for one in batch._outgoing if one.key.app_id == app_id]
    original(batch)


@mutant(Batch, "send_outgoing", "EFF-10")
def outgoing_messages_miss_the_owned(original: Any, batch: Any) -> None:
    rows = batch._store.instances
    batch._outgoing = [
        one for one in batch._outgoing if not (one.key in rows and rows[one.key].owner)
    ]
    original(batch)


@mutant(Batch, "write_turn", "EFF-04")
def outgoing_messages_come_before_children(original: Any, batch: Any, row: Any, turn: Any) -> None:
    batch._outgoing += turn.outgoing
    batch.send_outgoing()
    original(batch, row, replace(turn, outgoing=()))


@mutant(MemoryStore, "insert", "TXT-06")
def children_of_other_applications_are_dropped(
    original: Any, store: Any, creation: Any, now: Any
) -> None:
    original(store, creation, now)
    if creation.parent is not None and creation.parent.key.app_id != creation.key.app_id:
        store.remove(store.instances[creation.key])

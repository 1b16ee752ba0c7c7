"""Mutants that lose or change one field of one operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durahub.backend import (
    CommitActivity,
    CommitTurn,
    CreateInstance,
    Deliver,
    Operation,
    ParkInstance,
    PurgeInstance,
    ReleaseInstance,
)
from durahub.testing.memory_apply import Batch
from durahub.types import ExecutionId, RuntimeStatus

from .registry import MUTANTS, Mutant


def constant(value: Any) -> Callable[[Any], Any]:
    """Whatever is given, it becomes this."""
    return lambda _: value


def reverse(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """It comes out the wrong way round."""
    return values[::-1]


def without(name: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """One field of each value is lost."""
    return lambda values: tuple(replace(value, **{name: None}) for value in values)


def empty_is_absent(value: Any) -> Any:
    """Empty and absent are mixed up."""
    return value or None


def to_milliseconds(moment: Any) -> Any:
    """Microseconds are lost."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def no_nul(text: Any) -> Any:
    """A text ends at the first NUL, as in C."""
    return text and text.partition("\0")[0]


LOSSES: tuple[tuple[str, type[Any], str, Callable[[Any], Any], str], ...] = (
    (
        "id_is_stripped",
        CreateInstance,
        "key",
        lambda key: key._replace(instance_id=key.instance_id.rstrip()),
        "TXT-01",
    ),
    (
        "id_is_casefolded",
        CreateInstance,
        "key",
        lambda key: key._replace(instance_id=key.instance_id.casefold()),
        "TXT-01",
    ),
    (
        "app_id_ends_at_nul",
        CreateInstance,
        "key",
        lambda key: key._replace(app_id=no_nul(key.app_id)),
        "TXT-03",
    ),
    ("name_ends_at_nul", CreateInstance, "name", no_nul, "TXT-06"),
    ("version_is_lost", CreateInstance, "version", constant(None), "CRE-01"),
    ("empty_version_is_lost", CreateInstance, "version", empty_is_absent, "TXT-05"),
    (
        "execution_id_is_made_up",
        CreateInstance,
        "execution_id",
        constant(ExecutionId("same")),
        "CRE-05",
    ),
    ("input_is_lost_at_once", CreateInstance, "input", constant(None), "CRE-01 QRY-02"),
    ("empty_input_is_lost", CreateInstance, "input", empty_is_absent, "TXT-05"),
    ("input_ends_at_nul", CreateInstance, "input", no_nul, "TXT-04"),
    ("tags_are_lost_at_once", CreateInstance, "tags", constant({}), "CRE-01"),
    ("parent_is_lost", CreateInstance, "parent", constant(None), "CRE-01"),
    ("creation_time_is_rounded", CreateInstance, "created_at", to_milliseconds, "TXT-08"),
    (
        "creation_time_is_naive",
        CreateInstance,
        "created_at",
        lambda moment: moment.replace(tzinfo=None),
        "TXT-08",
    ),
    ("start_time_is_lost", CreateInstance, "not_before", constant(None), "CRE-06"),
    ("replaces_is_lost", CreateInstance, "replaces", constant(None), "CRE-16"),
    ("messages_are_reversed", Deliver, "messages", reverse, "DEL-01"),
    ("messages_are_lost", Deliver, "messages", constant(()), "DEL-01"),
    ("execution_id_of_messages_is_lost", Deliver, "messages", without("execution_id"), "DEL-07"),
    (
        "empty_messages_are_lost",
        Deliver,
        "messages",
        lambda messages: tuple(m for m in messages if m.payload),
        "DEL-07",
    ),
    ("expedite_is_lost", Deliver, "expedite", constant(False), "DEL-09 DEL-10"),
    ("expedite_is_always_set", Deliver, "expedite", constant(True), "DEL-08"),
    ("status_is_lost", CommitTurn, "status", constant(RuntimeStatus.RUNNING), "TRN-01"),
    (
        "update_time_is_late",
        CommitTurn,
        "updated_at",
        lambda moment: moment + timedelta(seconds=1),
        "TRN-01",
    ),
    ("turn_start_time_is_lost", CommitTurn, "started_at", constant(None), "TRN-01 TXT-08"),
    ("completion_time_is_lost", CommitTurn, "completed_at", constant(None), "TRN-02 TXT-08"),
    ("custom_status_is_lost", CommitTurn, "custom_status", constant(None), "TRN-02"),
    ("empty_output_is_lost", CommitTurn, "output", empty_is_absent, "TXT-05"),
    ("output_is_lost", CommitTurn, "output", constant(None), "TRN-02"),
    ("failure_is_lost", CommitTurn, "failure", constant(None), "TRN-02"),
    ("consumed_is_lost", CommitTurn, "consumed", constant(()), "TRN-05"),
    ("removed_timers_are_lost", CommitTurn, "removed_timers", constant(()), "TMR-07"),
    ("history_is_reversed", CommitTurn, "history", reverse, "TRN-07"),
    ("history_is_cut", CommitTurn, "history", lambda events: events[:1000], "HIS-02"),
    (
        "empty_events_are_lost",
        CommitTurn,
        "history",
        lambda events: tuple(event for event in events if event),
        "TRN-07",
    ),
    ("timers_are_lost", CommitTurn, "timers", constant(()), "TMR-03"),
    (
        "timer_payloads_are_lost",
        CommitTurn,
        "timers",
        lambda ts: tuple(replace(t, payload=b"") for t in ts),
        "TMR-10",
    ),
    ("tasks_are_lost", CommitTurn, "activities", constant(()), "EFF-07"),
    ("tasks_are_reversed", CommitTurn, "activities", reverse, "EFF-07"),
    (
        "task_names_are_stripped",
        CommitTurn,
        "activities",
        lambda ts: tuple(replace(t, name=t.name.strip()) for t in ts),
        "TXT-07",
    ),
    ("children_are_lost", CommitTurn, "children", constant(()), "EFF-01"),
    ("children_forget_their_parent", CommitTurn, "children", without("parent"), "EFF-01"),
    ("outgoing_is_lost", CommitTurn, "outgoing", constant(()), "EFF-02"),
    ("outgoing_is_reversed", CommitTurn, "outgoing", reverse, "EFF-02"),
    (
        "execution_id_of_results_is_lost",
        CommitActivity,
        "result",
        lambda result: replace(result, execution_id=None),
        "ACT-04",
    ),
    ("not_before_is_lost", ReleaseInstance, "not_before", constant(None), "REL-02"),
    (
        "empty_reason_is_filled",
        ParkInstance,
        "reason",
        lambda reason: reason or "unknown",
        "TXT-10",
    ),
    (
        "parking_time_is_late",
        ParkInstance,
        "updated_at",
        lambda moment: moment + timedelta(seconds=1),
        "PRK-01",
    ),
    ("history_of_a_parking_is_lost", ParkInstance, "history", constant(()), "PRK-10"),
    ("guard_of_purge_is_lost", PurgeInstance, "execution_id", constant(None), "PUR-05"),
    ("purge_is_always_forced", PurgeInstance, "force", constant(True), "PUR-03"),
    ("purge_is_never_forced", PurgeInstance, "force", constant(False), "PUR-02"),
)
"""Name, operation, field, what becomes of its value, and who has to notice."""


def _losing(kind: type[Any], field: str, change: Callable[[Any], Any]) -> Callable[..., Any]:
    def changed(operation: Operation) -> Any:
        if not isinstance(operation, kind):
            return operation
        return replace(operation, **{field: change(getattr(operation, field))})

    def run(original: Any, batch: Batch, operations: list[Operation]) -> Any:
        return original(batch, [changed(operation) for operation in operations])

    return run


for _name, _kind, _field, _change, _kills in LOSSES:
    _broken = _losing(_kind, _field, _change)
    MUTANTS.append(Mutant(_name, Batch, "run", _broken, tuple(_kills.split())))

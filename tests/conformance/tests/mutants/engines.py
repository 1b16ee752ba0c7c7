"""Mutants that only a whole workflow, or many operations at random, show to be wrong."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore
from durahub.types import RuntimeStatus

from .registry import mutant


@mutant(Batch, "send_outgoing", "ENG-01")
def what_children_answer_is_lost(original: Any, batch: Batch) -> None:
    batch._outgoing.clear()


@mutant(Batch, "start_generation", "ENG-02")
def a_new_generation_forgets_what_waits(
    original: Any, batch: Batch, row: Any, following: Any
) -> None:
    row.inbox.clear()
    original(batch, row, following)


@mutant(Batch, "end", "ENG-03")
def the_ended_go_on_as_if_running(original: Any, batch: Batch, row: Any) -> None:
    original(batch, row)
    row.record = replace(row.record, status=RuntimeStatus.RUNNING)


@mutant(MemoryStore, "end", "ENG-04")
def the_dead_keep_everything(original: Any, store: MemoryStore, session_id: Any) -> None:
    store.sessions[session_id].alive = False


@mutant(Batch, "deliver", "MOD-01")
def expediting_forgets_the_last_message(original: Any, batch: Batch, operation: Any) -> Any:
    if operation.expedite:
        operation = replace(operation, messages=operation.messages[:-1])
    return original(batch, operation)

"""Mutants that only a whole workflow, or many operations at random, show to be wrong."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import CreateInstance
from durahub.testing.memory_apply import Batch
from durahub.testing.memory_store import MemoryStore
from durahub.types import RuntimeStatus

from ..memory_harness import TestedMemoryBackend  # noqa: TID252 - the tests of the kit
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


@mutant(TestedMemoryBackend, "apply", "MOD-01")
async def creations_forget_the_version(
    original: Any, backend: Any, session_id: Any, operations: Any, *room: Any
) -> Any:
    # Not in the reference backend, or both would forget it.
    cut = [
        replace(one, version=None) if isinstance(one, CreateInstance) else one for one in operations
    ]
    return await original(backend, session_id, cut, *room)

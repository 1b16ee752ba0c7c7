"""Mutants that are wrong about which turns are refused."""

# ruff: noqa: ARG001 - a mutant takes the arguments of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from durahub.backend import ChildrenExist, NotOwner, TurnCommitted
from durahub.testing.memory_apply import Batch

from .registry import mutant


@mutant(Batch, "commit_turn", "CRE-16")
def revision_is_not_checked(original: Any, batch: Any, turn: Any) -> Any:
    row = batch.owned(turn.key)
    return original(batch, replace(turn, revision=row.record.revision) if row else turn)


@mutant(Batch, "commit_turn", "REF-01")
def newer_revision_is_accepted(original: Any, batch: Any, turn: Any) -> Any:
    row = batch.owned(turn.key)
    newer = row is not None and turn.revision > row.record.revision
    return original(batch, replace(turn, revision=row.record.revision) if newer else turn)


@mutant(Batch, "commit_turn", "REF-11")
def any_run_will_do(original: Any, batch: Any, turn: Any) -> Any:
    row = batch.owned(turn.key)
    return original(
        batch, turn if row is None else replace(turn, execution_id=row.record.execution_id)
    )


@mutant(Batch, "owned", "PRK-07")
def owner_is_not_checked(original: Any, batch: Any, key: Any) -> Any:
    return batch._store.instances.get(key)


@mutant(Batch, "owned", "REF-03")
def any_owner_will_do(original: Any, batch: Any, key: Any) -> Any:
    row = batch._store.instances.get(key)
    return row if row is not None and row.owner else None


@mutant(Batch, "owned", "REF-02")
def nobody_will_do(original: Any, batch: Any, key: Any) -> Any:
    row = batch._store.instances.get(key)
    return row if row is not None and row.owner is None else original(batch, key)


@mutant(Batch, "commit_turn", "REF-04")
def turn_of_the_missing_is_accepted(original: Any, batch: Any, turn: Any) -> Any:
    if turn.key not in batch._store.instances:
        return TurnCommitted(revision=turn.revision + 1)
    return original(batch, turn)


@mutant(Batch, "commit_turn", "REF-05 REF-09")
def repeated_turn_is_accepted(original: Any, batch: Any, turn: Any) -> Any:
    row = batch._store.instances.get(turn.key)
    if row is not None and row.record.revision == turn.revision + 1:
        return TurnCommitted(revision=row.record.revision)
    return original(batch, turn)


@mutant(Batch, "commit_turn", "REF-04")
def refused_turn_sends_its_messages(original: Any, batch: Any, turn: Any) -> Any:
    result = original(batch, turn)
    if isinstance(result, NotOwner):
        batch._outgoing += turn.outgoing
    return result


@mutant(Batch, "commit_turn", "REF-08")
def refused_turn_gives_the_instance_up(original: Any, batch: Any, turn: Any) -> Any:
    result = original(batch, turn)
    if isinstance(result, ChildrenExist):
        batch._store.disown(batch._store.instances[turn.key])
    return result


@mutant(Batch, "commit_turn", "REF-07")
def refused_turn_creates_free_children(original: Any, batch: Any, turn: Any) -> Any:
    result = original(batch, turn)
    if isinstance(result, ChildrenExist):
        for child in turn.children:
            batch.create(child)
    return result


@mutant(Batch, "commit_turn", "REF-06")
def only_one_occupied_child_is_told(original: Any, batch: Any, turn: Any) -> Any:
    result = original(batch, turn)
    if isinstance(result, ChildrenExist):
        return ChildrenExist(existing=result.existing[:1])
    return result


@mutant(Batch, "commit_turn", "REF-08")
def children_replace_any_ended_run(original: Any, batch: Any, turn: Any) -> Any:
    def fix(child: Any) -> Any:
        row = batch._store.instances.get(child.key)
        known = row is not None and child.replaces is not None
        return replace(child, replaces=row.record.revision) if known else child

    return original(batch, replace(turn, children=tuple(map(fix, turn.children))))


@mutant(Batch, "commit_turn", "REF-06")
def occupied_children_are_left_out(original: Any, batch: Any, turn: Any) -> Any:
    free = tuple(child for child in turn.children if batch.occupant(child) is None)
    return original(batch, replace(turn, children=free))

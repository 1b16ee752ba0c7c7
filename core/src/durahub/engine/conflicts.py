"""What becomes of a turn's children whose ids are occupied. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from durahub.backend import CreateInstance, Deliver, Message, ParentLink
from durahub.engine import events
from durahub.engine.actions import occupied_failure
from durahub.engine.decision import TurnOutcome
from durahub.engine.draft import TurnContext, batch_of
from durahub.types import InstanceKey


def resolve_occupied(
    outcome: TurnOutcome, verdicts: Mapping[InstanceKey, int | None], context: TurnContext
) -> TurnOutcome:
    """Return the same turn with an answer for every child whose id is occupied.

    Args:
        outcome: A turn that was refused with `ChildrenExist`.
        verdicts: For each occupied id, the revision of the ended instance that may be replaced, or
            None if it may not: then the parent is told that the child failed, and a detached workflow
            is dropped (Dapr).
        context: Where and when.
    """
    children: list[CreateInstance] = []
    outgoing = list(outcome.commit.outgoing)
    log = list(outcome.log)
    for child in outcome.commit.children:
        if child.key not in verdicts:
            children.append(child)
        elif (revision := verdicts[child.key]) is not None:
            children.append(replace(child, replaces=revision))
        elif child.parent is not None:
            outgoing.append(occupied_message(child, child.parent, context.now))
        else:
            log.append(f"detached workflow {child.key.instance_id!r} dropped: the id is in use")
    commit = replace(outcome.commit, children=tuple(children), outgoing=tuple(outgoing))
    return replace(outcome, commit=commit, log=tuple(log))


def occupied_message(child: CreateInstance, parent: ParentLink, now: datetime) -> Deliver:
    """Return what tells a parent that its child failed because the id is occupied."""
    failure = occupied_failure(child.key.instance_id)
    event = events.child_failed(now, parent.task_id, failure)
    message = Message(payload=batch_of(event), execution_id=parent.execution_id)
    return Deliver(key=parent.key, messages=(message,))

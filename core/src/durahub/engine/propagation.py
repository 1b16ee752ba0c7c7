"""History that workflows hand on to the activities and children which they start (Dapr). Pure.

What is handed on is a copy, made when the turn that starts them is decided: an activity finds it in its
task, a child in its start event (`durahub.engine.events.give_history`). So it is durable with the turn,
every retry and every later turn sees the same, and a store needs to know nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from durahub.backend import CreateInstance
from durahub.engine.draft import Draft
from durahub.engine.events import give_history, visible_events
from durahub.engine.state import Wait
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.protocol.frames import activity_request_with, batch_bytes, split_batch
from durahub.types import AppId

SHARING = frozenset(
    {pb.HISTORY_PROPAGATION_SCOPE_OWN_HISTORY, pb.HISTORY_PROPAGATION_SCOPE_LINEAGE}
)
"""The scopes under which anything is handed on."""


def share_history(draft: Draft, turn: Sequence[bytes]) -> None:
    """Give the activities and children of a draft the history that was asked for them.

    They get the starting instance's events up to and including this turn, and with the scope LINEAGE what
    that instance was given itself before those.

    Args:
        draft: Complete; its activities and children are replaced.
        turn: The serialised events that the turn appends, in order.

    Raises:
        google.protobuf.message.DecodeError: What the instance was given itself does not decode.
    """
    if not draft.scopes:
        return
    plan = draft.plan
    own = _chunk(plan, draft.context.app_id, turn)
    handed_on = {scope: _handed_on(scope, plan, own) for scope in set(draft.scopes.values())}
    shares = {wait: handed_on[scope] for wait, scope in draft.scopes.items()}
    for place, task in enumerate(draft.activities):
        share = shares.get(Wait("task", task.key.task_id))
        if share is not None:
            payload = activity_request_with(task.payload, share)
            draft.activities[place] = replace(task, payload=payload)
    draft.children = [_child_with(child, shares) for child in draft.children]


def given_to_next_generation(plan: TurnPlan, app_id: AppId) -> bytes | None:
    """Return what the next generation may see of its ancestors: a serialised PropagatedHistory, or None.

    Nothing, if this one was given nothing. Of a lineage this generation becomes the youngest part; the
    history of one ancestor alone stays as it is.

    Raises:
        google.protobuf.message.DecodeError: What this generation was given does not decode.
    """
    if plan.given is None:
        return None
    given = pb.PropagatedHistory.FromString(plan.given)
    if given.scope != pb.HISTORY_PROPAGATION_SCOPE_LINEAGE:
        return plan.given
    given.chunks.append(_chunk(plan, app_id, plan.new_events))
    return given.SerializeToString()


def _chunk(plan: TurnPlan, app_id: AppId, turn: Sequence[bytes]) -> pb.PropagatedHistoryChunk:
    return pb.PropagatedHistoryChunk(
        rawEvents=visible_events([*plan.committed, *turn]),
        appId=app_id,
        instanceId=plan.claimed.record.key.instance_id,
        workflowName=plan.start.executionStarted.name,
    )


def _handed_on(
    scope: pb.HistoryPropagationScope.ValueType, plan: TurnPlan, own: pb.PropagatedHistoryChunk
) -> bytes:
    history = pb.PropagatedHistory(scope=scope)
    if scope == pb.HISTORY_PROPAGATION_SCOPE_LINEAGE and plan.given is not None:
        history.chunks.extend(pb.PropagatedHistory.FromString(plan.given).chunks)
    history.chunks.append(own)
    return history.SerializeToString()


def _child_with(child: CreateInstance, shares: Mapping[Wait, bytes]) -> CreateInstance:
    # A detached workflow has no parent, and sees nothing of whoever started it.
    share = shares.get(Wait("child", child.parent.task_id)) if child.parent else None
    if share is None:
        return child
    start, *others = split_batch(child.start.payload)
    payload = batch_bytes([give_history(start, share), *others])
    return replace(child, start=replace(child.start, payload=payload))

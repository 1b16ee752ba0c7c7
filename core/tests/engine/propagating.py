"""What tests look at when workflows hand on their history."""

from __future__ import annotations

from collections.abc import Sequence

from durahub.backend import ActivityTask, CreateInstance
from durahub.engine.events import given_history
from durahub.protocol import messages as pb

OWN = pb.HISTORY_PROPAGATION_SCOPE_OWN_HISTORY
LINEAGE = pb.HISTORY_PROPAGATION_SCOPE_LINEAGE
NONE = pb.HISTORY_PROPAGATION_SCOPE_NONE


def sharing(
    action: pb.WorkflowAction, scope: pb.HistoryPropagationScope.ValueType | None
) -> pb.WorkflowAction:
    """Return an action that schedules something, with a scope."""
    if scope is not None:
        kind = action.WhichOneof("workflowActionType")
        assert kind is not None
        getattr(action, kind).historyPropagationScope = scope
    return action


def of_task(task: ActivityTask) -> pb.PropagatedHistory | None:
    request = pb.ActivityRequest.FromString(task.payload)
    return request.propagatedHistory if request.HasField("propagatedHistory") else None


def of_start(payload: bytes) -> pb.PropagatedHistory | None:
    start = pb.EventBatch.FromString(payload).events[0]
    given = given_history(start)
    return None if given is None else pb.PropagatedHistory.FromString(given)


def of_child(child: CreateInstance) -> pb.PropagatedHistory | None:
    return of_start(child.start.payload)


def chunk(
    raws: Sequence[bytes], instance_id: str, app_id: str = "shop", name: str = "Flow"
) -> pb.PropagatedHistoryChunk:
    return pb.PropagatedHistoryChunk(
        rawEvents=raws, appId=app_id, instanceId=instance_id, workflowName=name
    )


def ids(history: pb.PropagatedHistory) -> list[str]:
    return [chunk.instanceId for chunk in history.chunks]


def events(history: pb.PropagatedHistory, place: int = -1) -> list[pb.HistoryEvent]:
    return [pb.HistoryEvent.FromString(raw) for raw in history.chunks[place].rawEvents]

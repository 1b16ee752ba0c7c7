"""The first commit of an instance that begins with a history (`durahub.engine.rerun`). Pure."""

from __future__ import annotations

from durahub.backend import ClaimedInstance, CommitTurn
from durahub.engine.actions import carry_out
from durahub.engine.damage import check_beginning
from durahub.engine.decision import TurnOutcome
from durahub.engine.draft import Draft, TurnContext
from durahub.engine.events import workflow_started
from durahub.engine.inbox import Admission
from durahub.engine.propagation import share_history
from durahub.engine.state import InstanceState, fold, scheduled_wait
from durahub.engine.turn import TurnPlan
from durahub.errors import BackendCorruptionError
from durahub.protocol import messages as pb
from durahub.protocol.frames import split_fork
from durahub.types import RuntimeStatus


def adopt(claimed: ClaimedInstance, context: TurnContext) -> TurnOutcome | None:
    """Return the commit that takes over the history an instance was created with; None if it has none.

    No worker is asked: everything that the history leaves open is set going, and what comes of that is
    the instance's first turn. What else waits in the inbox waits for that turn.

    Raises:
        google.protobuf.message.DecodeError: An event does not decode.
        BackendCorruptionError: The history is cut short, or does not begin with a start.
    """
    if claimed.record.history_length or not claimed.messages:
        return None
    first = claimed.messages[0]
    raws = split_fork(first.message.payload)
    if raws is None:
        return None
    check_beginning(claimed.record.key.instance_id, raws)
    history = tuple(map(pb.HistoryEvent.FromString, raws))
    state = fold(raws)
    draft = _draft(claimed, state, context)
    # Of attempts that share an id, only the last one can be open.
    last = {scheduled_wait(event): event for event in history}
    for wait, event in last.items():
        if wait in state.open:
            carry_out(draft, event)
    share_history(draft, raws)
    record = claimed.record
    commit = CommitTurn(
        key=record.key,
        execution_id=record.execution_id,
        revision=record.revision,
        status=RuntimeStatus.SUSPENDED if state.suspended else RuntimeStatus.RUNNING,
        updated_at=context.now,
        started_at=state.started_at,
        consumed=(first.message_id,),
        history=raws,
        timers=tuple(draft.timers),
        activities=tuple(draft.activities),
        children=tuple(draft.children),
        outgoing=tuple(draft.outgoing),
    )
    return TurnOutcome(commit, history, ())


def _draft(claimed: ClaimedInstance, state: InstanceState, context: TurnContext) -> Draft:
    if state.start is None:
        raise BackendCorruptionError(
            f"instance {claimed.record.key.instance_id!r} begins with a history without a start"
        )
    plan = TurnPlan(
        claimed, InstanceState(), workflow_started(context.now), Admission(), state.start, ()
    )
    return Draft(plan, context)

"""Continue-as-new: how one generation of an instance hands over to the next. Pure."""

from __future__ import annotations

from durahub.backend import CommitTurn, Message, NextGeneration
from durahub.engine import events
from durahub.engine.draft import TurnContext
from durahub.engine.propagation import given_to_next_generation
from durahub.engine.state import pack_requests
from durahub.engine.turn import TurnPlan
from durahub.protocol import messages as pb
from durahub.protocol.frames import batch_bytes
from durahub.types import ExecutionId, RuntimeStatus

_FLAGS_PART = 3
"""Of a `traceparent`: version, trace, span, flags. Old SDKs send the trace alone."""

_RECORDED = "01"


def next_generation(
    plan: TurnPlan,
    response: pb.WorkflowResponse,
    asked: pb.CompleteWorkflowAction,
    context: TurnContext,
) -> CommitTurn:
    """Return the change to the next generation.

    Actions in the same response are dropped (durabletask). What the SDK carries over travels in one
    message with the new start event, so that nothing can come between them.
    """
    record = plan.claimed.record
    execution_id = ExecutionId(context.new_id())
    start = _next_start(plan, asked, execution_id, context)
    carried = list(asked.carryoverEvents)
    if plan.admission.suspended:
        # The request came with this turn's events; the next generation must still obey it.
        carried.append(events.execution_suspended(context.now, None))
    first = start.SerializeToString()
    given = given_to_next_generation(plan, context.app_id)
    if given is not None:
        first = events.give_history(first, given)
    payload = batch_bytes([first, *(event.SerializeToString() for event in carried)])
    return CommitTurn(
        key=record.key,
        execution_id=record.execution_id,
        revision=record.revision,
        status=RuntimeStatus.RUNNING,
        updated_at=context.now,
        started_at=context.now,
        custom_status=response.customStatus.value if response.HasField("customStatus") else None,
        consumed=plan.consumed,
        removed_timers=plan.fired_timers,
        next_generation=NextGeneration(
            execution_id=execution_id,
            input=asked.result.value if asked.HasField("result") else None,
            start=Message(payload=payload, execution_id=execution_id),
        ),
    )


def _next_start(
    plan: TurnPlan,
    asked: pb.CompleteWorkflowAction,
    execution_id: ExecutionId,
    context: TurnContext,
) -> pb.HistoryEvent:
    old = plan.start.executionStarted
    start = events.new_event(context.now)
    if plan.start.HasField("router"):
        start.router.CopyFrom(plan.start.router)
    started = start.executionStarted
    started.name = old.name
    started.workflowInstance.instanceId = plan.claimed.record.key.instance_id
    started.workflowInstance.executionId.value = execution_id
    if old.HasField("parentInstance"):
        started.parentInstance.CopyFrom(old.parentInstance)
    if asked.HasField("result"):
        started.input.CopyFrom(asked.result)
    if old.HasField("parentTraceContext"):
        # Each generation is a trace of its own, or a loop would be one endless trace.
        trace = context.new_id().replace("-", "")
        flags = _trace_flags(old.parentTraceContext.traceParent)
        started.parentTraceContext.traceParent = f"00-{trace}-{trace[:16]}-{flags}"
    requests = {**plan.state.requests, **plan.admission.requests}
    packed = pack_requests(requests, start.timestamp.seconds)
    if packed:
        events.remember_requests(start, packed)
    return start


def _trace_flags(trace_parent: str) -> str:
    """Return the flags of a trace: whoever chose not to be recorded is not in the next one either."""
    parts = trace_parent.split("-")
    return parts[_FLAGS_PART] if len(parts) > _FLAGS_PART else _RECORDED

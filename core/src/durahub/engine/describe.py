"""An instance as clients see it. Pure."""

from __future__ import annotations

from durahub.backend import InstanceRecord, InstanceView, Payloads
from durahub.protocol import messages as pb
from durahub.protocol.times import to_timestamp


def instance_response(view: InstanceView | None) -> pb.GetInstanceResponse:
    """Return the answer to GetInstance and the waiting calls; payloads only if the view has them."""
    if view is None:
        return pb.GetInstanceResponse(exists=False)
    response = pb.GetInstanceResponse(exists=True)
    state = response.workflowState
    _describe_record(state, view.record)
    if view.payloads is not None:
        _describe_payloads(state, view.payloads)
        if view.record.parked_reason is not None:
            # The protocol has no place for it, and Dapr tells only the history, which may be damaged. An
            # instance that has not ended has no failure of its own, and every SDK shows this field; the
            # custom status stays the workflow's.
            state.failureDetails.errorType = "Parked"
            state.failureDetails.errorMessage = view.record.parked_reason
    return response


def _describe_record(state: pb.WorkflowState, record: InstanceRecord) -> None:
    state.instanceId = record.key.instance_id
    state.name = record.name
    state.workflowStatus = pb.OrchestrationStatus.ValueType(record.status)
    state.createdTimestamp.CopyFrom(to_timestamp(record.created_at))
    state.lastUpdatedTimestamp.CopyFrom(to_timestamp(record.last_updated_at))
    state.executionId.value = record.execution_id
    state.tags.update(record.tags)
    if record.version is not None:
        state.version.value = record.version
    if record.started_at is not None:
        state.startedAt.CopyFrom(to_timestamp(record.started_at))
    if record.completed_at is not None:
        state.completedTimestamp.CopyFrom(to_timestamp(record.completed_at))
    if record.scheduled_start_at is not None:
        state.scheduledStartTimestamp.CopyFrom(to_timestamp(record.scheduled_start_at))
    if record.parent is not None:
        state.parentInstanceId.value = record.parent.key.instance_id
        state.parentAppId.value = record.parent.key.app_id


def _describe_payloads(state: pb.WorkflowState, payloads: Payloads) -> None:
    if payloads.input is not None:
        state.input.value = payloads.input
    if payloads.output is not None:
        state.output.value = payloads.output
    if payloads.custom_status is not None:
        state.customStatus.value = payloads.custom_status
    if payloads.failure is not None:
        state.failureDetails.MergeFromString(payloads.failure)

"""The unmodified Python SDK's replay, as what answers a worker's turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from dapr.ext.workflow._durabletask.internal import helpers, orchestrator_service_pb2
from dapr.ext.workflow._durabletask.worker import _OrchestrationExecutor, _Registry
from durahub.protocol import messages as pb

from tests.parity.worker import RawWorkflow

log = logging.getLogger("tests.parity.python_sdk")

SdkWorkflow = Callable[[Any, Any], Any]
"""Takes the SDK's own context and the decoded input."""


def replayed_by_sdk(workflows: Mapping[str, SdkWorkflow]) -> RawWorkflow:
    """Return what answers turns of these workflows as a worker of the SDK does.

    The worker must not be a stateful one: histories come whole.
    """
    registry = _Registry()
    for name, function in workflows.items():
        registry.add_named_orchestrator(name, function)

    async def answer(request: pb.WorkflowRequest) -> pb.WorkflowResponse:
        theirs = orchestrator_service_pb2.WorkflowRequest.FromString(request.SerializeToString())
        executor = _OrchestrationExecutor(registry, log)
        result = executor.execute(theirs.instanceId, theirs.pastEvents, theirs.newEvents)
        response = orchestrator_service_pb2.WorkflowResponse(
            instanceId=theirs.instanceId,
            actions=result.actions,
            customStatus=helpers.get_string_value(result.encoded_custom_status),
        )
        return pb.WorkflowResponse.FromString(response.SerializeToString())

    return answer

"""The SDK's client, and what the demo asks of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dapr.ext.workflow import DaprWorkflowClient

from examples.demo.processes import DemoError, Workshop

_LONGEST_WAIT_S = 20


@dataclass(frozen=True)
class Outcome:
    """How a workflow ended."""

    status: str
    result: Any


@contextmanager
def connected(workshop: Workshop) -> Iterator[DaprWorkflowClient]:
    """Yield a client of the sidecar."""
    client = DaprWorkflowClient(host="127.0.0.1", port=str(workshop.grpc_port))
    try:
        yield client
    finally:
        client.close()


def wait_for_outcome(client: DaprWorkflowClient, instance_id: str) -> Outcome:
    """Return how a workflow ended, when it has.

    Raises:
        DemoError: It does not exist.
    """
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=_LONGEST_WAIT_S)
    if state is None:
        raise DemoError(f"the workflow {instance_id} is lost")
    return Outcome(state.runtime_status.name, json.loads(state.serialized_output or "null"))


def custom_status(client: DaprWorkflowClient, instance_id: str) -> str | None:
    """Return what a workflow says about itself, if it does."""
    state = client.get_workflow_state(instance_id)
    return None if state is None else state.serialized_custom_status

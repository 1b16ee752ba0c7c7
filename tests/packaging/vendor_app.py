"""`vendor_app.py PORT`: an application with the unmodified `dapr` SDK, which runs one workflow and prints."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime(host="127.0.0.1", port=sys.argv[1])


@runtime.activity(name="double")
def double(_: wf.WorkflowActivityContext, number: int) -> int:
    return 2 * number


@runtime.workflow(name="add_doubles")
def add_doubles(context: wf.DaprWorkflowContext, numbers: list[int]) -> Generator[Any, Any, int]:
    tasks = [context.call_activity(double, input=number) for number in numbers]
    doubles: list[int] = yield wf.when_all(tasks)
    return sum(doubles)


runtime.start()
client = wf.DaprWorkflowClient(host="127.0.0.1", port=sys.argv[1])
instance_id = client.schedule_new_workflow(add_doubles, input=[1, 2, 3])
state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=30)
assert state is not None
print(state.runtime_status.name, state.serialized_output)
runtime.shutdown()

"""Clients of the `dapr` SDK in a process of their own, which takes their calls as lines of JSON.

In:   {"id": 1, "kind": "sync", "port": 50001, "method": "get_workflow_state", "args": ["a"], "kwargs": {}}
Out:  {"id": 1, "value": …}  or  {"id": 1, "error": {"kind": …, "code": …, "text": …}}
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from typing import Any

import dapr.ext.workflow as wf
import grpc
from dapr.ext.workflow import aio

CALLS_AT_ONCE = 32


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(CALLS_AT_ONCE + 1))
    async with asyncio.TaskGroup() as calls:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            calls.create_task(answer(json.loads(line)))


@cache
def client_of(kind: str, port: int) -> Any:
    make = aio.DaprWorkflowClient if kind == "aio" else wf.DaprWorkflowClient
    return make(host="127.0.0.1", port=str(port))


async def answer(call: dict[str, Any]) -> None:
    """Carry out one call and print its outcome."""
    try:
        outcome = {"value": describe(await carry_out(call))}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
        outcome = {"error": describe_error(error)}
    print(json.dumps({"id": call["id"], **outcome}), flush=True)


async def carry_out(call: dict[str, Any]) -> Any:
    """Call a method of either client."""
    method = getattr(client_of(call["kind"], call["port"]), call["method"])
    kwargs = dict(call["kwargs"])
    if "start_at" in kwargs:
        kwargs["start_at"] = datetime.fromisoformat(kwargs["start_at"])
    if inspect.iscoroutinefunction(method):
        return await method(*call["args"], **kwargs)
    return await asyncio.to_thread(method, *call["args"], **kwargs)


def describe(value: Any) -> Any:
    """Return what the SDK answered as JSON values."""
    if isinstance(value, wf.WorkflowState):
        return describe_state(value)
    if isinstance(value, wf.WorkflowInstanceIdPage):
        return {"ids": list(value.instance_ids), "token": value.continuation_token}
    if isinstance(value, list):
        return [
            {"kind": event.event_type.value, "event_id": event.event_id, "name": event.name}
            for event in value
        ]
    return value


def describe_state(state: Any) -> dict[str, Any]:
    failure = state.failure_details
    return {
        "instance_id": state.instance_id,
        "name": state.name,
        "status": state.runtime_status.name,
        "input": state.serialized_input,
        "output": state.serialized_output,
        "custom_status": state.serialized_custom_status,
        "failure": failure and {"kind": failure.error_type, "message": failure.message},
        "created_at": state.created_at.isoformat(),
        "last_updated_at": state.last_updated_at.isoformat(),
    }


def describe_error(error: Exception) -> dict[str, Any]:
    description = {"kind": type(error).__name__, "code": None, "text": str(error)}
    if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        description.update(code=error.code().name, text=error.details())
    return description


if __name__ == "__main__":
    asyncio.run(main())

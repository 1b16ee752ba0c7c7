"""`dapr_client.py KIND HTTP_PORT GRPC_PORT`: takes a workflow through its life, and prints what it saw.

KIND is `sync` or `aio`. DaprClient does it, or where that has no workflow methods, DaprWorkflowClient. The
asynchronous DaprClient of 1.16 and 1.17 has them, and can use none: it never awaits its calls.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KIND, HTTP_PORT, GRPC_PORT = sys.argv[1:]
os.environ["DAPR_HTTP_PORT"] = HTTP_PORT
warnings.simplefilter("ignore")

if KIND == "aio":
    from dapr.aio.clients import DaprClient
else:
    from dapr.clients import DaprClient

COMPONENT = "dapr"
LONGEST_S = 30


def listener(_context: Any, _count: int) -> None:
    """Stand for the workflow of this name: earlier versions take no names."""


async def result(value: Any) -> Any:
    """Return what a method of either kind of client returned."""
    return await value if inspect.isawaitable(value) else value


async def until(look: Callable[[], Any], wanted: str) -> Any:
    """Return what `look` returns once its status is the wanted one."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            found = await result(look())
            if status_of(found) == wanted:
                return found
            await asyncio.sleep(0.05)


def status_of(state: Any) -> str:
    status = state.runtime_status
    return str(getattr(status, "name", status)).upper()


async def about_the_sidecar(client: Any) -> dict[str, Any]:
    key = f"key-{uuid.uuid4().hex}"
    await result(client.set_metadata(key, "value"))
    metadata = await result(client.get_metadata())
    extended = metadata.extended_metadata
    return {
        "app": metadata.application_id,
        "attribute": extended[key],
        "backend": extended["durahub.backend.type"],
    }


async def life_with_dapr_client(client: Any) -> dict[str, Any]:
    one = uuid.uuid4().hex
    started = await result(
        client.start_workflow(
            workflow_component=COMPONENT, workflow_name="listener", input=1, instance_id=one
        )
    )
    assert started.instance_id == one

    def look() -> Any:
        return client.get_workflow(one, COMPONENT)

    await until(look, "RUNNING")
    await result(client.pause_workflow(one, COMPONENT))
    await until(look, "SUSPENDED")
    await result(client.resume_workflow(one, COMPONENT))
    await until(look, "RUNNING")
    await result(client.raise_workflow_event(one, COMPONENT, "go", {"a": 1}))
    state = await until(look, "COMPLETED")
    await result(client.terminate_workflow(one, COMPONENT))
    await result(client.purge_workflow(one, COMPONENT))
    try:
        await result(look())
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the answer
        afterwards = str(error)
    else:
        afterwards = "still there"
    return {
        "name": state.workflow_name,
        "output": state.properties["dapr.workflow.output"],
        "afterwards": afterwards,
    }


async def life_with_workflow_client() -> dict[str, Any]:
    import dapr.ext.workflow as wf  # noqa: PLC0415 - only where it is needed

    make: Any = wf.DaprWorkflowClient
    if KIND == "aio":
        with suppress(ImportError):  # not in every version
            from dapr.ext.workflow import aio  # noqa: PLC0415 - as above

            make = aio.DaprWorkflowClient
    client = make(host="127.0.0.1", port=GRPC_PORT)
    one = await result(client.schedule_new_workflow(listener, input=1))

    def look() -> Any:
        return client.get_workflow_state(one)

    await result(client.pause_workflow(one))
    assert status_of(await result(look())) == "SUSPENDED"
    await result(client.resume_workflow(one))
    await result(client.raise_workflow_event(one, "go", data={"a": 1}))
    state = await result(client.wait_for_workflow_completion(one, timeout_in_seconds=LONGEST_S))
    await result(client.terminate_workflow(one))
    await result(client.purge_workflow(one))
    afterwards = await result(look())
    return {
        "name": state.name,
        "output": state.serialized_output,
        "afterwards": "no such instance exists" if afterwards is None else "still there",
    }


async def main() -> None:
    client = DaprClient(f"127.0.0.1:{GRPC_PORT}")
    seen = await about_the_sidecar(client)
    has_workflows = KIND == "sync" and hasattr(client, "start_workflow")
    life = await (life_with_dapr_client(client) if has_workflows else life_with_workflow_client())
    print(
        json.dumps({**seen, **life, "by": "DaprClient" if has_workflows else "DaprWorkflowClient"})
    )


asyncio.run(main())

"""Several applications with the Dapr Python SDK as it is: workers in processes of their own, and a client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dapr.ext.workflow as wf
import grpc
import pytest

from core.tests.engine.hub import until
from tests.e2e.processes import Child
from tests.parity.apps import apps
from tests.parity.client import ANSWER_S
from tests.parity.hub import APP, Hub, Sidecar

OTHER = "other"
SCRIPT = Path(__file__).parent / "crossapp_app.py"


@asynccontextmanager
async def serving(sidecar: Sidecar, directory: Path) -> AsyncIterator[None]:
    """Run one of the two applications."""
    command = (sys.executable, str(SCRIPT), str(sidecar.port), sidecar.app)
    child = Child(command, log=directory / f"{sidecar.app}.log")
    try:
        await until(lambda: sidecar.engine.connected_workers == 1, within_s=ANSWER_S)
        yield
    finally:
        child.kill()


@pytest.mark.needs("multi_process")
@pytest.mark.parity("crossapp/sdk")
async def test_sdk_calls_and_controls_other_applications(hub: Hub, tmp_path: Path) -> None:
    async with (
        apps(hub, APP, OTHER) as (shop, other),
        serving(shop, tmp_path),
        serving(other, tmp_path),
    ):
        client = wf.DaprWorkflowClient(host="127.0.0.1", port=str(other.port))

        async def do(method: str, *args: Any, app_id: str | None = APP, **fields: Any) -> Any:
            return await asyncio.to_thread(getattr(client, method), *args, app_id=app_id, **fields)

        await do("schedule_new_workflow", "Flow", input="in", instance_id="a")
        assert (await do("get_workflow_state", "a")).runtime_status.name == "RUNNING"
        assert await do("get_workflow_state", "a", app_id=None) is None
        await do("pause_workflow", "a")
        assert (await do("get_workflow_state", "a")).runtime_status.name == "SUSPENDED"
        await do("resume_workflow", "a")
        await do("raise_workflow_event", "a", "go", data="!")
        state = await do("wait_for_workflow_completion", "a", timeout_in_seconds=20)
        assert state.to_json()["serialized_output"] == '"in>other>a:0002>shop!"'
        await do("rerun_workflow_from_event", "a", 1, new_instance_id="b")
        await do("terminate_workflow", "b", output="bye")
        assert (await do("get_workflow_state", "b")).runtime_status.name == "TERMINATED"
        await do("purge_workflow", "a")
        assert await do("get_workflow_state", "a") is None
        with pytest.raises(grpc.RpcError) as refused:
            await do("get_workflow_state", "a", app_id="no such app")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        client.close()

"""DaprClient of several SDKs and versions, unmodified and each in a process of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.sidecar import APP_ID
from tests.e2e.stack import Stack
from tests.sdks import installation
from tests.sdks.families import FAMILIES, Family
from tests.sdks.installation import install

pytestmark = pytest.mark.timeout(900)  # the first test of a family installs it

SDKS = Path(installation.__file__).parent
WITH_WORKFLOWS = ("python-1.16", "python-1.17")
PYTHON = tuple(f for f in FAMILIES if f.language == "python" and f.name != "python-1.15")
JAVASCRIPT = tuple(f for f in FAMILIES if f.language == "javascript")

by_name = {"ids": lambda value: value.name if isinstance(value, Family) else str(value)}


def run(command: tuple[str, ...], stack: Stack) -> dict[str, Any]:
    """Return what a client that takes a workflow through its life says about it."""
    ports = (str(stack.sidecar.http_port), str(stack.sidecar.grpc_port))
    done = subprocess.run(
        (*command, *ports), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("kind", ["sync", "aio"])
@pytest.mark.parametrize("family", PYTHON, **by_name)
def test_the_python_client_takes_a_workflow_through_its_life(
    family: Family, kind: str, stack: Stack, backend: str
) -> None:
    uses_dapr_client = kind == "sync" and family.name in WITH_WORKFLOWS
    python, _ = install(family)
    said = run((python, str(SDKS / "python/dapr_client.py"), kind), stack)
    assert said.pop("afterwards").endswith("no such instance exists")
    assert said == {
        "app": APP_ID,
        "attribute": "value",
        "backend": backend,
        "name": "listener",
        "output": '[{"a": 1}]',
        "by": "DaprClient" if uses_dapr_client else "DaprWorkflowClient",
    }


@pytest.mark.parametrize("family", JAVASCRIPT, **by_name)
def test_the_javascript_client_takes_a_workflow_through_its_life(
    family: Family, stack: Stack, backend: str
) -> None:
    node, _, modules = install(family)
    said = run((node, str(SDKS / "javascript/dapr_client.js"), modules), stack)
    assert "unable to find workflow with the provided instance ID" in said.pop("afterwards")
    assert said == {
        "app": APP_ID,
        "appOverGrpc": APP_ID,
        "attribute": "value",
        "backend": backend,
        "name": "listener",
        "output": '[{"a": 1}]',
        "by": "DaprClient",
    }

"""First part: each kind of workflow, with `durahub run`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dapr.ext.workflow import DaprWorkflowClient

from examples.demo.client import connected, custom_status, wait_for_outcome
from examples.demo.processes import DemoError, Workshop, wait_until
from examples.demo.screen import explain, say

EXPLANATION = """
`durahub run` starts a sidecar and, when it is ready, an application: examples/app.py, written with the
unmodified `dapr` SDK. There is no configuration, so workflows are kept by the default backend, in the
file .durahub/state.db. Here is one workflow of each kind.
"""


@dataclass(frozen=True)
class Stop:
    """One workflow of the tour.

    Attributes:
        kind: What it shows.
        workflow: Its name.
        argument: Its input.
        expected: The only right result.
        meanwhile: What somebody outside does while it runs.
    """

    kind: str
    workflow: str
    argument: Any
    expected: Any
    meanwhile: Callable[[DaprWorkflowClient, str], None] | None = None


def approve(client: DaprWorkflowClient, instance_id: str) -> None:
    """Decide what the workflow waits for, once it waits."""
    wait_until(lambda: custom_status(client, instance_id), "the workflow to wait")
    client.raise_workflow_event(instance_id, "decision", data="approved")


STOPS = (
    Stop("sequence", "order", "a book", "a book reserved, paid, shipped"),
    Stop("fan-out, fan-in", "best_offer", 20, 100),
    Stop("timer", "reminder", 1, "reminded after 1.0 s"),
    Stop("external event", "approval", 30, "approved", approve),
    Stop(
        "child workflows",
        "shopping",
        ["milk", "bread"],
        ["milk reserved, paid, shipped", "bread reserved, paid, shipped"],
    ),
    Stop("continue as new", "countdown", {"left": 5, "generations": 0}, "5 generations"),
)


def take_tour(workshop: Workshop) -> None:
    """Run each kind of workflow once.

    Raises:
        DemoError: A result is not what it should be, or the sidecar did not stop properly.
    """
    explain("1  durahub run -- python examples/app.py", EXPLANATION)
    sidecar = workshop.run()
    workshop.wait_until_ready(sidecar)
    with connected(workshop) as client:
        for stop in STOPS:
            _visit(client, stop)
    # As Ctrl-C would: the application ends, then the sidecar, with the application's exit code.
    sidecar.send_signal(signal.SIGINT)
    if (code := sidecar.wait(timeout=20)) != os.EX_OK:
        raise DemoError(f"`durahub run` ended with exit code {code}, not 0")


def _visit(client: DaprWorkflowClient, stop: Stop) -> None:
    began = time.monotonic()
    instance_id = client.schedule_new_workflow(stop.workflow, input=stop.argument)
    if stop.meanwhile is not None:
        stop.meanwhile(client, instance_id)
    outcome = wait_for_outcome(client, instance_id)
    elapsed = f"{time.monotonic() - began:5.2f} s"
    say(f"{stop.kind:<16} {stop.workflow:<11} {outcome.status:<10} {elapsed}  {outcome.result}")
    if outcome.result != stop.expected:
        raise DemoError(
            f"the result of {stop.workflow} is {outcome.result!r}, not {stop.expected!r}"
        )

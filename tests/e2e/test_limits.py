"""Limits over all sidecars of an application, as a real application meets them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.processes import wait_until
from tests.e2e.stack import Launcher


def test_activities_of_a_name_wait_for_each_other_and_for_nobody_else(
    launcher: Launcher, backend: str, tmp_path: Path
) -> None:
    limits = [{"name": "gate", "maxConcurrent": 1}]
    stack = launcher.start(backend, tmp_path, activityConcurrencyLimits=limits)
    launcher.connect_worker(stack.sidecar)
    gates = [tmp_path / f"gate {number}" for number in range(3)]
    for gate in gates:
        gate.mkdir()
    instances = [stack.sync.start("gated", str(gate)) for gate in gates]
    while gates:
        wait_until(lambda: any(any(gate.iterdir()) for gate in gates), "the next activity")
        assert stack.sync.run("sequence", 1) == 4
        (entered,) = [gate for gate in gates if any(gate.iterdir())]
        (entered / "open").touch()
        gates.remove(entered)
    for instance_id in instances:
        assert isinstance(stack.sync.wait(instance_id).result, int)

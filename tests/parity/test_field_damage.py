"""Bugs that others shipped: what is damaged or stuck holds up nothing else."""

from __future__ import annotations

import asyncio

import pytest
from durahub.backend import Backend, Deliver, Message
from durahub.types import AppId, InstanceKey

from tests.parity.client import Refused
from tests.parity.disturbed import DisturbedBackend
from tests.parity.flows import Context, Versioned
from tests.parity.hub import APP, Hub


def waiting(ctx: Context):
    return (yield ctx.event("go"))


@pytest.mark.parity("field/20")
async def test_recursive_terminate_ends_the_parent_of_a_child_that_is_stuck(hub: Hub) -> None:
    def flow(ctx: Context):
        yield ctx.child("Child", instance_id="stuck")

    flows = {"Flow": flow, "Child": Versioned({"v1": waiting}, latest="v2")}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        await sidecar.client.start("Flow", "a")
        await sidecar.client.until_status("stuck", "STALLED")
        await sidecar.client.terminate("a", recursive=True)
        assert await sidecar.client.status("a") == "TERMINATED"


@pytest.mark.parity("field/28")
async def test_damaged_instance_is_set_aside_and_nothing_loops(hub: Hub) -> None:
    disturbed: list[DisturbedBackend] = []

    def wrap(backend: Backend) -> Backend:
        disturbed.append(DisturbedBackend(backend))
        return disturbed[0]

    async with hub.sidecar(wrap=wrap) as sidecar, sidecar.worker(waiting):
        for name in ("damaged", "healthy"):
            await sidecar.client.start("Flow", name)
        session = sidecar.engine._session
        assert session is not None
        garbage = Deliver(
            key=InstanceKey(AppId(APP), "damaged"), messages=(Message(payload=b"\xff\xff"),)
        )
        await sidecar.backend.apply(session.session_id, [garbage])
        sidecar.engine._lane.look()
        await sidecar.client.until_status("damaged", "STALLED")
        with pytest.raises(Refused):
            await sidecar.client.purge("damaged")
        await sidecar.client.send("healthy", "go", "fine")
        assert await sidecar.client.output("healthy") == "fine"
        before = disturbed[0].calls["apply"]
        await asyncio.sleep(0.3)
        assert disturbed[0].calls["apply"] <= before + 1
        assert "damaged" in await sidecar.client.ids()
        assert await sidecar.client.purge("damaged", force=True) == 1

"""Code that does not fit a history, and instances that stall with it."""

from __future__ import annotations

from dataclasses import dataclass

from durahub.protocol import messages as pb

from tests.parity.client import Client
from tests.parity.flows import Context, Versioned, Workflow
from tests.parity.hub import Sidecar


@dataclass(frozen=True)
class Misfit:
    """Why an instance stalls at its second turn.

    Attributes:
        good: The code that the instance began with. It completes with the data of an event `go`.
        bad: Code that can't go on with it.
        kind: What is the matter.
        reason: The same in Dapr's words.
    """

    good: Workflow
    bad: Workflow
    kind: pb.StalledReason.ValueType
    reason: str


def _waiting(ctx: Context):
    return (yield ctx.event("go"))


def patched_with(*names: str) -> Workflow:
    """Return a workflow that asks for patches, in this order, before it waits for an event `go`."""

    def flow(ctx: Context):
        for name in names:
            ctx.patched(name)
        return (yield ctx.event("go"))

    return flow


PATCH = Misfit(
    good=patched_with("a", "b"),
    bad=patched_with("a"),
    kind=pb.PATCH_MISMATCH,
    reason="Patch mismatch. History patches: [a, b], current patches: [a]. ",
)
PATCH_ORDER = Misfit(
    good=patched_with("a", "b"),
    bad=patched_with("b", "a"),
    kind=pb.PATCH_MISMATCH,
    reason="Patch mismatch. History patches: [a, b], current patches: [b, a]. ",
)
VERSION = Misfit(
    good=Versioned({"v1": _waiting}, latest="v1"),
    bad=Versioned({"v2": _waiting}, latest="v2"),
    kind=pb.VERSION_NOT_AVAILABLE,
    reason="Version not available: v1",
)


async def stall(sidecar: Sidecar, misfit: Misfit, instance_id: str = "a") -> None:
    """Start an instance and let it stall; no worker is connected before and after."""
    async with sidecar.worker(misfit.good):
        await sidecar.client.start("Flow", instance_id)
    async with sidecar.worker(misfit.bad):
        await sidecar.client.send(instance_id, "go", "x")
        await sidecar.client.until_status(instance_id, "STALLED")


async def stall_again(sidecar: Sidecar, unfit: Workflow, instance_id: str = "a") -> None:
    """Let a stalled instance be tried, and stall, with a worker that goes away again."""
    before = (await sidecar.client.state(instance_id)).lastUpdatedTimestamp
    async with sidecar.worker(unfit):
        state = await sidecar.client.until_state(
            instance_id, lambda state: state.lastUpdatedTimestamp != before
        )
    assert state.workflowStatus == pb.ORCHESTRATION_STATUS_STALLED


async def stalls(client: Client, instance_id: str = "a") -> list[tuple[int, str]]:
    """Return what an instance's history says of its stalls: reasons and descriptions, in order."""
    return [
        (event.executionStalled.reason, event.executionStalled.description)
        for event in await client.history(instance_id)
        if event.HasField("executionStalled")
    ]
